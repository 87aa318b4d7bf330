//! The vmlan program.
fn main() {}
