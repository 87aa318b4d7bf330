//! `forward`, and the table `[nat]`: what guests can reach outside.

use super::Problem;
use super::network::Written;
use super::section::{Findings, Section};
use super::value::ipv4;
use std::net::Ipv4Addr;
use std::str::FromStr;
use toml::Spanned;

/// What guests can reach outside the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// Everything, behind the host's address.
    Nat,
    /// Everything, with their own addresses.
    Route,
    /// As [`Route`](Self::Route), without firewall rules of vmlan.
    Open,
    /// Nothing but each other and the host.
    Isolated,
    /// The LAN behind the uplink, as stations of it.
    Bridge,
}

impl Forward {
    const ALL: [Self; 5] = [
        Self::Nat,
        Self::Route,
        Self::Open,
        Self::Isolated,
        Self::Bridge,
    ];

    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Route => "route",
            Self::Open => "open",
            Self::Isolated => "isolated",
            Self::Bridge => "bridge",
        }
    }

    /// Whether the host's own stack carries what guests send outside.
    #[must_use]
    pub fn is_routed(self) -> bool {
        matches!(self, Self::Nat | Self::Route | Self::Open)
    }
}

impl FromStr for Forward {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let known = Self::ALL.map(Self::name);
        Self::ALL
            .into_iter()
            .find(|known| known.name() == text)
            .ok_or_else(|| Problem::unknown_word("way to forward", text, &known))
    }
}

/// How the addresses of guests are translated with `forward = "nat"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat {
    /// First and last source port of TCP and UDP seen outside.
    pub ports: (u16, u16),
    /// First and last source address seen outside; none: that of the netdev by
    /// which a packet leaves.
    pub addresses: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Default for Nat {
    /// As libvirt has it: guests get no port below 1024, which some servers
    /// (NFS) trust.
    fn default() -> Self {
        Self {
            ports: (1024, u16::MAX),
            addresses: None,
        }
    }
}

impl Nat {
    pub(super) fn read(mut section: Section<'_, '_, '_>) -> Self {
        let default = Self::default();
        let ports = section.value("ports", ports);
        let addresses = section.texts("addresses", ipv4);
        let addresses = addresses.and_then(|list| {
            let ends = addresses_of(list.get_ref());
            section.findings.keep(list.span(), ends)
        });
        section.end();
        Self {
            ports: ports.map_or(default.ports, Spanned::into_inner),
            addresses: addresses.map(Spanned::into_inner),
        }
    }
}

/// Two port numbers, the second not before the first.
fn ports(value: &super::Value) -> Result<(u16, u16), Problem> {
    let help = "write the first and the last, as [1024, 65535]";
    let super::Value::List(items) = value else {
        let problem = Problem::new(format!("the ports are {}", value.kind()));
        return Err(problem.help(help));
    };
    let port = |item: &super::Value| match item {
        super::Value::Number(number) => u16::try_from(*number).ok().filter(|port| *port > 0),
        _ => None,
    };
    match items.as_slice() {
        [first, last] => match port(first).zip(port(last)) {
            Some((first, last)) if first <= last => Ok((first, last)),
            Some((first, last)) => Err(Problem::new("the ports end before they start")
                .help(format!("write [{last}, {first}]"))),
            None => Err(Problem::new("a port is a number from 1 to 65535").help(help)),
        },
        _ => Err(Problem::new("the ports have to be two numbers").help(help)),
    }
}

/// One address, or the first and the last of a range.
fn addresses_of(list: &[Spanned<Ipv4Addr>]) -> Result<(Ipv4Addr, Ipv4Addr), Problem> {
    let (first, last) = match list {
        [only] => (*only.get_ref(), *only.get_ref()),
        [first, last] => (*first.get_ref(), *last.get_ref()),
        _ => {
            return Err(Problem::new("the addresses have to be one or two").help(
                "write one, or the first and the last, as [\"203.0.113.5\", \"203.0.113.9\"]",
            ));
        }
    };
    if first > last {
        return Err(Problem::new("the addresses end before they start")
            .help(format!("write [\"{last}\", \"{first}\"]")));
    }
    if let Some(bad) = [first, last].into_iter().find(|it| {
        it.is_unspecified() || it.is_multicast() || it.is_broadcast() || it.is_loopback()
    }) {
        return Err(
            Problem::new(format!("{bad} cannot be an address seen outside"))
                .help("use addresses that the host has, or that are routed to it"),
        );
    }
    Ok((first, last))
}

/// What goes with which way to forward.
pub(super) fn check(written: &Written, findings: &mut Findings<'_>) {
    match (written.forward(), &written.uplink, &written.forward) {
        (Forward::Bridge, None, Some(forward)) if written.ports.is_empty() => {
            let problem = Problem::new("this bridge leads nowhere: it has neither uplink nor port")
                .help("add uplink = \"…\", the NIC of the LAN, or attach one later");
            findings.warn(forward.span(), problem);
        }
        (Forward::Isolated, Some(uplink), _) => {
            let problem = Problem::new("the uplink of an isolated network is not used")
                .help("add forward = \"bridge\" to join it with the LAN");
            findings.warn(uplink.span(), problem);
        }
        (Forward::Open, Some(uplink), _) => {
            let problem = Problem::new("an open network has no rules, so none for its uplink")
                .help("use forward = \"route\" to have it the only way out, or take it out");
            findings.warn(uplink.span(), problem);
        }
        _ => {}
    }
    if let Some(forward) = &written.forward
        && forward.get_ref().is_routed()
        && written.interface().is_none()
    {
        let name = forward.get_ref().name();
        let problem = Problem::new(format!(
            "forward = \"{name}\" needs the host's own interface, and interface = \"\" is none"
        ))
        .help("give the interface a name, as \"vmlan0\", or use \"isolated\" or \"bridge\"");
        findings.error(forward.span(), problem);
    }
    if let Some(nat) = &written.nat
        && written.forward() != Forward::Nat
    {
        let problem = Problem::new("[nat] is used with forward = \"nat\" only")
            .help("take it out, or set forward = \"nat\"");
        findings.warn(nat.span(), problem);
    }
}
