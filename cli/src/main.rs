//! The vmlan program.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the daemon that uses it is not there yet")
)]
mod host;

fn main() {}
