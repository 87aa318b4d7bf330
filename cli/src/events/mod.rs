//! What happens on a network, as values: each is one line of the log and one
//! object of `GET /v1/events`.
//!
//! `docs/events.md` tells users of every kind; a test holds it against
//! [`Event`]. [`text`] has the words.

#[cfg(test)]
mod tests;
mod text;

pub(crate) use text::left_out;

use crate::config::PortKind;
use jiff::Timestamp;
use pnet_base::MacAddr;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Something that happened, with its place among all that did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Its number. Numbers grow, over restarts too.
    pub seq: u64,
    /// When, as RFC 3339 has it, in UTC with milliseconds.
    pub time: String,
    /// The network.
    pub network: String,
    /// How many of this kind came before it and were left out, since there were
    /// too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What happened, by `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Event {
    /// A port is there.
    PortJoined {
        /// Its name.
        port: String,
        /// What it is connected by.
        port_kind: PortKind,
    },
    /// A port is gone.
    PortLeft {
        /// Its name.
        port: String,
        /// What it was connected by.
        port_kind: PortKind,
        /// Why, where nobody asked for it.
        why: Option<String>,
    },
    /// Frames can pass by a port's netdev again.
    PortUp {
        /// Its name.
        port: String,
    },
    /// A port's netdev is down or has no carrier.
    PortDown {
        /// Its name.
        port: String,
    },
    /// The netdev that leads outside is not there, or not any more.
    UplinkGone {
        /// Its name.
        interface: String,
    },
    /// It is there again.
    UplinkBack {
        /// Its name.
        interface: String,
    },
    /// A client got an address that it did not have.
    LeaseBound {
        /// The client.
        mac: MacAddr,
        /// Its address.
        address: Ipv4Addr,
        /// The port that it asked by.
        port: Option<String>,
    },
    /// A client may keep its address.
    LeaseRenewed {
        /// The client.
        mac: MacAddr,
        /// Its address.
        address: Ipv4Addr,
        /// The port that it asked by.
        port: Option<String>,
    },
    /// A client gave its address back.
    LeaseReleased {
        /// The client.
        mac: MacAddr,
        /// The address that it had.
        address: Ipv4Addr,
        /// The port that it said so by.
        port: Option<String>,
    },
    /// A lease ran out.
    LeaseExpired {
        /// The client.
        mac: MacAddr,
        /// The address that it had.
        address: Ipv4Addr,
    },
    /// A client was told that it may not have an address.
    LeaseRefused {
        /// The client.
        mac: MacAddr,
        /// What it asked for.
        address: Ipv4Addr,
        /// Why not, by name.
        reason: String,
        /// The port that it asked by.
        port: Option<String>,
    },
    /// A client found its address in use by somebody else.
    LeaseDeclined {
        /// The client.
        mac: MacAddr,
        /// The address.
        address: Ipv4Addr,
        /// Whether nobody gets it for a while.
        put_aside: bool,
        /// The port that it said so by.
        port: Option<String>,
    },
    /// An address that was to be offered is in use without a lease.
    AddressInUse {
        /// The client that it was for.
        mac: MacAddr,
        /// The address.
        address: Ipv4Addr,
        /// Who answered for it.
        holder: MacAddr,
        /// Whether nobody gets it for a while.
        put_aside: bool,
    },
    /// A configured host got another address, since its own is taken.
    HostAddressTaken {
        /// The host.
        mac: MacAddr,
        /// Its own address.
        address: Ipv4Addr,
        /// Who has a lease on it.
        holder: Option<MacAddr>,
    },
    /// Two stations present one client identifier.
    DuplicateClientId {
        /// The identifier, hexadecimal with colons.
        client_id: String,
        /// Who had a lease under it, and who gets one now.
        macs: [MacAddr; 2],
    },
    /// A client gets no address, which an operator can mend.
    NoAddress {
        /// The client.
        mac: Option<MacAddr>,
        /// Why not, by name.
        reason: String,
        /// What can be done about it.
        mend: String,
        /// Messages that got none for the same reason since the last such
        /// event.
        more: u64,
    },
    /// Leases cannot be written: none is given out.
    LeasesStuck {
        /// Why not.
        error: String,
    },
    /// Leases can be written again.
    LeasesWritten,
    /// A station is behind another port than before.
    StationMoved {
        /// The station.
        mac: MacAddr,
        /// Its VLAN; 0 without a tag.
        vlan: u16,
        /// The port that it was behind.
        from: String,
        /// The port that it is behind.
        to: String,
    },
    /// A station moves to and fro, as where two have one MAC address, or there
    /// is a loop.
    StationFlapping {
        /// The station.
        mac: MacAddr,
        /// Its VLAN; 0 without a tag.
        vlan: u16,
        /// The last two ports that it was behind.
        ports: [String; 2],
        /// How often it moved.
        moves: u64,
        /// In how many seconds.
        seconds: u64,
    },
    /// Stations moved that nobody could take note of one by one.
    MovesUncounted {
        /// How often, all together.
        moves: u64,
    },
    /// Two stations say that they have one address.
    AddressConflict {
        /// The address.
        address: Ipv4Addr,
        /// Who had it, by its lease or as it was heard before; and who says now
        /// that it has it.
        macs: [MacAddr; 2],
        /// The port that the second one is behind.
        port: String,
        /// How often that was heard, since the last such event.
        times: u64,
    },
    /// More frames a second are dropped than `drops` under `[events]` says.
    DropsBegan {
        /// At which port.
        port: String,
        /// `rx`: of what came from it; `tx`: of what was to go to it.
        direction: String,
        /// Why, by name.
        reason: String,
        /// How many a second.
        rate: u64,
    },
    /// There are fewer again.
    DropsEnded {
        /// At which port.
        port: String,
        /// As when it began.
        direction: String,
        /// Why, by name.
        reason: String,
        /// How many were dropped meanwhile.
        frames: u64,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// The MAC table has no room: frames to further stations are flooded.
    FdbFull {
        /// Stations that fit in.
        size: u64,
        /// Times that one was not learned, since the last such event.
        refused: u64,
    },
    /// Somebody has changed what the network needs on the host, and it was made
    /// again.
    HostRestored {
        /// What that was.
        what: String,
    },
    /// Somebody has changed what the network needs on the host, and it is left
    /// so.
    HostChanged {
        /// What that is.
        what: String,
        /// What can be done about it.
        mend: String,
    },
    /// The configuration was read again.
    Reloaded {
        /// What was changed for it.
        done: Vec<String>,
        /// What could not be.
        failed: Vec<String>,
    },
    /// A part of the program has failed; it ends.
    Failed {
        /// Which, and how.
        error: String,
    },
    /// The network is served from now on.
    Started {
        /// The version of the program.
        version: String,
    },
    /// The network is not served any longer.
    Stopping {
        /// Why.
        why: String,
    },
    /// Not an event: whoever follows was too slow, or asked for what is no
    /// longer kept.
    Lost {
        /// How many events it has not seen; none: those of a former run, of
        /// which nobody knows the number.
        count: Option<u64>,
    },
}

/// How much an event matters: the level of its line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It happens all the time; shown by `vmlan log debug`.
    Routine,
    /// Somebody may want to know.
    News,
    /// Somebody should look.
    Trouble,
    /// The network, or a part of it, does not work.
    Failure,
}

impl Event {
    /// How much it matters.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self {
            Self::LeaseRenewed { .. } | Self::Lost { .. } => Weight::Routine,
            Self::PortJoined { .. }
            | Self::PortLeft { .. }
            | Self::PortUp { .. }
            | Self::PortDown { .. }
            | Self::UplinkBack { .. }
            | Self::LeaseBound { .. }
            | Self::LeaseReleased { .. }
            | Self::LeaseExpired { .. }
            | Self::LeaseRefused { .. }
            | Self::LeasesWritten
            | Self::StationMoved { .. }
            | Self::DropsEnded { .. }
            | Self::Started { .. }
            | Self::Stopping { .. } => Weight::News,
            Self::Reloaded { failed, .. } if failed.is_empty() => Weight::News,
            Self::Reloaded { .. } | Self::LeasesStuck { .. } | Self::Failed { .. } => {
                Weight::Failure
            }
            Self::UplinkGone { .. }
            | Self::LeaseDeclined { .. }
            | Self::AddressInUse { .. }
            | Self::HostAddressTaken { .. }
            | Self::DuplicateClientId { .. }
            | Self::NoAddress { .. }
            | Self::StationFlapping { .. }
            | Self::MovesUncounted { .. }
            | Self::AddressConflict { .. }
            | Self::DropsBegan { .. }
            | Self::FdbFull { .. }
            | Self::HostRestored { .. }
            | Self::HostChanged { .. } => Weight::Trouble,
        }
    }

    /// Its kind, as users see it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PortJoined { .. } => "port-joined",
            Self::PortLeft { .. } => "port-left",
            Self::PortUp { .. } => "port-up",
            Self::PortDown { .. } => "port-down",
            Self::UplinkGone { .. } => "uplink-gone",
            Self::UplinkBack { .. } => "uplink-back",
            Self::LeaseBound { .. } => "lease-bound",
            Self::LeaseRenewed { .. } => "lease-renewed",
            Self::LeaseReleased { .. } => "lease-released",
            Self::LeaseExpired { .. } => "lease-expired",
            Self::LeaseRefused { .. } => "lease-refused",
            Self::LeaseDeclined { .. } => "lease-declined",
            Self::AddressInUse { .. } => "address-in-use",
            Self::HostAddressTaken { .. } => "host-address-taken",
            Self::DuplicateClientId { .. } => "duplicate-client-id",
            Self::NoAddress { .. } => "no-address",
            Self::LeasesStuck { .. } => "leases-stuck",
            Self::LeasesWritten => "leases-written",
            Self::StationMoved { .. } => "station-moved",
            Self::StationFlapping { .. } => "station-flapping",
            Self::MovesUncounted { .. } => "moves-uncounted",
            Self::AddressConflict { .. } => "address-conflict",
            Self::DropsBegan { .. } => "drops-began",
            Self::DropsEnded { .. } => "drops-ended",
            Self::FdbFull { .. } => "fdb-full",
            Self::HostRestored { .. } => "host-restored",
            Self::HostChanged { .. } => "host-changed",
            Self::Reloaded { .. } => "reloaded",
            Self::Failed { .. } => "failed",
            Self::Started { .. } => "started",
            Self::Stopping { .. } => "stopping",
            Self::Lost { .. } => "lost",
        }
    }
}

/// `time` as a [`Record`] has it.
#[must_use]
pub fn stamp(time: Timestamp) -> String {
    format!("{time:.3}")
}
