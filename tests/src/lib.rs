//! Fixtures for the tests with the real thing.
