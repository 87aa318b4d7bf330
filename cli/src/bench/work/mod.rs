//! What is measured, one file each.

mod addresses;
mod blocking;
mod dhcp;
mod flood;
mod idle;
mod mesh;
mod rtt;
mod streams;
mod vmm;

pub(crate) use vmm::SHAPES;

use super::lab::Lab;
use super::peer::Peer;
use super::result::Recorder;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::time::Duration;
use streams::Protocol;

/// A work to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkName {
    /// Frames from the TAP of one VM to that of another
    Vmm,
    /// TCP between two namespaces, by iperf3
    Tcp,
    /// UDP between two namespaces, by iperf3
    Udp,
    /// Round trips between two namespaces
    Rtt,
    /// Each of 8 VMs sends to each other
    Mesh,
    /// One VM sends to 7 others at once
    Flood,
    /// How many stations the switch can hold
    Caching,
    /// How fast it learns new stations
    Learning,
    /// Whether a VM that reads nothing stops another
    Blocking,
    /// Leases that clients get, by perfdhcp
    Dhcp,
    /// What vmlan takes while nothing happens, and to start
    Idle,
}

/// Where and for how long a work runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'l> {
    pub(crate) lab: &'l Lab,
    /// How long one measurement takes.
    pub(crate) time: Duration,
}

impl WorkName {
    /// What is measured, as a heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Vmm => "VM to VM, over TAPs whose files the VMMs hold",
            Self::Tcp => "TCP between namespaces",
            Self::Udp => "UDP between namespaces",
            Self::Rtt => "Round trip between namespaces",
            Self::Mesh => "Full mesh of 8 VMs",
            Self::Flood => "Broadcast from one VM to 7",
            Self::Caching => "Address caching capacity",
            Self::Learning => "Address learning rate",
            Self::Blocking => "Head-of-line blocking",
            Self::Dhcp => "DHCP: four-way exchanges",
            Self::Idle => "At rest",
        }
    }

    /// Its name as an argument.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether guests take part: frames come out of the generator.
    pub(crate) fn has_guests(self) -> bool {
        !matches!(
            self,
            Self::Tcp | Self::Udp | Self::Rtt | Self::Dhcp | Self::Idle
        )
    }

    /// Whether iperf3 does it.
    pub(crate) fn wants_iperf3(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }

    /// Whether perfdhcp does it.
    pub(crate) fn wants_perfdhcp(self) -> bool {
        self == Self::Dhcp
    }

    /// Whether `peer` can do it at all.
    pub(crate) fn is_for(self, peer: Peer) -> bool {
        if self == Self::Dhcp {
            peer.is_dhcp_server()
        } else {
            peer.is_switch()
        }
    }

    /// Measures the recorder's peer once. What fails is put on record.
    ///
    /// # Errors
    /// The bench was interrupted.
    pub(crate) fn run(self, place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
        if self.has_guests() && !recorder.peer.takes_guests() {
            recorder.note(format!(
                "{} cannot take the TAP of a VM, and is left out there",
                recorder.peer
            ));
            return Ok(());
        }
        let result = match self {
            Self::Vmm => vmm::run(place, recorder),
            Self::Tcp => streams::run(place, recorder, Protocol::Tcp),
            Self::Udp => streams::run(place, recorder, Protocol::Udp),
            Self::Rtt => rtt::run(place, recorder),
            Self::Mesh => mesh::run(place, recorder),
            Self::Flood => flood::run(place, recorder),
            Self::Caching => addresses::caching(place, recorder),
            Self::Learning => addresses::learning(place, recorder),
            Self::Blocking => blocking::run(place, recorder),
            Self::Dhcp => dhcp::run(place, recorder),
            Self::Idle => idle::run(place, recorder),
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => recorder.failed(ALL_CASES, &error).ok_or(error),
        }
    }
}

/// Stands for the case where a work failed as a whole.
pub(crate) const ALL_CASES: &str = "all";
