//! A host between a guest and an "internet": what passes from one to the other,
//! and as whom.

use crate::namespace::Namespace;
use crate::process::Process;
use crate::station::Station;
use crate::switch::{NETWORK, Switch};
use crate::wait::SOON;
use anyhow::{Context, Result};
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// The guest's address, that of the host's NIC, and that of a server beyond it.
pub const GUEST: &str = "192.168.122.10";
/// The address of the host's NIC `wan0`.
pub const HOST: &str = "203.0.113.1";
/// A server in the internet.
pub const SERVER: &str = "203.0.113.2";

/// Long enough for whatever passes, and short for what does not.
const PATIENCE: Duration = Duration::from_millis(600);

/// vmlan on a host with the NIC `wan0`, behind which is the internet. The guest
/// is a container.
#[derive(Debug)]
pub struct Outside {
    /// vmlan, in the host's namespace.
    pub switch: Switch,
    /// Behind `wan0`; it knows a way back to the guest's own address.
    pub internet: Namespace,
    guest: Option<Namespace>,
}

impl Outside {
    /// Makes host and internet; vmlan does not run yet. The host does not
    /// forward.
    ///
    /// # Errors
    /// Not root.
    pub fn new() -> Result<Self> {
        let switch = Switch::prepare("")?;
        let internet = Namespace::new("internet")?;
        switch.namespace.veth("wan0", &internet, "eth0")?;
        switch.namespace.run(&format!(
            "sysctl -qw net.ipv4.ip_forward=0; ip addr add {HOST}/24 dev wan0; \
             ip route add default via {SERVER}"
        ))?;
        internet.run(&format!(
            "ip addr add {SERVER}/24 dev eth0; ip route add 192.168.122.0/24 via {HOST}"
        ))?;
        Ok(Self {
            switch,
            internet,
            guest: None,
        })
    }

    /// Starts vmlan with `config` behind the keys that all have, and the guest.
    ///
    /// # Errors
    /// It does not come up.
    pub fn launch(&mut self, config: &str) -> Result<()> {
        self.configure(config)?;
        self.switch.launch()?;
        let guest = self.switch.container("c1", "52:54:00:00:0f:01")?;
        guest.run(&format!(
            "ip addr add {GUEST}/24 dev eth0; ip route add default via 192.168.122.1"
        ))?;
        self.guest = Some(guest);
        Ok(())
    }

    /// Writes `config` behind the keys that all have.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, config: &str) -> Result<()> {
        self.switch.write_config(&format!(
            "name = \"{NETWORK}\"\naddress = \"192.168.122.1/24\"\n{config}\n\
             [[port]]\nname = \"c1\"\nkind = \"tap\"\n"
        ))
    }

    /// The guest.
    ///
    /// # Errors
    /// It has not been started.
    pub fn guest(&self) -> Result<&Namespace> {
        self.guest.as_ref().context("there is no guest")
    }

    /// Ends vmlan, and the guest with it.
    ///
    /// # Errors
    /// It does not end in order.
    pub fn stop(&mut self) -> Result<()> {
        self.guest = None;
        self.switch.stop()
    }

    /// Kills vmlan, and the guest with it.
    pub fn kill(&mut self) {
        self.guest = None;
        self.switch.kill();
    }

    /// What of TCP, UDP and ICMP gets from the guest to the internet.
    ///
    /// # Errors
    /// The guest has not been started.
    pub fn outward(&self) -> Result<Reached> {
        reached(self.guest()?, &self.internet, SERVER)
    }

    /// What gets from the internet to the guest.
    ///
    /// # Errors
    /// The guest has not been started.
    pub fn inward(&self) -> Result<Reached> {
        reached(&self.internet, self.guest()?, GUEST)
    }

    /// The rules of nftables on the host, iptables' included, without their
    /// counts.
    ///
    /// # Errors
    /// There is no nft.
    pub fn rules(&self) -> Result<String> {
        let rules = self
            .switch
            .namespace
            .run("nft -j list ruleset | sed -E 's/\"(packets|bytes)\": [0-9]+/\"\\1\": 0/g'")?;
        Ok(rules)
    }

    /// net.ipv4.ip_forward of the host.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn forwards(&self) -> Result<bool> {
        let value = self.switch.namespace.run("sysctl -n net.ipv4.ip_forward")?;
        Ok(value.trim() == "1")
    }
}

/// What got through, with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// As whom a TCP connection was seen at the far end.
    pub tcp: Option<SocketAddr>,
    /// As whom a UDP datagram was seen.
    pub udp: Option<SocketAddr>,
    /// Whether a ping was answered.
    pub icmp: bool,
}

impl Reached {
    /// Nothing.
    pub const NOTHING: Self = Self {
        tcp: None,
        udp: None,
        icmp: false,
    };

    /// Whether all of it came, from `address`.
    #[must_use]
    pub fn all_from(&self, address: &str) -> bool {
        let is = |seen: Option<SocketAddr>| {
            address
                .parse::<IpAddr>()
                .is_ok_and(|it| seen.is_some_and(|seen| seen.ip() == it))
        };
        is(self.tcp) && is(self.udp) && self.icmp
    }
}

/// What gets from `from` to `to`, which has `address`, and back.
fn reached(from: &Namespace, to: &Namespace, address: &str) -> Result<Reached> {
    let listener = to.enter(|| Ok(TcpListener::bind("0.0.0.0:0")?))?;
    let receiver = to.enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let (tcp, udp) = (listener.local_addr()?.port(), receiver.local_addr()?.port());
    let address: IpAddr = address.parse()?;
    // A port below 1024, which NAT is to change.
    let sender = from.enter(|| Ok(UdpSocket::bind("0.0.0.0:1023")?))?;
    sender.set_read_timeout(Some(PATIENCE))?;

    let connected = from
        .enter(|| Ok(TcpStream::connect_timeout(&SocketAddr::new(address, tcp), PATIENCE).ok()))?;
    let tcp = match connected {
        Some(_) => Some(listener.accept()?.1),
        None => None,
    };
    let mut text = [0; 8];
    // Refused at once, or the answer to an earlier one says so.
    let sent = sender
        .send_to(b"ping", SocketAddr::new(address, udp))
        .is_ok();
    let udp = match receiver.recv_from(&mut text) {
        Ok((_, seen)) if sent => {
            receiver.send_to(b"pong", seen)?;
            sender.recv_from(&mut text).ok().map(|_| seen)
        }
        _ => None,
    };
    let icmp = from.shell(&format!("ping -c 1 -W 1 {address}"), SOON)?;
    Ok(Reached {
        tcp,
        udp,
        icmp: icmp.status == 0,
    })
}

/// dockerd on the host of a switch, with folders that only it sees.
#[derive(Debug)]
pub struct Docker(Process);

impl Docker {
    /// Starts it and waits until its rules are there.
    ///
    /// # Errors
    /// It does not come up; with its log.
    pub fn start(host: &Namespace) -> Result<Self> {
        // Not `ip netns exec`, which hides the cgroups that dockerd wants.
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", host.name()))
            .args(["unshare", "--mount", "sh", "-c"])
            .arg(
                "mkdir -p /var/lib/docker /etc/docker \
                 && mount -t tmpfs none /var/lib/docker && mount -t tmpfs none /etc/docker \
                 && mount -t tmpfs none /run && exec dockerd --storage-driver=vfs 2>&1",
            );
        let mut process = Process::spawn(command)?;
        process.wait_for_line("dockerd", 0, 3 * SOON, |line| {
            line.contains("API listen on")
        })?;
        Ok(Self(process))
    }

    /// Ends it; its rules stay.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> Result<()> {
        self.0.signal(rustix::process::Signal::TERM)?;
        self.0.wait(3 * SOON).map(drop)
    }
}

/// firewalld on the host of a switch, with a D-Bus and folders of its own.
#[derive(Debug)]
pub struct Firewalld {
    _bus: Process,
    _firewalld: Process,
    folder: tempfile::TempDir,
}

impl Firewalld {
    /// Starts it on the host of `switch`, which finds it from its next start
    /// on, with the zones and policies of libvirt's package or without.
    ///
    /// # Errors
    /// It does not come up; with its log.
    pub fn start(switch: &mut Switch, has_libvirt: bool) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("vt-{}-", std::process::id()))
            .tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let path = folder.path().display();
        let address = format!("unix:path={path}/bus");
        fs::write(
            folder.path().join("bus.conf"),
            format!(
                "<busconfig><type>system</type><listen>{address}</listen><policy context='default'>\
                 <allow user='*'/><allow own='*'/><allow send_destination='*'/>\
                 <allow receive_sender='*'/></policy></busconfig>"
            ),
        )?;
        switch.set_environment("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let mut bus = switch.namespace.spawn(&format!(
            "exec dbus-daemon --config-file={path}/bus.conf --nofork --nopidfile --print-address"
        ))?;
        bus.wait_for_line("dbus-daemon", 0, SOON, |line| line.starts_with("unix:"))?;
        let zones = if has_libvirt {
            format!("test -e {path}/lib/zones/libvirt-routed.xml")
        } else {
            format!("rm -f {path}/lib/*/libvirt*.xml")
        };
        let firewalld = switch.namespace.spawn(&format!(
            "cp -r /usr/lib/firewalld {path}/lib && cp -r /etc/firewalld {path}/etc && {zones} \
             && mount --bind {path}/lib /usr/lib/firewalld \
             && mount --bind {path}/etc /etc/firewalld && mount -t tmpfs none /run \
             && DBUS_SYSTEM_BUS_ADDRESS={address} \
             exec firewalld --nofork --nopid --log-target console 2>&1"
        ))?;
        let started = Self {
            _bus: bus,
            _firewalld: firewalld,
            folder,
        };
        crate::wait::until("firewalld", 2 * SOON, || {
            started.command(&switch.namespace, "--state")
        })
        .with_context(|| started._firewalld.stdout())?;
        Ok(started)
    }

    /// Runs `firewall-cmd` with `arguments`.
    ///
    /// # Errors
    /// It fails.
    pub fn command(&self, host: &Namespace, arguments: &str) -> Result<String> {
        host.run(&format!(
            "DBUS_SYSTEM_BUS_ADDRESS=unix:path={}/bus firewall-cmd {arguments}",
            self.folder.path().display()
        ))
    }
}
