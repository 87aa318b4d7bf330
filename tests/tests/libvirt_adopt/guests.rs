//! Guests run on through an adoption and a release, and new ones need no change.

use super::*;
use anyhow::Context;
use std::fs;

#[test]
fn guests_keep_running_through_adopt_and_release_and_new_ones_need_no_change() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    let before = description(&host)?;
    host.define_domain("one", &on_default(MAC1))?;
    host.define_domain("two", &on_default(MAC2))?;
    let one = host.boot("one")?;
    let first = one.lease("one")?.address;
    one.ping("192.168.122.1")?;

    // Shown, and nothing changed.
    let files = host.run(FILES)?;
    let shown = vmlan(&host, "libvirt adopt default --dry-run")?.success()?;
    for text in [
        "address   = \"192.168.122.1/24\"",
        "forward   = \"nat\"",
        "+  <virtualport type='openvswitch'/>",
        "Not carried over",
        "spanning tree",
        "go on with their addresses (vnet0)",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert_eq!(host.run(FILES)?, files);
    assert_eq!(description(&host)?, before);

    let said = vmlan(&host, "libvirt adopt default")?.success()?;
    assert!(said.contains("vnet0 is attached"), "{said}");
    assert!(said.contains("1 leases are taken over"), "{said}");
    assert_eq!(kind(&host)?, "tap");
    // The guest that ran goes on, and its address is known.
    one.ping("192.168.122.1")?;
    let leases = vmlan(&host, "leases")?.success()?;
    assert!(
        leases.contains(MAC1) && leases.contains(&first.to_string()),
        "{leases}"
    );
    assert_eq!(one.lease("one")?.address, first);
    // A domain that was defined for libvirt's bridge boots on vmlan.
    let two = host.boot("two")?;
    let second = two.lease("two")?.address;
    assert_ne!(first, second);
    two.ping(first)?;
    one.ping(second)?;
    let ports = vmlan(&host, "ports")?.success()?;
    assert!(
        ports.contains("vnet0") && ports.contains("vnet1"),
        "{ports}"
    );
    let listed = host.virsh("domiflist two")?;
    for text in ["vnet1", "default", MAC2] {
        assert!(listed.contains(text), "{text}: {listed}");
    }
    wait::until("libvirt's view of the leases", wait::SOON, || {
        // The prefix is that of the network's <ip>, which libvirt takes for
        // none that it does not route itself.
        let leases = host.virsh("net-dhcp-leases default")?;
        for text in [MAC1, MAC2, &format!("{first}/"), &format!("{second}/")] {
            ensure!(leases.contains(text), "{text}: {leases}");
        }
        let addresses = host.virsh("domifaddr two")?;
        ensure!(addresses.contains(&format!("{second}/")), "{addresses}");
        Ok(())
    })?;
    let statistics = host.virsh("domifstat two vnet1")?;
    assert!(statistics.contains("vnet1 rx_bytes"), "{statistics}");
    let held = host.run(
        "for pid in $(pidof qemu-system-x86_64); do cat /proc/$pid/fdinfo/*; done | grep iff:",
    )?;
    assert!(held.contains("vnet0") && held.contains("vnet1"), "{held}");

    let shown = vmlan(&host, "libvirt release default --dry-run")?.success()?;
    assert!(
        shown.contains("-  <virtualport type='openvswitch'/>"),
        "{shown}"
    );
    assert!(
        shown.contains("/etc/vmlan/default.toml is removed"),
        "{shown}"
    );
    assert_eq!(kind(&host)?, "tap");

    vmlan(&host, "libvirt release default")?.success()?;
    assert_eq!(description(&host)?, before);
    assert_eq!(host.run(FILES)?, files);
    assert_eq!(kind(&host)?, "bridge");
    for (guest, other) in [(&one, second), (&two, first)] {
        guest.ping("192.168.122.1")?;
        guest.ping(other)?;
    }
    assert_eq!(one.lease("one")?.address, first);
    assert_eq!(two.lease("two")?.address, second);
    // Also one that was started on vmlan ends in order.
    host.virsh("destroy two")?;
    host.launch("two")?;
    Ok(())
}

#[test]
fn guests_of_an_adoption_come_back_with_vmlan_and_go_back_without_it() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    let before = description(&host)?;
    host.define_domain("one", &on_default(MAC1))?;
    let one = host.boot("one")?;
    let address = one.lease("one")?.address;
    vmlan(&host, "libvirt adopt default")?.success()?;
    one.ping("192.168.122.1")?;

    // vmlan knows of the guest after a crash, though libvirt does not tell again.
    kill_vmlan(&host)?;
    let mut command = host.command("vmlan");
    command.arg("run");
    let mut again = process::Process::spawn(command)?;
    again.wait_for_line("ready: ", 0, wait::SOON, |line| line.starts_with("ready: "))?;
    one.ping("192.168.122.1")?;
    let ports = host.json("ports")?.to_string();
    assert!(ports.contains(MAC1) && ports.contains("vm-id"), "{ports}");
    wait::until("the domains' MACs", wait::SOON, || {
        let macs = host.read("/var/lib/libvirt/dnsmasq/virbr0.macs")?;
        ensure!(macs.contains("\"one\"") && macs.contains(MAC1), "{macs}");
        Ok(())
    })?;

    // With vmlan dead and the network forgotten, what was kept is enough.
    kill_vmlan(&host)?;
    host.virsh("net-destroy default")?;
    host.virsh("net-undefine default")?;
    let shown = vmlan(&host, "libvirt release default --dry-run")?.success()?;
    assert!(
        shown.contains("go on with their addresses (vnet0)"),
        "{shown}"
    );
    assert!(host.try_virsh("net-info default")?.status != 0);
    vmlan(&host, "libvirt release default")?.success()?;
    assert_eq!(description(&host)?, before);
    assert_eq!(kind(&host)?, "bridge");
    one.ping("192.168.122.1")?;
    assert_eq!(one.lease("one")?.address, address);
    let tables = host.run("nft list tables")?;
    assert!(!tables.contains("vmlan"), "{tables}");
    Ok(())
}

#[test]
fn each_line_of_the_readmes_chapter_runs_as_written() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    let before = description(&host)?;
    let readme = fs::read_to_string(vmlan_tests::asset("../README.md"))?;
    let chapter = readme.split("\n## In the place of virbr0\n").nth(1);
    let block = chapter.and_then(|text| text.split("```sh\n").nth(1));
    let block = block.and_then(|text| text.split("```").next());
    let lines: Vec<_> = block.context("no lines in the chapter")?.lines().collect();
    ensure!(lines.len() > 5, "{lines:?}");
    for line in lines {
        let outcome = host.shell(line, ADOPTION)?;
        ensure!(outcome.status == 0, "{line}: {outcome:?}");
    }
    assert_eq!(description(&host)?, before);
    assert_eq!(kind(&host)?, "bridge");
    Ok(())
}

#[test]
fn guests_that_were_kept_apart_are_told_of_and_so_again_after_a_release() -> Result<()> {
    let host = Libvirt::start()?;
    let inside = "  <port isolated='yes'/>\n  <ip address";
    let apart = description(&host)?.replacen("  <ip address", inside, 1);
    host.write("/run/apart.xml", &apart)?;
    host.virsh("net-define /run/apart.xml")?;
    host.virsh("net-start default")?;
    add_tap(&host, "guest0", "virbr0")?;
    let (before, files) = (description(&host)?, host.run(FILES)?);
    ensure!(before.contains("<port isolated='yes'/>"), "{before}");

    let shown = vmlan(&host, "libvirt adopt default --dry-run")?.success()?;
    let told = "<port isolated='yes'>: vmlan has no isolated ports yet";
    assert!(shown.contains(told), "{shown}");
    assert_eq!(host.run(FILES)?, files);
    vmlan(&host, "libvirt adopt default")?.success()?;
    vmlan(&host, "libvirt release default")?.success()?;
    assert_eq!(description(&host)?, before);
    assert_eq!(host.run(FILES)?, files);
    let isolated = host.run("cat /sys/class/net/guest0/brport/isolated")?;
    assert_eq!(isolated.trim(), "1");
    Ok(())
}
