//! Maps and sets whose keys clients choose.
//!
//! The hash is keyed, so that no client can choose its keys to collide, and of
//! foldhash's *quality* kind: its *fast* kind crowds keys that are numbered in
//! turn, as MACs of one maker are, into few places under one key in fifty.

use foldhash::quality::RandomState;

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
pub(crate) type HashSet<T> = std::collections::HashSet<T, RandomState>;
