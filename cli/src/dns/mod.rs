//! The name server's rules, without sockets and clock.
//!
//! A query's way:
//!
//! 1. [`message`] checks the bytes: anything but one plain question is answered
//!    by an error, or not at all.
//! 2. [`zone`] has the names of the network's own: those of leases
//!    ([`lease_names`]), static hosts, and what `[dns]` says. What is in its domain or
//!    of its addresses is answered here, known or not; so is what [`special`] says.
//! 3. Anything else is asked of those that [`routes`] tells by its domain, or of the
//!    host's own name servers, which [`resolv_conf`] reads; [`cache`] keeps what
//!    they said.
//!
//! The sockets are `daemon::dns`.

pub(crate) mod cache;
pub(crate) mod lease_names;
pub(crate) mod message;
pub(crate) mod refusal;
pub(crate) mod resolv_conf;
pub(crate) mod routes;
pub(crate) mod special;
pub(crate) mod zone;
