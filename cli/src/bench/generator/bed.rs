//! A switch in a namespace of its own, with guests whose TAPs are attached to
//! it.

use super::frame::{EVERYONE, Shape, Template};
use super::guest::Guest;
use super::inbox::{Depth, Inbox};
use super::proof;
use super::traffic::{Flow, Outcome, Traffic};
use crate::bench::interrupt::wait_for;
use crate::bench::lab::Lab;
use crate::bench::lab::namespace::Namespace;
use crate::bench::peer::{Peer, Switch};
use anyhow::{Context as _, Result};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a switch may take until it forwards.
const START: Duration = Duration::from_secs(20);
/// Between two tries of a guest to be heard.
const AGAIN: Duration = Duration::from_millis(100);

/// Where nothing comes for so long, nothing is under way.
const SILENCE: Duration = Duration::from_millis(60);

/// Frames that wait for a guest (`txqueuelen`): what the kernel makes a TAP
/// with, and what VMMs leave it at.
const QUEUE: usize = 1000;

/// A switch under test and its guests.
pub(crate) struct Bed {
    // The order in which they go.
    switch: Box<dyn Switch>,
    guests: Vec<Guest>,
    sequence: u64,
}

impl Bed {
    /// Starts `peer` with `count` guests, each known to the switch.
    ///
    /// # Errors
    /// The switch does not start or does not forward.
    pub(crate) fn new(lab: &Lab, peer: Peer, count: usize) -> Result<Self> {
        let namespace = Rc::new(lab.namespace("switch")?);
        let mut switch = peer.start(lab, &namespace)?;
        let guests = guests(&namespace, count)?;
        for guest in &guests {
            switch.attach(&guest.netdev)?;
        }
        let mut bed = Self {
            switch,
            guests,
            sequence: 1,
        };
        bed.introduce()?;
        Ok(bed)
    }

    /// The guests, and the last sequence number that was used.
    pub(crate) fn parts(&mut self) -> (&[Guest], &mut u64) {
        (&self.guests, &mut self.sequence)
    }

    /// Runs `traffic`.
    ///
    /// # Errors
    /// Those of [`Traffic::run`], or the switch has ended.
    pub(crate) fn run(&mut self, traffic: &Traffic) -> Result<Outcome> {
        let outcome = traffic.run(&self.guests, &mut self.sequence)?;
        self.switch.check()?;
        Ok(outcome)
    }

    /// Checks that every byte arrives.
    ///
    /// # Errors
    /// Those of [`proof::prove`].
    pub(crate) fn prove(&mut self, flows: &[Flow]) -> Result<()> {
        proof::prove(&self.guests, flows, &mut self.sequence)
    }

    /// Reads all that waits for the guests.
    ///
    /// # Errors
    /// A frame is wrong.
    pub(crate) fn drain(&mut self) -> Result<()> {
        let mut inbox = Inbox::new(&self.guests);
        while inbox.turn(SILENCE, Depth::Sample, |_| true)? {}
        Ok(())
    }

    /// Has each guest send to all, until all others have heard it: so the
    /// switch forwards and knows where each is.
    fn introduce(&mut self) -> Result<()> {
        for from in 0..self.guests.len() {
            let number = u8::try_from(from).context("too many guests")?;
            let mut template = Template::new(number, EVERYONE, Shape::Plain(60), 0);
            let mut inbox = Inbox::new(&self.guests);
            let mut next = Instant::now();
            let sequence = &mut self.sequence;
            wait_for("frames through the switch", START, || {
                self.switch.check()?;
                if Instant::now() >= next {
                    next = Instant::now() + AGAIN;
                    *sequence += 1;
                    template.number(*sequence);
                    self.guests
                        .get(from)
                        .context("no such guest")?
                        .send(&template)?;
                }
                while inbox.turn(Duration::from_millis(10), Depth::Full, |_| true)? {}
                let heard = (0..self.guests.len())
                    .filter(|index| *index != from)
                    .all(|index| inbox.count(index).frames > 0);
                Ok(heard.then_some(()))
            })?;
        }
        Ok(())
    }
}

/// Makes `count` guests whose netdevs are in `namespace` and up.
///
/// # Errors
/// There is no /dev/net/tun.
pub(crate) fn guests(namespace: &Namespace, count: usize) -> Result<Vec<Guest>> {
    let guests = namespace.enter(|| (0..count).map(Guest::open).collect::<Result<Vec<_>>>())?;
    for guest in &guests {
        namespace.run(&format!(
            "ip link set {} txqueuelen {QUEUE} up",
            guest.netdev
        ))?;
    }
    Ok(guests)
}
