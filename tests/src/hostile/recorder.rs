//! A port that keeps what it is given.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use vmlan_dataplane::frame::Offload;
use vmlan_dataplane::port::{Abilities, Egress, Sent, Transmitter, TxFrame};

/// Keeps transmitted frames until it is emptied.
#[derive(Debug)]
pub struct Recorder {
    abilities: Abilities,
    given: Mutex<Given>,
}

/// What a [`Recorder`] was given.
#[derive(Debug, Default)]
pub struct Given {
    bytes: Vec<u8>,
    frames: Vec<(Range<usize>, Offload)>,
}

impl Recorder {
    /// A port of the given abilities.
    #[must_use]
    pub fn new(abilities: Abilities) -> Self {
        Self {
            abilities,
            given: Mutex::default(),
        }
    }

    /// Becomes a port of other abilities that has been given nothing. Memory is
    /// kept.
    pub fn reset(&mut self, abilities: Abilities) {
        self.abilities = abilities;
        let given = self.given.get_mut().unwrap_or_else(PoisonError::into_inner);
        given.bytes.clear();
        given.frames.clear();
    }

    /// What it was given.
    pub fn given(&mut self) -> &Given {
        self.given.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Given {
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

impl Egress for Recorder {
    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn transmit(&self, _: &mut Transmitter, frames: &[TxFrame<'_>], sent: &mut Sent) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        for frame in frames {
            let start = given.bytes.len();
            given.bytes.extend_from_slice(frame.head());
            given.bytes.extend_from_slice(frame.body);
            let range = start..given.bytes.len();
            given.frames.push((range, frame.offload));
            sent.count(frame);
        }
    }
}
