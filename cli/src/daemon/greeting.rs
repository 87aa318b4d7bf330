//! What `vmlan run` prints once all is in place: the `ready: ` line, and how
//! to attach a guest, ready to paste.

use super::network::Network;
use crate::config::Pattern;
use crate::qemu;
use pnet_base::MacAddr;
use std::fmt;

/// The greeting of a network.
pub(super) struct Greeting<'a>(pub(super) &'a Network);

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.0;
        let config = &network.config;
        write!(f, "ready: network {}", config.name)?;
        if let Some(interface) = &config.interface {
            write!(f, ", host interface {interface}")?;
        }
        if let Some(gateway) = network.gateway {
            write!(f, " {gateway}")?;
            if config.dhcp.enabled {
                let ranges = config.dhcp.ranges(gateway);
                for (place, range) in ranges.iter().enumerate() {
                    let (first, last) = range.addresses.clone().into_inner();
                    let joint = if place == 0 { ", DHCP" } else { " and" };
                    write!(f, "{joint} {first} to {last}")?;
                }
            }
        }
        writeln!(f, ", forward {}", config.forward.name())?;

        let [.., a, b] = network.mac.octets();
        let mac = |n: u8| MacAddr::new(0x52, 0x54, 0, a, b, n);
        let socket = network.run.path().join(super::CONNECT);
        writeln!(
            f,
            "\nTo attach a qemu guest, add to its command line (each with a mac of its own):"
        )?;
        writeln!(f, "  {} {}", qemu::stream(&socket), qemu::device(mac(1)))?;
        if config.attach.iter().any(|p: &Pattern| p.matches("vnet0")) {
            writeln!(
                f,
                "or, as root and faster (the tap is taken as it appears):"
            )?;
            writeln!(f, "  {} {}", qemu::tap("vnet0"), qemu::device(mac(2)))?;
        }
        Ok(())
    }
}
