//! What fails or is cut off half-way is put back.

use super::*;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;

/// virsh fails the first time that it is called with what stands in /run/fail.
const FAIL_ONCE: &str = "if [ -e /run/fail ]; then case \"$*\" in *\"$(cat /run/fail)\"*) \
                         rm /run/fail; echo 'error: no' >&2; exit 1;; esac; fi";

#[test]
fn a_failure_half_way_puts_all_back() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    host.define_domain("one", &on_default(MAC1))?;
    let one = host.boot("one")?;
    let address = one.lease("one")?.address;
    let (before, files) = (description(&host)?, host.run(FILES)?);
    let as_before = |what: &str| -> Result<()> {
        ensure!(description(&host)? == before, "{what}: the description");
        ensure!(host.run(FILES)? == files, "{what}: {}", host.run(FILES)?);
        ensure!(kind(&host)? == "bridge", "{what}: the bridge");
        one.ping("192.168.122.1").context(what.to_owned())?;
        let again = one.lease("one").context(what.to_owned())?;
        ensure!(again.address == address, "{what}: {again:?}");
        Ok(())
    };

    // vmlan cannot have the interface: another network's process holds it.
    let holder = "mkdir -p /run/vmlan/other; echo 'pid = 4711\ninterface = \"virbr0\"' \
                  >/run/vmlan/other/lock; exec flock /run/vmlan/other/lock sleep 1000";
    let mut command = host.command("sh");
    command.args(["-c", holder]);
    let holder = process::Process::spawn(command)?;
    wait::until("the lock", wait::SOON, || {
        let taken = host.shell("flock -n /run/vmlan/other/lock true", wait::SOON)?;
        ensure!(taken.status == 1, "not yet");
        Ok(())
    })?;
    let failed = vmlan(&host, "libvirt adopt default")?;
    assert_eq!(failed.status, 1);
    for text in [
        "virbr0 belongs to network \"other\"",
        "all is as it was before",
    ] {
        assert!(failed.stderr.contains(text), "{}", failed.stderr);
    }
    drop(holder);
    as_before("vmlan does not start")?;

    // libvirt takes no description, the first time that it is asked.
    wrap_virsh(&host, FAIL_ONCE)?;
    host.write("/run/fail", "net-define")?;
    let failed = vmlan(&host, "libvirt adopt default")?;
    assert_eq!(failed.status, 1);
    for text in ["virsh net-define: no", "all is as it was before"] {
        assert!(failed.stderr.contains(text), "{}", failed.stderr);
    }
    as_before("net-define fails")?;

    // The same on the way back leaves the network with vmlan.
    vmlan(&host, "libvirt adopt default")?.success()?;
    host.write("/run/fail", "net-define")?;
    let failed = vmlan(&host, "libvirt release default")?;
    assert_eq!(failed.status, 1);
    assert!(
        failed.stderr.contains("all is as it was before"),
        "{}",
        failed.stderr
    );
    assert_eq!(kind(&host)?, "tap");
    one.ping("192.168.122.1")?;
    vmlan(&host, "libvirt release default")?.success()?;
    as_before("released")
}

#[test]
fn a_release_mends_an_adoption_that_was_cut_off() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    host.define_domain("one", &on_default(MAC1))?;
    let one = host.boot("one")?;
    let address = one.lease("one")?.address;
    host.write("/etc/vmlan/mine", "# mine\n")?;
    host.run("ln -s mine /etc/vmlan/default.toml")?;
    let (before, files) = (description(&host)?, host.run(FILES)?);
    // virsh that ends whoever calls it with the command in /run/cut.
    wrap_virsh(
        &host,
        "case \"$*\" in *\"$(cat /run/cut)\"*) kill -9 $PPID; exit 1;; esac",
    )?;
    // Before the bridge goes, before libvirt has the new description, after it.
    for cut in ["net-destroy", "net-define", "net-start"] {
        host.write("/run/cut", cut)?;
        let killed = vmlan(&host, "libvirt adopt default")?;
        assert_ne!(killed.status, 0, "{cut}: {}", killed.stdout);
        assert!(!killed.stderr.contains("as it was"), "{cut}");
        host.write("/run/cut", "nothing")?;
        let again = vmlan(&host, "libvirt adopt default")?;
        assert!(again.stderr.contains("release default"), "{cut}: {again:?}");
        vmlan(&host, "libvirt release default")?
            .success()
            .context(cut)?;
        assert_eq!(description(&host)?, before, "{cut}");
        assert_eq!(host.run(FILES)?, files, "{cut}");
        let link = host.run("readlink /etc/vmlan/default.toml")?;
        assert_eq!(link.trim(), "mine", "{cut}");
        assert_eq!(kind(&host)?, "bridge", "{cut}");
        one.ping("192.168.122.1").context(cut)?;
        assert_eq!(one.lease("one")?.address, address, "{cut}");
    }
    Ok(())
}

#[test]
fn ctrl_c_puts_all_back_and_a_second_one_does_not_cut_that_short() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    add_tap(&host, "guest0", "virbr0")?;
    let (before, files) = (description(&host)?, host.run(FILES)?);
    // virsh that waits at the command in /run/stop.
    wrap_virsh(
        &host,
        "case \"$*\" in *\"$(cat /run/stop)\"*) touch /run/stopped\n\
         while [ -e /run/stopped ]; do sleep 0.02; done;; esac",
    )?;
    host.write("/run/stop", "net-define")?;
    let mut command = host.command("vmlan");
    command.args(["libvirt", "adopt", "default"]);
    // As a shell has it: a process group of its own, to which a terminal sends.
    command.process_group(0);
    let mut adoption = process::Process::spawn(command)?;
    let group = Pid::from_raw(adoption.id().cast_signed()).context("no process")?;
    let ctrl_c_at = |command: &str, next: &str| -> Result<()> {
        wait::until(command, wait::SOON, || {
            host.run("ls /run/stopped").map(drop)
        })?;
        kill_process_group(group, Signal::INT)?;
        host.write("/run/stop", next)?;
        host.run("rm /run/stopped").map(drop)
    };
    ctrl_c_at("net-define", "net-start")?;
    ctrl_c_at("net-start", "nothing")?;
    let status = adoption.wait(ADOPTION)?;
    let said = adoption.stderr();
    assert_eq!(status.code(), Some(1), "{said}");
    for text in ["interrupted", "all is as it was before"] {
        assert!(said.contains(text), "{said}");
    }
    assert_eq!(description(&host)?, before);
    assert_eq!(host.run(FILES)?, files);
    assert_eq!(kind(&host)?, "bridge");
    assert_eq!(master(&host, "guest0")?, "virbr0");
    Ok(())
}

#[test]
fn a_network_that_was_changed_since_its_start_is_adopted_as_it_would_be_started() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    add_tap(&host, "guest0", "virbr0")?;
    let runs = host.virsh("net-dumpxml default")?;
    let changed = description(&host)?
        .replace("virbr0", "virbr5")
        .replace("192.168.122", "192.168.150");
    host.write("/run/changed.xml", &changed)?;
    host.virsh("net-define /run/changed.xml")?;
    let (before, files) = (description(&host)?, host.run(FILES)?);

    wrap_virsh(&host, FAIL_ONCE)?;
    host.write("/run/fail", "net-start")?;
    let failed = vmlan(&host, "libvirt adopt default")?;
    assert!(
        failed.stderr.contains("all is as it was before"),
        "{}",
        failed.stderr
    );
    assert_eq!(host.virsh("net-dumpxml default")?, runs);
    assert_eq!(description(&host)?, before);
    assert_eq!(host.run(FILES)?, files);
    assert_eq!(master(&host, "guest0")?, "virbr0");

    let said = vmlan(&host, "libvirt adopt default")?.success()?;
    for text in [
        "was changed since it was started",
        "-  <ip address='192.168.122.1'",
        "guest0 is attached",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert_eq!(kind_of(&host, "virbr5")?, "tap");
    let links = host.run("ip -br link")?;
    assert!(!links.contains("virbr0"), "{links}");

    vmlan(&host, "libvirt release default")?.success()?;
    assert_eq!(description(&host)?, before);
    assert_eq!(master(&host, "guest0")?, "virbr5");
    Ok(())
}
