//! The Debian package on a clean machine with systemd: installed, served,
//! upgraded under guests, purged; and what its unit lets vmlan do.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use vmlan_tests::frame::{is_plain, plain, station};
use vmlan_tests::machine::{Machine, package};
use vmlan_tests::process::run;
use vmlan_tests::stream_peer::StreamPeer;
use vmlan_tests::wait::{self, SOON};

/// How long dpkg-deb may take.
const PACKING: Duration = Duration::from_secs(60);

const INSTALL: &str = "dpkg --install /mnt/vmlan.deb";
const START: &str = "systemctl enable --now --quiet vmlan@default";

/// A folder with the package, and with the same one as a later version.
fn packages() -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new()
        .prefix(&format!("vt-{}-", std::process::id()))
        .tempdir()?;
    let mut command = Command::new("sh");
    command.current_dir(folder.path()).args([
        "-ec",
        r#"cp "$1" vmlan.deb
           dpkg-deb --raw-extract vmlan.deb later
           sed -i 's/^Version: .*/&+later/' later/DEBIAN/control
           dpkg-deb --root-owner-group -Znone --build later later.deb
           rm -r later"#,
        "sh",
    ]);
    command.arg(package()?);
    run(command, PACKING)?.success()?;
    Ok(folder)
}

fn machine(packages: &tempfile::TempDir) -> Result<Machine> {
    Machine::boot(packages.path())
}

/// Two guests of the network `default`, as qemu's stream sockets attach them.
struct Guests(StreamPeer, StreamPeer);

impl Guests {
    fn attach(machine: &Machine) -> Result<Self> {
        let socket = machine.path("/run/vmlan/default/vm.sock");
        let guests = [StreamPeer::connect(&socket)?, StreamPeer::connect(&socket)?];
        // Frames are for ports that are there.
        wait::until("the guests' ports", SOON, || {
            let ports = machine.sh("vmlan ports")?;
            ensure!(
                ports.contains("stream0") && ports.contains("stream1"),
                "{ports}"
            );
            Ok(())
        })?;
        let [first, second] = guests;
        Ok(Self(first, second))
    }

    /// Has each send the other a frame, which arrives.
    fn talk(&mut self) -> Result<()> {
        let (a, b) = (station(1), station(2));
        let to = |mac: [u8; 6]| move |frame: &[u8]| is_plain(frame) && frame.starts_with(&mac);
        self.0.send(&plain(b, a, 1))?;
        self.1.receive("a frame of the first guest", to(b))?;
        self.1.send(&plain(a, b, 2))?;
        self.0.receive("a frame of the second guest", to(a))?;
        Ok(())
    }
}

/// Puts a container into the network, on a netdev that is taken as it appears.
const CONTAINER: &str = "ip netns add c1
    ip link add vnet0 type veth peer name eth0 netns c1
    ip link set vnet0 up
    ip -n c1 link set eth0 up";

/// Has the container lease an address, and reach the host by it.
fn lease(machine: &Machine) -> Result<()> {
    machine.sh(
        "ip netns exec c1 busybox udhcpc -i eth0 -n -q -f -s /bin/true -t 20 -T 1
         vmlan leases | grep -q 192.168.122.
         ip -n c1 address replace 192.168.122.250/24 dev eth0
         ip netns exec c1 ping -c 1 -w 10 192.168.122.1",
    )?;
    Ok(())
}

/// What there is on the machine's disk, but for what others write all the time.
fn files(machine: &Machine) -> Result<BTreeSet<String>> {
    let listed = machine.sh(
        "find / -xdev ! -path '/var/log/*' ! -path '/var/lib/dpkg/*-old' \
         ! -path '/tmp/*' ! -path '/var/tmp/*'; find /run -name '*vmlan*'; cat /etc/group",
    )?;
    Ok(listed.lines().map(str::to_owned).collect())
}

#[test]
fn the_package_serves_is_upgraded_under_guests_and_purged_without_a_trace() -> Result<()> {
    let packages = packages()?;
    let machine = machine(&packages)?;
    let before = files(&machine)?;

    machine.sh(INSTALL)?;
    assert_eq!(
        machine.run("systemctl is-active vmlan@default")?.stdout,
        "inactive\n"
    );
    machine.sh("vmlan check /etc/vmlan/default.toml")?;
    machine.sh(START)?;
    machine.sh(CONTAINER)?;
    let mut guests = Guests::attach(&machine)?;
    guests.talk()?;
    lease(&machine)?;
    let ports = machine.sh("vmlan ports")?;
    for port in ["vmlan0", "vnet0", "stream0", "stream1"] {
        assert!(ports.contains(port), "{ports}");
    }

    let running = "systemctl show --property=MainPID vmlan@default";
    let process = machine.sh(running)?;
    machine.sh("dpkg --install /mnt/later.deb")?;
    let version = machine.sh("dpkg-query --show --showformat='${Version}' vmlan")?;
    assert!(version.ends_with("+later"), "{version}");
    assert_eq!(machine.sh(running)?, process);
    guests.talk()?;
    lease(&machine)?;

    machine.sh("dpkg --purge vmlan")?;
    guests.0.hung_up()?;
    let netdevs = machine.sh("ip -brief link; nft list ruleset")?;
    assert!(!netdevs.contains("vmlan"), "{netdevs}");
    let after = files(&machine)?;
    let traces: Vec<_> = after.symmetric_difference(&before).collect();
    assert!(traces.is_empty(), "{traces:#?}");
    Ok(())
}

#[test]
fn the_unit_is_in_order_and_lets_vmlan_do_little() -> Result<()> {
    let packages = packages()?;
    let machine = machine(&packages)?;
    machine.sh(INSTALL)?;
    // The machine has no man(1) to look its pages up.
    let said = machine.run(
        "cp /lib/systemd/system/vmlan@.service /run/vmlan@default.service
         sed -i /^Documentation=/d /run/vmlan@default.service
         systemd-analyze verify --man=no /run/vmlan@default.service",
    )?;
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    machine.sh("systemd-analyze security --offline=yes --threshold=27 \
                /lib/systemd/system/vmlan@.service")?;

    machine.sh(START)?;
    let status = machine.sh("cat /proc/$(systemctl show -P MainPID vmlan@default)/status")?;
    // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW (linux/capability.h).
    let rights = format!("{:016x}", 1 << 10 | 1 << 12 | 1 << 13);
    for line in [
        format!("CapBnd:\t{rights}"),
        "NoNewPrivs:\t1".to_owned(),
        "Seccomp:\t2".to_owned(),
    ] {
        assert!(status.lines().any(|l| l == line), "{line}:\n{status}");
    }
    let within = "nsenter --mount --target=$(systemctl show -P MainPID vmlan@default) sh -ec";
    for refused in [
        "touch /etc/vmlan/x",
        "touch /usr/bin/x",
        "touch /var/lib/x",
        "echo 1 >/proc/sys/kernel/panic",
    ] {
        let outcome = machine.run(&format!("{within} '{refused}'"))?;
        assert!(
            outcome.stderr.contains("Read-only file system"),
            "{refused}: {outcome:?}"
        );
    }
    // What it needs, it has.
    assert_eq!(machine.sh("cat /proc/sys/net/ipv4/ip_forward")?, "1\n");
    let log = machine.sh("journalctl --quiet --unit=vmlan@default --output=cat")?;
    for trouble in ["WARN", "ERROR", "io_uring"] {
        assert!(!log.contains(trouble), "{log}");
    }
    Ok(())
}

#[test]
fn the_sockets_are_for_the_group_and_for_nobody_else() -> Result<()> {
    let packages = packages()?;
    let machine = machine(&packages)?;
    machine.sh(INSTALL)?;
    machine.sh(START)?;
    machine.sh("useradd --groups vmlan alice; useradd bob")?;
    let owner =
        "stat --format='%U:%G %a' /run/vmlan/default/control.sock /run/vmlan/default/vm.sock";
    assert_eq!(machine.sh(owner)?, "root:vmlan 660\nroot:vmlan 660\n");
    machine.sh(
        "setpriv --reuid=alice --regid=alice --init-groups vmlan status --run-dir /run/vmlan",
    )?;
    let bob = machine
        .run("setpriv --reuid=bob --regid=bob --init-groups vmlan status --run-dir /run/vmlan")?;
    assert_eq!(bob.status, 1, "{bob:?}");
    assert!(
        bob.stderr.contains("a member of the group vmlan"),
        "{bob:?}"
    );
    let helper = machine.sh("stat --format='%U:%G %a' /usr/lib/vmlan/vmlan-bridge-helper")?;
    assert_eq!(helper, "root:vmlan 4750\n");
    let lines = machine.sh("vmlan qemu web")?;
    let wanted = "br=vmlan0,helper=/usr/lib/vmlan/vmlan-bridge-helper";
    assert!(lines.contains(wanted), "{lines}");
    Ok(())
}

#[test]
fn systemd_reloads_the_service_and_starts_it_again_after_a_crash() -> Result<()> {
    let packages = packages()?;
    let machine = machine(&packages)?;
    machine.sh(INSTALL)?;
    machine.sh(START)?;
    let mut guests = Guests::attach(&machine)?;

    machine.sh("echo 'domain = \"lab.example\"' >>/etc/vmlan/default.toml
                systemctl reload vmlan@default")?;
    machine.sh("echo 'domian = \"x\"' >>/etc/vmlan/default.toml")?;
    let refused = machine.run("systemctl reload vmlan@default")?;
    assert_ne!(refused.status, 0);
    let log = machine.sh("journalctl --quiet --unit=vmlan@default --output=cat")?;
    assert!(log.contains("did you mean `domain`?"), "{log}");
    guests.talk()?;

    machine.sh("sed -i '$d' /etc/vmlan/default.toml")?;
    let process = machine.sh("systemctl show -P MainPID vmlan@default")?;
    machine.sh("systemctl kill --signal=KILL vmlan@default")?;
    wait::until("the next process", SOON, || {
        let next = machine.sh("systemctl show -P MainPID vmlan@default")?;
        ensure!(next != process && next != "0\n", "{next}");
        machine.sh("vmlan status").context("it does not answer")
    })?;

    // One that cannot be served is not tried again.
    machine.sh("echo 'mtu = 1' >>/etc/vmlan/default.toml")?;
    assert_ne!(machine.run("systemctl restart vmlan@default")?.status, 0);
    let state = machine.run("systemctl is-active vmlan@default")?;
    assert_eq!(state.stdout, "failed\n");
    assert!(!Path::new(&machine.path("/run/vmlan/default")).exists());
    Ok(())
}
