//! Reads the tables of the file, each key with its place, and makes the
//! [`Config`] of them once [`check`](super::check) has seen them together.

use super::check;
use super::dhcp_boot::{read_boot, read_special};
use super::dhcp_host::{WrittenHost, read_host};
use super::dhcp_match::read_match;
use super::dhcp_option::{read_option, read_options};
use super::dhcp_pool::{Ends, WrittenPool, read_pool};
use super::dns::{self, WrittenDns};
use super::events::{Events, read_log};
use super::port::MAX_WORKERS;
use super::section::{Findings, Section};
use super::tftp::WrittenTftp;
use super::value::{domain_name, duration, host_net, ipv4, lease_time, polling, station_mac};
use super::{
    Address, Config, Dhcp, DhcpOption, Dns, Forward, Hook, InterfaceName, LeaseTime, Libvirt, Mac,
    Nat, NetworkName, Pattern, Places, Port, PortName, PortSettings, Problem, Source, Switch,
};
use crate::log::LogFilter;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeTable;
use vmlan_dhcp::options::Boot;
use vmlan_dhcp::{Identity, Match};

/// The file as written: what is missing in it is `None`.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) name: Option<Spanned<NetworkName>>,
    /// `Some(None)`: the empty text, no interface.
    pub(super) interface: Option<Spanned<Option<InterfaceName>>>,
    pub(super) address: Option<Spanned<Address>>,
    pub(super) mac: Option<Spanned<Mac>>,
    pub(super) mtu: Option<Spanned<u16>>,
    pub(super) domain: Option<Spanned<Option<String>>>,
    pub(super) forward: Option<Spanned<Forward>>,
    pub(super) uplink: Option<Spanned<InterfaceName>>,
    pub(super) move_addresses: Option<Spanned<bool>>,
    pub(super) nat: Option<Spanned<Nat>>,
    pub(super) switch: Option<Switch>,
    pub(super) dhcp: Option<Spanned<WrittenDhcp>>,
    pub(super) dns: Option<Spanned<WrittenDns>>,
    pub(super) tftp: Option<Spanned<WrittenTftp>>,
    pub(super) events: Option<Events>,
    pub(super) log: Option<LogFilter>,
    pub(super) libvirt: Option<Libvirt>,
    pub(super) attach: Option<Vec<Pattern>>,
    pub(super) ports: Vec<WrittenPort>,
}

/// `[dhcp]` as written.
#[derive(Debug, Default)]
pub(super) struct WrittenDhcp {
    pub(super) enabled: Option<Spanned<bool>>,
    pub(super) range: Option<Ends>,
    pub(super) pools: Vec<WrittenPool>,
    pub(super) key: Option<Spanned<Identity>>,
    pub(super) sequential: Option<Spanned<bool>>,
    pub(super) known_only: Option<Spanned<bool>>,
    pub(super) matches: Vec<Match>,
    pub(super) lease_time: Option<Spanned<LeaseTime>>,
    pub(super) max_leases: Option<Spanned<u64>>,
    pub(super) options: Vec<DhcpOption>,
    pub(super) boots: Vec<Boot>,
    pub(super) rapid_commit: Option<Spanned<bool>>,
    pub(super) probe: Option<Spanned<bool>>,
    pub(super) hosts: Vec<WrittenHost>,
    pub(super) hook: Option<Hook>,
}

/// `[[port]]` as written.
#[derive(Debug)]
pub(super) struct WrittenPort {
    /// The whole `[[port]]`, or what of it the parser gives as its place.
    pub(super) table: Range<usize>,
    pub(super) name: Range<usize>,
    pub(super) interface: Range<usize>,
    pub(super) queues: Range<usize>,
    pub(super) port: Port,
}

/// Reads the whole file. The result is of use only if nothing was found
/// wrong.
pub(super) fn read(
    table: &Spanned<DeTable<'_>>,
    network: Option<&NetworkName>,
    findings: &mut Findings<'_>,
) -> Config {
    let written = read_root(Section::new(table.get_ref(), table.span(), findings));
    check::check(&written, network, findings);
    written.into_config(network, findings.source())
}

fn read_root(mut root: Section<'_, '_, '_>) -> Written {
    let written = Written {
        name: root.text("name", str::parse),
        interface: root.text("interface", |text| match text {
            "" => Ok(None),
            name => name.parse().map(Some),
        }),
        address: root.text("address", |text| match text {
            "auto" => Ok(Address::Auto),
            net => host_net(net).map(Address::Fixed),
        }),
        mac: root.text("mac", |text| match text {
            "uplink" => Ok(Mac::Uplink),
            mac => station_mac(mac).map(Mac::Fixed),
        }),
        mtu: root.number("mtu", 576..=65_520),
        domain: root.text("domain", |text| match text {
            "" => Ok(None),
            name => domain_name(name).map(Some),
        }),
        forward: root.text("forward", str::parse),
        uplink: root.text("uplink", str::parse),
        move_addresses: root.boolean("move-addresses"),
        nat: root.table("nat", Nat::read),
        switch: root.table("switch", read_switch).map(Spanned::into_inner),
        dhcp: root.table("dhcp", read_dhcp),
        dns: root.table("dns", WrittenDns::read),
        tftp: root.table("tftp", WrittenTftp::read),
        events: root.table("events", Events::read).map(Spanned::into_inner),
        log: root.table("log", read_log).and_then(Spanned::into_inner),
        libvirt: root
            .table("libvirt", Libvirt::read)
            .map(Spanned::into_inner),
        attach: root.table("attach", read_attach).map(Spanned::into_inner),
        ports: root.tables("port", read_port),
    };
    root.end();
    written
}

fn read_switch(mut section: Section<'_, '_, '_>) -> Switch {
    let default = Switch::default();
    let ageing = section.text_or_number("ageing", |text| {
        duration(text).map(|time| (time > Duration::ZERO).then_some(time))
    });
    let fdb_size = section.number("fdb-size", 1..=4_194_304);
    let workers = section.number("workers", 0..=MAX_WORKERS);
    let polling = section.text("polling", polling);
    section.text("fastpath", |text| match text {
        "auto" | "off" => Ok(()),
        "required" => Err(
            Problem::new("fastpath = \"required\" is not in this version")
                .help("use \"auto\", or leave the key out"),
        ),
        other => {
            let known = ["auto", "off", "required"];
            Err(Problem::unknown_word("fastpath", other, &known))
        }
    });
    section.end();
    Switch {
        ageing: ageing.map_or(default.ageing, Spanned::into_inner),
        fdb_size: fdb_size.map_or(default.fdb_size, |size| {
            usize::try_from(size.into_inner()).unwrap_or(usize::MAX)
        }),
        workers: workers.map_or(default.workers, Spanned::into_inner),
        polling: polling.map_or(default.polling, Spanned::into_inner),
    }
}

fn read_dhcp(mut section: Section<'_, '_, '_>) -> WrittenDhcp {
    let written = WrittenDhcp {
        enabled: section.boolean("enabled"),
        range: section.texts("range", ipv4),
        pools: section.tables("pool", read_pool),
        key: section.text("key", identity),
        sequential: section.boolean("sequential"),
        known_only: section.boolean("known-only"),
        matches: section.tables("match", read_match),
        lease_time: section.text_or_number("lease-time", lease_time),
        max_leases: section.number("max-leases", 1..=1_000_000),
        options: section
            .table("options", read_options)
            .map(Spanned::into_inner)
            .unwrap_or_default()
            .into_iter()
            .chain(section.tables("option", read_option))
            .collect(),
        boots: read_boot(&mut section)
            .into_iter()
            .chain(section.tables("boot", read_special))
            .collect(),
        rapid_commit: section.boolean("rapid-commit"),
        probe: section.boolean("probe"),
        hosts: section.tables("host", read_host),
        hook: section
            .table("hook", Hook::read)
            .and_then(Spanned::into_inner),
    };
    section.end();
    written
}

fn identity(text: &str) -> Result<Identity, Problem> {
    match text {
        "mac" => Ok(Identity::Mac),
        "client-id" => Ok(Identity::ClientId),
        other => Err(Problem::unknown_word(
            "key of leases",
            other,
            &["mac", "client-id"],
        )),
    }
}

fn read_attach(mut section: Section<'_, '_, '_>) -> Vec<Pattern> {
    let patterns = section.texts("match", str::parse);
    section.end();
    let patterns = patterns.map(Spanned::into_inner).unwrap_or_default();
    patterns.into_iter().map(Spanned::into_inner).collect()
}

fn read_port(mut section: Section<'_, '_, '_>) -> Option<WrittenPort> {
    let span = section.span();
    let name = section.text("name", str::parse::<PortName>);
    if !section.has("name") {
        let problem = Problem::new("this port has no `name`").help("add name = \"…\"");
        section.findings.error(span.clone(), problem);
    }
    let mut settings = PortSettings::default();
    let (mut interface, mut queues) = (None, None);
    let mut failed = false;
    for (key, value) in section.rest() {
        match key.get_ref().as_str() {
            "interface" => interface = Some(value.span()),
            "queues" => queues = Some(value.span()),
            _ => {}
        }
        if let Err(problem) = settings.set(key.get_ref(), value.get_ref(), &["name"]) {
            let at = if PortSettings::takes(key.get_ref()) {
                value.span()
            } else {
                key.span()
            };
            section.findings.error(at, problem);
            failed = true;
        }
    }
    let name = name?;
    if failed {
        return None;
    }
    let at = name.span();
    let result = settings.into_port(name.into_inner());
    let port = section.findings.keep(span.clone(), result)?.into_inner();
    Some(WrittenPort {
        table: span,
        interface: interface.unwrap_or_else(|| at.clone()),
        queues: queues.unwrap_or_else(|| at.clone()),
        name: at,
        port,
    })
}

impl Written {
    /// The way to forward: by default the built-in one, for which the host has
    /// to take part.
    pub(super) fn forward(&self) -> Forward {
        match &self.forward {
            Some(forward) => *forward.get_ref(),
            None if self.interface().is_none() => Forward::Isolated,
            None => Forward::Nat,
        }
    }

    /// The gateway's address: picked by default, but none is needed in a
    /// bridge.
    pub(super) fn address(&self) -> Address {
        match &self.address {
            Some(address) => *address.get_ref(),
            None if self.forward() == Forward::Bridge => Address::None,
            None => Address::Auto,
        }
    }

    /// The host's interface.
    pub(super) fn interface(&self) -> Option<InterfaceName> {
        match &self.interface {
            Some(interface) => interface.get_ref().clone(),
            None => Some(InterfaceName::default()),
        }
    }

    /// Whether the DHCP server is on; in a bridge only if the file says so.
    pub(super) fn dhcp_enabled(&self) -> bool {
        let said = self
            .dhcp
            .as_ref()
            .and_then(|dhcp| dhcp.get_ref().enabled.as_ref());
        said.map_or(self.forward() != Forward::Bridge, |on| *on.get_ref())
    }

    /// Where each port stands: at its `[[port]]`, or at `uplink`.
    fn places(&self, source: &Source) -> Places {
        let ports = self
            .ports
            .iter()
            .map(|port| (port.port.name.clone(), port.table.clone()));
        let uplink = self.uplink.as_ref().and_then(|uplink| {
            let name = uplink.get_ref().as_str().parse().ok()?;
            Some((name, uplink.span()))
        });
        Places::new(source, ports.chain(uplink))
    }

    fn into_config(self, network: Option<&NetworkName>, source: &Source) -> Config {
        let places = self.places(source);
        let (forward, address) = (self.forward(), self.address());
        let (interface, enabled) = (self.interface(), self.dhcp_enabled());
        let by_default = dns::by_default(forward, address);
        let name = self.name.map(Spanned::into_inner);
        let name = name.or_else(|| network.cloned()).unwrap_or_default();
        let built_in = Config::built_in(name);
        Config {
            interface,
            address,
            mac: self.mac.map(Spanned::into_inner),
            mtu: self.mtu.map_or(built_in.mtu, Spanned::into_inner),
            domain: self.domain.map_or(built_in.domain, Spanned::into_inner),
            forward,
            uplink: self.uplink.map(Spanned::into_inner),
            move_addresses: self.move_addresses.is_some_and(Spanned::into_inner),
            nat: self.nat.map(Spanned::into_inner).unwrap_or_default(),
            switch: self.switch.unwrap_or_default(),
            dhcp: self
                .dhcp
                .map(Spanned::into_inner)
                .unwrap_or_default()
                .into_dhcp(enabled),
            dns: match self.dns {
                Some(dns) => dns.into_inner().into_dns(by_default),
                None => Dns {
                    enabled: by_default,
                    ..Dns::default()
                },
            },
            tftp: self.tftp.and_then(|tftp| tftp.into_inner().into_tftp()),
            events: self.events.unwrap_or_default(),
            log: self.log,
            libvirt: self.libvirt,
            attach: self.attach.unwrap_or(built_in.attach),
            ports: self.ports.into_iter().map(|port| port.port).collect(),
            places,
            name: built_in.name,
        }
    }
}

impl WrittenDhcp {
    fn into_dhcp(self, enabled: bool) -> Dhcp {
        let range = self.range.map(Spanned::into_inner).unwrap_or_default();
        let range = match range.as_slice() {
            [first, last] => Some((*first.get_ref(), *last.get_ref())),
            _ => None,
        };
        let default = Dhcp::default();
        Dhcp {
            enabled,
            range,
            pools: self.pools.into_iter().map(|pool| pool.range).collect(),
            identity: self.key.map(Spanned::into_inner).unwrap_or_default(),
            sequential: self.sequential.is_some_and(Spanned::into_inner),
            known_only: self.known_only.is_some_and(Spanned::into_inner),
            matches: self.matches,
            lease_time: self
                .lease_time
                .map_or(default.lease_time, Spanned::into_inner),
            max_leases: self.max_leases.map_or(default.max_leases, |most| {
                usize::try_from(most.into_inner()).unwrap_or(usize::MAX)
            }),
            options: self.options,
            boots: self.boots,
            rapid_commit: self.rapid_commit.is_some_and(Spanned::into_inner),
            probe: self.probe.map_or(default.probe, Spanned::into_inner),
            hosts: self.hosts.into_iter().map(|host| host.host).collect(),
            hook: self.hook,
        }
    }
}
