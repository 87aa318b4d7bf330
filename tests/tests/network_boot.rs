//! A guest without a disk: iPXE's ROM leases an address, fetches a script by
//! TFTP and runs it. Of the steps of a lease it has the first alone.

use anyhow::{Result, ensure};
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use vmlan_tests::exchange::{Exchange, Step};
use vmlan_tests::process::Process;
use vmlan_tests::switch::{ISOLATED, Switch};

const MAC: &str = "52:54:00:00:00:0b";

/// The longest that firmware and ROM may take on a busy machine.
const BOOT: Duration = Duration::from_secs(90);

/// More blocks than a byte counts, for the ROM's own numbers.
const LARGE: usize = 700_001;

/// A network whose guests boot from `root`, with the addresses 192.168.122.FIRST
/// to 192.168.122.LAST for them.
fn network(root: &Path, first: u8, last: u8) -> String {
    format!(
        "{ISOLATED}\n[dhcp]\nrange = [\"192.168.122.{first}\", \"192.168.122.{last}\"]\n\
         options = {{ bootfile-name = \"boot.ipxe\" }}\n[tftp]\nroot = {root:?}\n"
    )
}

/// Whether it is one of 192.168.122.100 to 199.
fn is_moved(address: &str) -> bool {
    let address: Result<Ipv4Addr, _> = address.parse();
    address.is_ok_and(|address| (100..=199).contains(&address.octets()[3]))
}

#[test]
fn a_guest_boots_from_the_network() -> Result<()> {
    let root = tempfile::Builder::new()
        .prefix(&format!("vt-{}-", std::process::id()))
        .tempdir()?;
    fs::set_permissions(root.path(), Permissions::from_mode(0o755))?;
    let script = "#!ipxe\n\
                  imgfetch large && echo large is there || echo large is not there\n\
                  imgfetch ../secret && echo secret is there || echo secret is not there\n\
                  echo booted as ${net0/mac} ${net0/ip} by ${filename}\n\
                  echo\n\
                  :again\n\
                  sleep 1\n\
                  dhcp net0 && echo now at ${net0/ip} again\n\
                  goto again\n";
    for (name, bytes) in [("boot.ipxe", script.as_bytes()), ("large", &[7; LARGE])] {
        fs::write(root.path().join(name), bytes)?;
        fs::set_permissions(root.path().join(name), Permissions::from_mode(0o644))?;
    }
    let switch = Switch::start(&network(root.path(), 2, 99))?;
    let pcap = switch.config_path().with_file_name("pcap");
    let mut command = switch.namespace.command("qemu-system-x86_64");
    command
        // The NIC has iPXE's ROM by default. Without graphics the firmware writes to the serial line.
        .args("-accel tcg -machine pc,graphics=off -m 64 -nodefaults -no-user-config".split(' '))
        .args("-display none -serial stdio -device".split(' '))
        .arg(format!("virtio-net-pci,netdev=lan,mac={MAC}"))
        // A ROM that gave up on a busy machine tries again a second later.
        .args(["-boot", "order=n,reboot-timeout=1000"])
        .arg("-netdev")
        .arg(format!(
            "stream,id=lan,addr.type=unix,addr.path={}",
            switch.run_file("vm.sock").display()
        ))
        .arg("-object")
        .arg(format!(
            "filter-dump,id=dump,netdev=lan,file={}",
            pcap.display()
        ));
    let mut guest = Process::spawn(command)?;
    guest.wait_for_line("the end of the boot script", 0, BOOT, |line| {
        line.contains(&format!("booted as {MAC} 192.168.122.")) && line.contains("by boot.ipxe")
    })?;
    let printed = guest.stdout();
    ensure!(printed.contains("large is there"), "{printed}");
    ensure!(printed.contains("secret is not there"), "{printed}");
    assert_eq!(switch.lease(MAC)?["state"], "bound");
    let log = switch.log();
    ensure!(
        log.contains(&format!("has got \"/large\", {LARGE} bytes"))
            || log.contains(&format!("has got \"large\", {LARGE} bytes")),
        "{log}"
    );
    let exchange = Exchange::of_file(&pcap);
    let (_, next) = exchange.answered(0, Step::Discover, Step::Offer, BOOT)?;
    exchange.answered(next, Step::Select, Step::Ack, BOOT)?;

    // It keeps nothing of a lease: each time, it looks for servers again. So
    // nothing is refused when the range moves.
    switch.write_config(&network(root.path(), 100, 199))?;
    switch.cli("reload")?.success()?;
    guest.wait_for_line("an address of the new range", 0, BOOT, |line| {
        let words = line.split_whitespace().collect::<Vec<_>>();
        matches!(words[..], [.., "now", "at", address, "again"] if is_moved(address))
    })?;
    let steps: Vec<Step> = exchange.messages()?.iter().map(|m| m.step).collect();
    let its_own = [Step::Discover, Step::Offer, Step::Select, Step::Ack];
    ensure!(steps.iter().all(|step| its_own.contains(step)), "{steps:?}");
    Ok(())
}
