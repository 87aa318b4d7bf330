//! One log line for what happens to a lease. Guests cause these, so their
//! number is bounded.

use super::allowance::Allowance;
use std::net::Ipv4Addr;
use std::time::Instant;
use vmlan_dhcp::{Event, MacAddr};

/// The log of one network's DHCP events.
#[derive(Debug)]
pub(super) struct EventLog {
    lines: Allowance,
}

impl EventLog {
    /// With its whole allowance.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lines: Allowance::new(now),
        }
    }

    /// Logs an event.
    pub(super) fn event(&mut self, event: &Event, now: Instant) {
        match text(event) {
            Line::Routine(text) => tracing::debug!("{text}"),
            Line::News(text) => self
                .lines
                .say(now, |unsaid| tracing::info!("{text}{unsaid}")),
            Line::Trouble(text) => self
                .lines
                .say(now, |unsaid| tracing::warn!("{text}{unsaid}")),
        }
    }

    /// Logs that something is wrong.
    pub(super) fn trouble(&mut self, what: &str, now: Instant) {
        self.lines
            .say(now, |unsaid| tracing::warn!("{what}{unsaid}"));
    }
}

enum Line {
    Routine(String),
    News(String),
    Trouble(String),
}

fn text(event: &Event) -> Line {
    let at =
        |what: &str, mac: &MacAddr, address: &Ipv4Addr| format!("DHCP: {mac} {what} {address}");
    match event {
        Event::Offered { mac, address } => Line::Routine(at("is offered", mac, address)),
        Event::Renewed { mac, address } => Line::Routine(at("keeps", mac, address)),
        Event::Bound { mac, address } => Line::News(at("gets", mac, address)),
        Event::Released { mac, address } => Line::News(at("gives back", mac, address)),
        Event::Expired { mac, address } => Line::News(at("has not renewed", mac, address)),
        Event::Forgotten { mac, address } => {
            Line::Routine(at("is no longer remembered for", mac, address))
        }
        Event::Refused {
            mac,
            address,
            refusal,
        } => Line::News(format!("DHCP: {mac} is refused {address}: {refusal}")),
        Event::Declined {
            mac,
            address,
            put_aside,
        } => {
            let then = if *put_aside {
                "it is put aside"
            } else {
                "too many of its port are put aside, so it is free again"
            };
            Line::Trouble(format!(
                "DHCP: {mac} found {address} in use by somebody else; {then}"
            ))
        }
        Event::InUse {
            mac,
            address,
            holder,
            put_aside,
        } => {
            let then = if *put_aside {
                "it is put aside"
            } else {
                "too many that its port answers for are put aside, so it is offered all the same"
            };
            Line::Trouble(format!(
                "DHCP: {address}, free for {mac}, is used by {holder} without a lease; {then}"
            ))
        }
        Event::DuplicateClientId { macs: [a, b], .. } => Line::Trouble(format!(
            "DHCP: {a} and {b} send the same client-id, as clones of one image do: each gets an \
             address of its own, but with `key = \"client-id\"` they take it from each other"
        )),
        Event::HostAddressTaken {
            mac,
            address,
            holder,
        } => {
            let holder = holder.map_or("nobody for now".to_owned(), |mac| mac.to_string());
            Line::Trouble(format!(
                "DHCP: the static address {address} of {mac} is held by {holder}; it gets another"
            ))
        }
        Event::BadHostname { mac } => {
            Line::Routine(format!("DHCP: {mac} sends a name that is no host name"))
        }
        Event::OptionsLeftOut { mac, codes } => Line::Routine(format!(
            "DHCP: {mac} takes too short a message for the options {codes:?}"
        )),
    }
}
