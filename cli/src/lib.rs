//! The `vmlan` program: what stands around the switch.

pub mod args;
pub mod client;
pub mod config;
pub mod daemon;
mod host;
pub mod model;
pub mod report;
