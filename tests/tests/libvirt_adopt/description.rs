//! A description of libvirt's is run without libvirt.

use super::{description, vmlan};
use anyhow::Result;
use vmlan_tests::libvirt::Libvirt;
use vmlan_tests::process::Process;
use vmlan_tests::wait;

#[test]
fn a_description_is_run_without_libvirt() -> Result<()> {
    let host = Libvirt::start()?;
    let file = "/run/net.xml";
    let limit = "<bandwidth><inbound average='1000'/></bandwidth>\n  <ip ";
    host.write(file, &description(&host)?.replacen("<ip ", limit, 1))?;
    let mut command = host.command("vmlan");
    command.args(["run", "--network-xml", file]);
    let mut vmlan_run = Process::spawn(command)?;
    vmlan_run.wait_for_line("ready: ", 0, wait::SOON, |line| line.starts_with("ready: "))?;
    let warnings = vmlan_run.stderr();
    assert!(warnings.contains("/run/net.xml:"), "{warnings}");
    for text in ["stp='on'", "<bandwidth> is not carried over"] {
        assert!(warnings.contains(text), "{text}: {warnings}");
    }
    let status = vmlan(&host, "status")?.success()?;
    assert!(
        status.contains("virbr0") && status.contains("192.168.122.1/24"),
        "{status}"
    );
    let reloaded = vmlan(&host, "reload")?.success()?;
    assert!(reloaded.contains("nothing has changed"), "{reloaded}");

    host.write("/run/bad.xml", "<network>\n  <name>x</nam>\n</network>\n")?;
    let refused = vmlan(&host, "run --network-xml /run/bad.xml")?;
    assert_eq!(refused.status, 2);
    assert!(
        refused.stderr.starts_with("/run/bad.xml:2:"),
        "{}",
        refused.stderr
    );
    for (text, said) in [("", "nothing in it"), ("<network/>", "has no name")] {
        host.write("/run/bad.xml", text)?;
        let refused = vmlan(&host, "check /run/bad.xml")?;
        assert_eq!(refused.status, 2);
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    Ok(())
}
