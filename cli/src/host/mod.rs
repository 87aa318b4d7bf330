//! Everything by which the daemon touches the host.
//!
//! - [`link`], [`address`] and [`monitor`]: its netdevs, asked for, changed and
//!   watched over rtnetlink;
//! - [`subnet`]: which subnet none of its addresses and routes overlap;
//! - [`quiet`], [`ingress`] and [`sysctl`]: its own network stack, kept off the
//!   netdevs that the switch takes;
//! - [`uplink`]: its addresses and routes, moved from the NIC of a bridged LAN
//!   and back;
//! - [`forwarding`]: whether it forwards between its netdevs;
//! - [`rundir`], [`lock`], [`socket`] and [`group`]: RUN/NAME, held by one
//!   process, the sockets in it, and who may use them;
//! - [`domains`]: what libvirt says of its own;
//! - [`statedir`], [`identity`], [`leases`], [`hosts`], [`attached`] and below them
//!   [`durable`]: STATE/NAME, what has to survive a crash, held by one process.

mod address;
pub(crate) mod attached;
pub(crate) mod domains;
pub(crate) mod durable;
pub(crate) mod forwarding;
pub(crate) mod group;
pub(crate) mod hosts;
pub(crate) mod identity;
mod ingress;
pub(crate) mod leases;
pub(crate) mod link;
pub(crate) mod lock;
pub(crate) mod monitor;
#[cfg(test)]
pub(crate) mod netns;
pub(crate) mod quiet;
pub(crate) mod rundir;
pub(crate) mod socket;
pub(crate) mod statedir;
pub(crate) mod subnet;
pub(crate) mod sysctl;
pub(crate) mod uplink;
