//! A read-only TFTP server (RFC 1350) without sockets and clock, for guests
//! that boot from the network.
//!
//! A request's way:
//!
//! 1. [`packet`] reads the bytes, which come from a guest.
//! 2. [`name`] makes a path in the root folder of the name, [`root`] opens it:
//!    the only part that touches the file system.
//! 3. [`options`] answers the options that the client wants: block size,
//!    timeout, file size, window (RFC 2347, 2348, 2349, 7440).
//! 4. [`transfer`] is told what comes and what time it is, and says which
//!    blocks to send; [`content`] has their bytes.
//!
//! The daemon has the sockets, and bounds how many transfers there are.

pub mod content;
pub mod name;
pub mod options;
pub mod packet;
pub mod root;
pub mod transfer;
