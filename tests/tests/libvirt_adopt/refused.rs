//! What cannot be adopted or released is refused before anything changes.

use super::*;
use std::fs;
use vmlan::ovs::install::HOOK;

#[test]
fn of_two_adoptions_at_once_one_succeeds() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    let before = description(&host)?;
    host.run("ip link add veth8 type veth peer name veth9; ip link set veth8 master virbr0")?;
    let both = host.shell(
        "vmlan libvirt adopt default & one=$!; vmlan libvirt adopt default & two=$!; \
         wait $one; one=$?; wait $two; echo status $one $?",
        ADOPTION,
    )?;
    let told = both.stdout.contains("status 0 1") || both.stdout.contains("status 1 0");
    assert!(told, "{both:?}");
    assert!(
        both.stdout.contains("cut off from virbr0: veth8"),
        "{both:?}"
    );
    assert_eq!(kind(&host)?, "tap");
    vmlan(&host, "libvirt release default")?.success()?;
    assert_eq!(description(&host)?, before);
    assert_eq!(kind(&host)?, "bridge");
    Ok(())
}

#[test]
fn what_cannot_be_adopted_is_refused_with_a_mend_and_nothing_changes() -> Result<()> {
    let mut host = Libvirt::start()?;
    let refused = |host: &Libvirt, arguments: &str, texts: &[&str]| -> Result<()> {
        let files = host.run(FILES)?;
        let outcome = vmlan(host, arguments)?;
        ensure!(outcome.status != 0, "{arguments}: {}", outcome.stdout);
        for text in texts {
            ensure!(
                outcome.stderr.contains(text),
                "{arguments}: {}",
                outcome.stderr
            );
        }
        ensure!(host.run(FILES)? == files, "{arguments}");
        Ok(())
    };
    refused(
        &host,
        "libvirt adopt nothing",
        &["no network \"nothing\"", "net-list --all"],
    )?;
    refused(&host, "libvirt release default", &["has not been adopted"])?;
    // libvirtd calls ovs-vsctl without a word of other folders.
    for (arguments, option) in [
        ("adopt default --run-dir /run/own", "leave --run-dir out"),
        ("adopt default --state-dir /own", "leave --state-dir out"),
        ("release default --run-dir /run/own", "leave --run-dir out"),
        ("adopt default --dry-run --run-dir /run/own", "/run/vmlan"),
    ] {
        refused(&host, &format!("libvirt {arguments}"), &[option])?;
    }

    // A hook that is somebody else's.
    host.run("mkdir -p /etc/libvirt/hooks/network.d")?;
    host.write(HOOK, "#!/bin/sh\nexit 0\n")?;
    refused(&host, "libvirt adopt default", &[HOOK, "is not of vmlan"])?;
    host.run(&format!("rm {HOOK}"))?;

    // What is left out is told before.
    let plain = description(&host)?;
    let limit = "<bandwidth><inbound average='1000'/></bandwidth><ip ";
    host.write("/run/limit.xml", &plain.replacen("<ip ", limit, 1))?;
    host.virsh("net-define /run/limit.xml")?;
    let shown = vmlan(&host, "libvirt adopt default --dry-run")?.success()?;
    let told = "<bandwidth>: there are no rate limits";
    assert!(shown.contains(told), "{shown}");
    host.write("/run/plain.xml", &plain)?;
    host.virsh("net-define /run/plain.xml")?;

    // Rules that the kernel would not take; nothing stops for that.
    host.write(
        "/usr/local/sbin/nft",
        "#!/bin/sh\necho no nf_tables >&2; exit 1\n",
    )?;
    host.run("chmod +x /usr/local/sbin/nft")?;
    let nft = ["firewall cannot be changed", "no nf_tables"];
    refused(&host, "libvirt adopt default", &nft)?;
    host.run("rm /usr/local/sbin/nft")?;

    // A name that is somebody else's.
    host.run("ip link add virbr0 type veth peer name veth9")?;
    refused(
        &host,
        "libvirt adopt default",
        &["not active", "veth", "remove it"],
    )?;
    host.run("ip link del virbr0")?;

    // Only root; a look is free for who may ask libvirt.
    let mut command = host.command("setpriv");
    command.args("--reuid=65534 --clear-groups -- vmlan libvirt adopt default".split(' '));
    let outcome = process::run(command, ADOPTION)?;
    assert_eq!(outcome.status, 1);

    // A network that is on a switch already.
    host.start_network(
        "ovs",
        "<network><name>ovs</name><forward mode='bridge'/><bridge name='x0'/>\
         <virtualport type='openvswitch'/></network>",
    )?;
    refused(
        &host,
        "libvirt adopt ovs",
        &["on a switch already", "nat, route"],
    )?;

    // A configuration that is there is kept, and comes back.
    host.write("/etc/vmlan/default.toml", "# mine\n")?;
    let said = vmlan(&host, "libvirt adopt default")?.success()?;
    for text in [
        "-# mine",
        "default.toml.before-adopt",
        "not active; it is started",
    ] {
        assert!(said.contains(text), "{said}");
    }
    assert_eq!(
        host.read("/etc/vmlan/default.toml.before-adopt")?,
        "# mine\n"
    );
    refused(
        &host,
        "libvirt adopt default",
        &["adopted already", "release default"],
    )?;
    refused(
        &host,
        "libvirt adopt default --dry-run",
        &["adopted already"],
    )?;
    refused(
        &host,
        "libvirt release other --network default",
        &["stands in for libvirt's default"],
    )?;
    // One that was changed meanwhile is kept too.
    let path = host.file("/etc/vmlan/default.toml");
    fs::write(&path, fs::read_to_string(&path)? + "# changed\n")?;
    vmlan(&host, "libvirt release default")?.success()?;
    assert_eq!(host.read("/etc/vmlan/default.toml")?, "# mine\n");
    assert!(
        host.read("/etc/vmlan/default.toml.released")?
            .ends_with("# changed\n")
    );
    // It was not active before.
    let networks = host.virsh("net-list --all")?;
    let line = networks.lines().find(|line| line.contains("default"));
    assert!(
        line.is_some_and(|line| line.contains("inactive")),
        "{networks}"
    );

    host.stop_libvirtd()?;
    host.run("rm -f /run/libvirt/libvirt-sock")?;
    let outcome = vmlan(&host, "libvirt adopt default")?;
    assert!(
        outcome.stderr.contains("does not answer at qemu:///system"),
        "{}",
        outcome.stderr
    );
    Ok(())
}
