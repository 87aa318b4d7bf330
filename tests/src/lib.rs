//! Fixtures for the tests with the real thing.

pub mod hostile;
