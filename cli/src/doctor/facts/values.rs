//! Facts as values, for the tests of the checks.

use super::*;
use crate::model::{FdbFill, Fill};

/// A host without faults, with the network of the configuration `text`,
/// which is not running.
pub(crate) fn facts(text: &str) -> Facts {
    let loaded = Loaded::parse(Path::new("x.toml"), text, None).unwrap();
    Facts {
        config: loaded.config,
        status: Err("default is not running".into()),
        leftovers: Leftovers::default(),
        left_by_others: Vec::new(),
        netdevs: Vec::new(),
        addresses: Vec::new(),
        routes: vec![route("0.0.0.0/0", "eth0")],
        others: Vec::new(),
        capabilities: Capabilities {
            net_admin: true,
            net_raw: true,
        },
        kernel: Kernel {
            release: "6.1.0".into(),
            tun: Ok(()),
            nft: Ok(()),
            io_uring_disabled: 0,
            ip_forward: Some(true),
            rp_filter: Vec::new(),
            rp_dropped: 0,
            not_forwarding: Vec::new(),
            wireless: Vec::new(),
        },
        firewall: Ok(Vec::new()),
        offers: Err("the network is not running".into()),
        resolvers: Vec::new(),
        host_resolvers: Vec::new(),
    }
}

pub(crate) fn address(address: &str, netdev: &str) -> HostAddress {
    HostAddress {
        address: address.parse().unwrap(),
        netdev: netdev.into(),
    }
}

pub(crate) fn route(to: &str, netdev: &str) -> HostRoute {
    HostRoute {
        to: to.parse().unwrap(),
        netdev: Some(netdev.into()),
    }
}

pub(crate) fn other(name: &str, interface: &str, subnet: &str) -> OtherNetwork {
    OtherNetwork {
        name: name.into(),
        interface: Some(interface.into()),
        subnets: vec![subnet.parse().unwrap()],
        attach: Vec::new(),
        adopt: None,
    }
}

/// A NIC that is up.
pub(crate) fn netdev(name: &str) -> Link {
    Link {
        index: 2,
        name: name.into(),
        mac: None,
        mtu: 1500,
        ethernet: true,
        up: true,
        carrier: true,
        master: None,
        base: None,
        kind: None,
    }
}

/// The network running.
pub(crate) fn running() -> StatusView {
    StatusView {
        network: "default".into(),
        interface: Some("vmlan0".into()),
        address: None,
        mac: None,
        mtu: 1500,
        forward: "nat".into(),
        uplink: None,
        ports: 1,
        fdb: FdbFill {
            used: 0,
            size: 8192,
            refused: 0,
        },
        leases: Fill { used: 0, size: 0 },
        dhcp: None,
        dns: None,
        tftp: None,
        uptime: 1,
        version: "0".into(),
    }
}
