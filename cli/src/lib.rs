//! The `vmlan` program: what stands around the switch.

pub mod args;
pub mod config;
pub mod daemon;
mod host;
pub mod model;
