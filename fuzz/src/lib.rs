//! What the fuzz targets share.
//!
//! A target is a program of libFuzzer's: it is given bytes, puts them to one of
//! the parts that read what a guest or a file says, and stops at a panic or at a
//! broken rule. `run.sh` builds and runs them, on stable Rust.
//!
//! The rules are those of the hostile inputs (`tests/src/hostile`), which draws
//! its inputs at random; here they are grown from the ones in `corpus/` by what
//! code they reach. Both those rules and the TFTP server are compiled in from
//! their files: by their crates they would bring in all that the program needs,
//! and minutes of building it with counters.

pub mod hostile;
pub mod input;
#[path = "../../cli/src/tftp/mod.rs"]
pub mod tftp;
