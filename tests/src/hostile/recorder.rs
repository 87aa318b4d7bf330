//! A port that keeps what it is given.

use mio::{Registry, Token};
use std::io;
use std::ops::Range;
use vmlan_dataplane::frame::{Burst, Offload};
use vmlan_dataplane::port::{Abilities, Port, Received, Sent, TxFrame};

/// Keeps transmitted frames until it is emptied.
#[derive(Debug)]
pub struct Recorder {
    abilities: Abilities,
    bytes: Vec<u8>,
    frames: Vec<(Range<usize>, Offload)>,
}

impl Recorder {
    /// A port of the given abilities.
    #[must_use]
    pub fn new(abilities: Abilities) -> Self {
        Self {
            abilities,
            bytes: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Becomes a port of other abilities that has been given nothing. Memory is
    /// kept.
    pub fn reset(&mut self, abilities: Abilities) {
        self.abilities = abilities;
        self.bytes.clear();
        self.frames.clear();
    }

    /// How many frames it was given.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether it was given none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames in their order, each with what is left to do on it.
    pub fn frames(&self) -> impl Iterator<Item = (&[u8], Offload)> {
        self.frames.iter().map(|(range, offload)| {
            let bytes = self.bytes.get(range.clone()).unwrap_or_default();
            (bytes, *offload)
        })
    }
}

impl Port for Recorder {
    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn register(&mut self, _: &Registry, _: Token) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, _: &mut Burst) -> Received {
        Received::Drained
    }

    fn transmit(&mut self, frames: &[TxFrame<'_>], sent: &mut Sent) {
        for frame in frames {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(frame.head);
            self.bytes.extend_from_slice(frame.body);
            self.frames.push((start..self.bytes.len(), frame.offload));
            sent.count(frame);
        }
    }
}
