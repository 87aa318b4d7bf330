//! A LAN beside the switch: a router with a real dnsmasq, and another host.

use crate::namespace::Namespace;
use crate::process::Process;
use crate::station::Station;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;

/// The router's address.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The other host's address.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// First and last address that dnsmasq leases.
pub const RANGE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 100), Ipv4Addr::new(10, 77, 0, 150)];

/// The LAN 10.77.0.0/24. Its "physical switch" is a Linux bridge in the
/// router's namespace.
#[derive(Debug)]
pub struct Lan {
    dnsmasq: Option<Process>,
    /// Where the router and dnsmasq are; the bridge `lan0` is its netdev.
    pub router: Namespace,
    /// Another host, on its `eth0`.
    pub host: Namespace,
}

impl Lan {
    /// Makes the LAN, with `uplink` in `switch` as the NIC that is plugged
    /// into it.
    ///
    /// # Errors
    /// `uplink` is taken, or dnsmasq does not start.
    pub fn new(switch: &Namespace, uplink: &str) -> Result<Self> {
        let router = Namespace::new("router")?;
        let host = Namespace::new("lanhost")?;
        router.run(&format!(
            "ip link add lan0 type bridge && ip link set lan0 up \
             && ip addr add {ROUTER}/24 brd + dev lan0"
        ))?;
        switch.veth(uplink, &router, "plug1")?;
        host.veth("eth0", &router, "plug2")?;
        router.run("ip link set plug1 master lan0 && ip link set plug2 master lan0")?;
        host.run(&format!("ip addr add {HOST}/24 brd + dev eth0"))?;
        let mut lan = Self {
            dnsmasq: None,
            router,
            host,
        };
        lan.start_dnsmasq()?;
        Ok(lan)
    }

    /// Starts dnsmasq, which leases [`RANGE`].
    ///
    /// # Errors
    /// It ends at once.
    pub fn start_dnsmasq(&mut self) -> Result<()> {
        let [first, last] = RANGE;
        let dnsmasq = self.router.spawn(&format!(
            "exec dnsmasq --keep-in-foreground --log-facility=- --log-dhcp --conf-file=/dev/null \
             --port=0 --pid-file= --user=root --leasefile-ro --no-ping --interface=lan0 \
             --bind-interfaces --dhcp-authoritative --dhcp-range={first},{last},5m"
        ))?;
        wait::until("dnsmasq", wait::SOON, || {
            ensure!(dnsmasq.stderr().contains("DHCP, IP range"), "no range yet");
            Ok(())
        })
        .with_context(|| dnsmasq.stderr())?;
        self.dnsmasq = Some(dnsmasq);
        Ok(())
    }

    /// Ends dnsmasq.
    pub fn stop_dnsmasq(&mut self) {
        self.dnsmasq = None;
    }

    /// What dnsmasq logged: each DHCP message that it saw.
    #[must_use]
    pub fn log(&self) -> String {
        self.dnsmasq
            .as_ref()
            .map(Process::stderr)
            .unwrap_or_default()
    }
}
