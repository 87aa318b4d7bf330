//! A libvirt network is adopted and released, with real libvirtd, dnsmasq,
//! qemu and virsh.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use vmlan_tests::libvirt::Libvirt;
use vmlan_tests::process::{self, Outcome};
use vmlan_tests::station::Station;
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:06:01";
const MAC2: &str = "52:54:00:00:06:02";

/// An adoption starts and stops a network and vmlan.
const ADOPTION: Duration = Duration::from_secs(60);

/// All that an adoption may change.
const FILES: &str = "for file in /etc/vmlan/* /etc/libvirt/qemu/networks/* /usr/local/sbin/* \
                     /var/lib/vmlan/*/libvirt.*; do [ ! -f $file ] || sha256sum $file; done; \
                     virsh -q net-list --all";

fn vmlan(host: &Libvirt, arguments: &str) -> Result<Outcome> {
    let mut command = host.command("vmlan");
    command.args(arguments.split_whitespace());
    process::run(command, ADOPTION)
}

fn on_default(mac: &str) -> String {
    format!(
        "<interface type='network'><mac address='{mac}'/><source network='default'/>\
         <model type='virtio'/></interface>"
    )
}

fn description(host: &Libvirt) -> Result<String> {
    host.virsh("net-dumpxml --inactive default")
}

/// The kind of the netdev `virbr0`.
fn kind(host: &Libvirt) -> Result<String> {
    let link = host.run("ip -details link show virbr0")?;
    let bridge = link.contains(" bridge ") && !link.contains(" tun ");
    Ok(if bridge { "bridge" } else { "tap" }.to_owned())
}

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
    host.write(
        "/usr/local/bin/virsh",
        "#!/bin/sh\ncase \"$*\" in *net-define*) if rm /run/fail 2>/dev/null; then \
         echo 'error: no' >&2; exit 1; fi;; esac\nexec /usr/bin/virsh \"$@\"\n",
    )?;
    host.run("chmod +x /usr/local/bin/virsh; touch /run/fail")?;
    let failed = vmlan(&host, "libvirt adopt default")?;
    assert_eq!(failed.status, 1);
    for text in ["virsh net-define: no", "all is as it was before"] {
        assert!(failed.stderr.contains(text), "{}", failed.stderr);
    }
    as_before("net-define fails")?;

    // The same on the way back leaves the network with vmlan.
    vmlan(&host, "libvirt adopt default")?.success()?;
    host.run("touch /run/fail")?;
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

/// Ends vmlan as a crash does.
fn kill_vmlan(host: &Libvirt) -> Result<()> {
    host.run("kill -9 $(sed -n 's/^pid = //p' /run/vmlan/default/lock)")?;
    // The kernel closes its files one by one.
    wait::until("vmlan's end", wait::SOON, || {
        let links = host.run("ip link")?;
        ensure!(!links.contains("virbr0"), "{links}");
        host.run("flock -n /run/vmlan/default/lock true").map(drop)
    })
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
    host.write(
        "/usr/local/bin/virsh",
        "#!/bin/sh\ncase \"$*\" in *\"$(cat /run/cut)\"*) kill -9 $PPID; exit 1;; esac\n\
         exec /usr/bin/virsh \"$@\"\n",
    )?;
    host.run("chmod +x /usr/local/bin/virsh")?;
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
    host.run("pidof libvirtd | xargs -r kill; rm -f /run/libvirt/libvirt-sock")?;
    let outcome = vmlan(&host, "libvirt adopt default")?;
    assert!(
        outcome.stderr.contains("does not answer at qemu:///system"),
        "{}",
        outcome.stderr
    );
    Ok(())
}

#[test]
fn a_description_is_run_without_libvirt() -> Result<()> {
    let host = Libvirt::start()?;
    let file = "/run/net.xml";
    host.write(file, &description(&host)?)?;
    let mut command = host.command("vmlan");
    command.args(["run", "--network-xml", file]);
    let mut vmlan_run = process::Process::spawn(command)?;
    vmlan_run.wait_for_line("ready: ", 0, wait::SOON, |line| line.starts_with("ready: "))?;
    let warnings = vmlan_run.stderr();
    assert!(warnings.contains("/run/net.xml:"), "{warnings}");
    assert!(warnings.contains("stp='on'"), "{warnings}");
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
