//! Events in words, one line each.

use super::{Event, Record};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortJoined { port, port_kind } => write!(f, "port {port} ({port_kind}) is there"),
            Self::PortLeft { port, why, .. } => {
                write!(f, "port {port} is gone")?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::PortUp { port } => write!(f, "port {port} is up"),
            Self::PortDown { port } => write!(f, "port {port} is down"),
            Self::UplinkGone { interface } => write!(
                f,
                "there is no uplink {interface}: until it comes, guests get nowhere"
            ),
            Self::UplinkBack { interface } => write!(f, "the uplink {interface} is there again"),
            Self::LeaseBound { mac, address, port } => {
                write!(f, "DHCP: {mac} gets {address}")?;
                by(f, port.as_deref())
            }
            Self::LeaseRenewed { mac, address, port } => {
                write!(f, "DHCP: {mac} keeps {address}")?;
                by(f, port.as_deref())
            }
            Self::LeaseReleased { mac, address, port } => {
                write!(f, "DHCP: {mac} gives back {address}")?;
                by(f, port.as_deref())
            }
            Self::LeaseExpired { mac, address } => {
                write!(f, "DHCP: {mac} has not renewed {address}")
            }
            Self::LeaseRefused {
                mac,
                address,
                reason,
                port,
            } => {
                write!(f, "DHCP: {mac} is refused {address}: {reason}")?;
                by(f, port.as_deref())
            }
            Self::LeaseDeclined {
                mac,
                address,
                put_aside,
                port,
            } => {
                let then = if *put_aside {
                    "it is put aside"
                } else {
                    "too many of its port are put aside, so it is free again"
                };
                write!(
                    f,
                    "DHCP: {mac} found {address} in use by somebody else; {then}"
                )?;
                by(f, port.as_deref())
            }
            Self::AddressInUse {
                mac,
                address,
                holder,
                put_aside,
            } => {
                let then = if *put_aside {
                    "it is put aside"
                } else {
                    "too many that its port answers for are put aside, so it is offered all the \
                     same"
                };
                write!(
                    f,
                    "DHCP: {address}, free for {mac}, is used by {holder} without a lease; {then}"
                )
            }
            Self::HostAddressTaken {
                mac,
                address,
                holder,
            } => {
                let holder = holder.map_or("nobody for now".to_owned(), |mac| mac.to_string());
                write!(
                    f,
                    "DHCP: the static address {address} of {mac} is held by {holder}; it gets \
                     another"
                )
            }
            Self::DuplicateClientId { macs: [a, b], .. } => write!(
                f,
                "DHCP: {a} and {b} send the same client-id, as clones of one image do: each gets \
                 an address of its own, but with `key = \"client-id\"` they take it from each \
                 other"
            ),
            Self::NoAddress {
                mac,
                reason,
                mend,
                more,
            } => {
                let client = mac.map_or("a client".to_owned(), |mac| mac.to_string());
                write!(f, "DHCP: {client} gets no address, {reason}: {mend}")?;
                match more {
                    0 => Ok(()),
                    n => write!(f, " ({n} more messages since the last such line)"),
                }
            }
            Self::LeasesStuck { error } => {
                write!(
                    f,
                    "no lease is given out until leases can be written: {error}"
                )
            }
            Self::LeasesWritten => f.write_str("leases can be written again"),
            Self::StationMoved {
                mac,
                vlan,
                from,
                to,
            } => {
                station(f, mac, *vlan)?;
                write!(f, " moved from port {from} to {to}")
            }
            Self::StationFlapping {
                mac,
                vlan,
                ports: [a, b],
                moves,
                seconds,
            } => {
                station(f, mac, *vlan)?;
                write!(
                    f,
                    " moved {moves} times in {seconds} s, lately between the ports {a} and {b}: \
                     two stations have one MAC address, or there is a loop"
                )
            }
            Self::MovesUncounted { moves } => write!(
                f,
                "stations moved {moves} more times than could be taken note of one by one"
            ),
            Self::AddressConflict {
                address,
                macs: [a, b],
                port,
                times,
            } => {
                write!(
                    f,
                    "{address} is used by two stations: {a}, and {b} behind port {port}"
                )?;
                match times {
                    0 | 1 => Ok(()),
                    n => write!(f, " ({n} times since the last such line)"),
                }
            }
            Self::DropsBegan {
                port,
                direction,
                reason,
                rate,
            } => write!(
                f,
                "port {port} drops {rate} frames/s ({direction}, {reason})"
            ),
            Self::DropsEnded {
                port,
                direction,
                reason,
                frames,
                seconds,
            } => write!(
                f,
                "port {port} has dropped {frames} frames in {seconds} s ({direction}, {reason}); \
                 it is over"
            ),
            Self::FdbFull { size, refused } => write!(
                f,
                "the MAC table is full ({size} stations): {refused} times a station was not \
                 learned, frames to it are flooded; raise `fdb-size`"
            ),
            Self::HostRestored { what } => f.write_str(what),
            Self::HostChanged { what, mend } => write!(f, "{what} (help: {mend})"),
            Self::Reloaded { done, failed } => {
                if done.is_empty() && failed.is_empty() {
                    return f.write_str("reload: nothing has changed");
                }
                f.write_str("reload: ")?;
                let failed = failed.iter().map(|what| format!("not done: {what}"));
                let all: Vec<String> = done.iter().cloned().chain(failed).collect();
                f.write_str(&all.join("; "))
            }
            Self::Failed { error } => f.write_str(error),
            Self::Started { version } => write!(f, "vmlan {version} serves the network"),
            Self::Stopping { why } => write!(f, "ends {why}"),
            Self::Lost { count: Some(count) } => {
                write!(
                    f,
                    "{count} events are lost: they came faster than they were read"
                )
            }
            Self::Lost { count: None } => f.write_str(
                "vmlan has been started again since: what happened before is no longer kept",
            ),
        }
    }
}

fn by(f: &mut fmt::Formatter<'_>, port: Option<&str>) -> fmt::Result {
    port.map_or(Ok(()), |port| write!(f, " (port {port})"))
}

fn station(f: &mut fmt::Formatter<'_>, mac: &pnet_base::MacAddr, vlan: u16) -> fmt::Result {
    match vlan {
        0 => write!(f, "station {mac}"),
        vlan => write!(f, "station {mac} of VLAN {vlan}"),
    }
}

impl Record {
    /// A line for a reader: time in `zone`, kind, what happened.
    #[must_use]
    pub fn line(&self, zone: &TimeZone) -> String {
        let time = self.time.parse::<Timestamp>();
        let time = time.map_or_else(
            |_| self.time.clone(),
            |time| {
                let local = zone.to_datetime(time);
                local.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
            },
        );
        let left_out = left_out(self.left_out);
        format!(
            "{time}  {:<19}  {}{left_out}",
            self.event.kind(),
            self.event
        )
    }
}

/// What stands behind a line before which `n` of its kind were left out.
pub(crate) fn left_out(n: u64) -> String {
    match n {
        0 => String::new(),
        n => format!(" ({n} more of this kind before it are left out)"),
    }
}
