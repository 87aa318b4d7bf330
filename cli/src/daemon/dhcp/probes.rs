//! Messages that wait for what the segment says to a conflict probe. Each
//! waits on its own, for as long as stations may take to answer or until one
//! says that it has the address; others are answered meanwhile.

use crate::daemon::message;
use pnet_base::MacAddr;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use vmlan_dataplane::hairpin::{Request, arp};
use vmlan_dhcp::{Claimant, Origin, Probe};

/// How long stations may take to answer. RFC 5227 waits for seconds, as links
/// may be slow; here the slowest part is a guest's own wake-up.
const WAIT: Duration = Duration::from_millis(300);

/// A message that waits.
#[derive(Debug)]
pub(super) struct Asked {
    /// The message.
    pub(super) request: Request,
    /// What was asked for.
    pub(super) probe: Probe,
    /// Who says that it has the address.
    pub(super) claimant: Option<Claimant>,
    due: Instant,
}

/// All that wait, by the address that each waits for. The server bounds them.
#[derive(Debug, Default)]
pub(super) struct Probes(HashMap<Ipv4Addr, Asked>);

impl Probes {
    /// Has `request` wait for what comes of `probe`, which is made now.
    pub(super) fn start(&mut self, probe: Probe, request: Request, now: Instant) {
        let asked = Asked {
            request,
            claimant: None,
            due: now + WAIT,
            probe,
        };
        self.0.insert(asked.probe.address, asked);
    }

    /// Has the latest message of a client wait in place of its former one: a
    /// client that has begun anew takes no answer to that.
    pub(super) fn replace(&mut self, latest: &Request) {
        let Some(client) = client(latest) else { return };
        let waits = |asked: &&mut Asked| {
            asked.request.ingress == latest.ingress && self::client(&asked.request) == Some(client)
        };
        if let Some(asked) = self.0.values_mut().find(waits) {
            asked.request = latest.clone();
        }
    }

    /// Takes note of `frame` if it claims an address that is asked for, be it in
    /// answer to the probe or not.
    pub(super) fn note(&mut self, frame: &Request) {
        if let Some((address, mac)) = arp::claim(&frame.frame)
            && let Some(asked) = self.0.get_mut(&address)
        {
            let origin = Origin(frame.ingress.0.into());
            asked.claimant.get_or_insert(Claimant { mac, origin });
        }
    }

    /// Takes out what has been answered, or has waited long enough.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Asked> {
        let over = |asked: &Asked| asked.claimant.is_some() || asked.due <= now;
        let over = self.0.extract_if(|_, asked| over(asked));
        over.map(|(_, asked)| asked).collect()
    }

    /// When the first has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(|asked| asked.due).min()
    }

    /// Forgets all; what was being asked for.
    pub(super) fn clear(&mut self) -> Vec<Ipv4Addr> {
        self.0.drain().map(|(address, _)| address).collect()
    }
}

fn client(request: &Request) -> Option<MacAddr> {
    message::unwrap(&request.frame)?.client()
}
