//! What sends and receives in the place of guests: it holds the files of TAPs,
//! as a VMM does, whose netdevs are attached to the switch under test.
//!
//! - [`frame`] makes frames that can be checked byte by byte, and checks them.
//! - [`guest`] is one TAP.
//! - [`pace`] says how many frames are due.
//! - [`traffic`] sends by one thread, receives and checks by another.
//! - [`proof`] is the check at the end of a run, where each byte counts.
//! - [`bed`] puts a switch and its guests together.

pub(crate) mod bed;
pub(crate) mod frame;
pub(crate) mod guest;
pub(crate) mod inbox;
pub(crate) mod pace;
pub(crate) mod proof;
pub(crate) mod traffic;

/// The switch did what no switch may: a changed byte, a frame twice, in the
/// wrong order or for somebody else. Its figures do not count.
#[derive(Debug, thiserror::Error)]
#[error("wrong: {0}")]
pub(crate) struct Wrong(pub(crate) String);
