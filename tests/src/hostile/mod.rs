//! Hostile input: frames and DHCP messages as no honest guest sends them, put
//! to the code that a guest reaches, in any number.
//!
//! Each input is drawn from the run's seed and its own number alone, so a
//! failure happens again with the same seed. What the inputs meet lives as long
//! as the run: tables fill up, age, and are changed on the way.
//!
//! - [`honest`] has frames as guests send them, which [`corpus`] spoils;
//!   [`message`] has DHCP messages and the known attacks with them. [`mutate`]
//!   spoils bytes.
//! - [`link`] puts a frame through the way that it takes inside the switch;
//!   [`egress`] judges what left, [`oracle`] gives the second opinion on it.
//! - [`lease`] puts a message to the DHCP server and keeps its own books,
//!   [`options`] reads what it says there;
//!   [`boot`] a request to the TFTP server, and what its client sends then.
//! - [`tally`] counts what happened, [`memory`] what it cost.
//!
//! No panic is not enough: see [`link`], [`egress`] and [`lease`] for
//! what has to hold.

pub mod boot;
pub mod corpus;
pub mod egress;
pub mod honest;
pub mod lease;
pub mod link;
pub mod memory;
pub mod message;
pub mod mutate;
pub mod options;
pub mod oracle;
pub mod recorder;
pub mod tally;

use corpus::Corpus;
use fastrand::Rng;
use lease::Leases;
use link::Link;
use memory::Memory;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tally::Tally;

/// One input of this many is a DHCP message, the others are frames.
const MESSAGES: u64 = 3;

/// One of this many is a TFTP request with its transfer, which takes as long as
/// many a frame.
const TRANSFERS: u64 = 64;

/// A tenth of the inputs is for tables and buffers to reach their size.
const WARM_UP: u64 = 10;

/// Inputs between two looks at the whole state, at memory, and two reports of
/// progress.
const ROUND: u64 = 1 << 12;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// What became of the inputs.
    pub tally: Tally,
    /// What they cost.
    pub memory: Memory,
}

/// An input that the code did not stand up to.
#[derive(Debug)]
pub struct Failure {
    seed: u64,
    number: u64,
    input: Vec<u8>,
    error: anyhow::Error,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            number,
            input,
            error,
        } = self;
        writeln!(f, "input {number} of seed {seed}: {error:#}")?;
        write!(f, "again with: --seed {seed} --count {}", number + 1)?;
        if input.is_empty() {
            return Ok(());
        }
        write!(f, "\nthe input, {} bytes: ", input.len())?;
        input.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Puts `count` inputs drawn from `seed` to the code; `progress` is told now
/// and then how many have been.
///
/// One thing differs between runs: the FDB's hash is keyed at random, so which
/// aged stations give way in a full table does too.
///
/// # Errors
/// The first input that made the code panic or break a rule, or after all of
/// them that memory did not stay flat.
pub fn run(seed: u64, count: u64, mut progress: impl FnMut(u64)) -> Result<Report, Failure> {
    let failure = |number, input, error| Failure {
        seed,
        number,
        input,
        error,
    };
    let mut tally = Tally::default();
    let mut memory = Memory::default();
    let mut input = Vec::new();
    let corpus = Corpus::new().map_err(|e| failure(0, Vec::new(), e))?;
    let mut link = Link::new(seed);
    let mut leases = Leases::new(seed).map_err(|e| failure(0, Vec::new(), e))?;
    for number in 0..count {
        // Neighbouring seeds are as good as any: the generator mixes them.
        let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let whole = number % ROUND == ROUND - 1;
        let judged = catch_unwind(AssertUnwindSafe(|| {
            if rng.u64(..TRANSFERS) == 0 {
                boot::input(&mut rng, &mut input, &mut tally)?;
            } else if rng.u64(..MESSAGES) == 0 {
                leases.input(&mut rng, &mut input, &mut tally)?;
            } else {
                let header = corpus.draw(&mut rng, &mut input);
                let punted = link.put(&mut rng, &header, &input, &mut tally)?;
                if let Some(message) = punted {
                    leases.handle(&mut rng, message, &mut tally)?;
                }
            }
            if whole {
                link.look_over(&mut rng)?;
                leases.look_over(&mut rng)?;
            }
            Ok(())
        }));
        judged
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
            .map_err(|error| failure(number, input.clone(), error))?;
        if whole {
            progress(number + 1);
            memory.sample(number > count / WARM_UP);
        }
    }
    link.sum_up(&mut tally);
    memory
        .check()
        .map_err(|error| failure(count, Vec::new(), error))?;
    Ok(Report { tally, memory })
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("of another type than text");
    anyhow::anyhow!("panic: {text}")
}
