//! `vmlan bench`: what the switch does on this machine, against what else
//! there is.
//!
//! - [`lab`] is where all of it lives: namespaces, processes, files; it
//!   leaves nothing behind.
//! - [`peer`] starts the switches that are compared: vmlan itself, the Linux
//!   bridge, Open vSwitch, VDE; and as DHCP servers dnsmasq and Kea.
//! - [`generator`] sends and receives in the place of VMs and checks each
//!   frame; [`stations`] are namespaces that do so by sockets; [`headroom`] is what it can do by itself.
//! - [`work`] is what is measured, one file each, with [`search`] for the
//!   highest rate without loss and [`load`] for what it costs.
//! - [`result`] gathers and compares, with [`statistics`]; [`table`] and
//!   [`plot`] show it.
//! - [`interrupt`] ends it early and in good order.
//!
//! In each round each work is done by all switches in turn, so that what else
//! happens on the machine meets all of them alike.

mod generator;
mod headroom;
pub(crate) mod interrupt;
mod lab;
mod load;
mod machine;
mod options;
mod peer;
mod plot;
mod progress;
mod result;
mod search;
mod stations;
mod statistics;
mod table;
mod work;

pub use options::BenchArgs;
pub use peer::Peer;
pub use work::WorkName;

use anyhow::{Result, ensure};
use headroom::Headroom;
use lab::Lab;
use machine::Machine;
use peer::first_line;
use progress::Progress;
use result::Results;
use serde::Serialize;
use std::time::Duration;
use work::Place;

/// What a bench has found out.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    rounds: u32,
    seconds: f64,
    headroom: Vec<Headroom>,
    #[serde(flatten)]
    results: Results,
}

/// Does what `args` say and shows progress on stderr.
///
/// # Errors
/// Not root; or it was interrupted. A work that cannot be done is in the
/// report.
pub fn run(args: &BenchArgs) -> Result<Report> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the bench makes network namespaces: run it as root"
    );
    interrupt::listen()?;
    let mut works = chosen(&args.work);
    let mut results = Results::default();
    if first_line("iperf3", "--version").is_none() {
        let all = works.len();
        works.retain(|work| !work.wants_iperf3());
        if works.len() < all {
            results.note("iperf3 is not installed: tcp and udp are left out".to_owned());
        }
    }
    if first_line("perfdhcp", "-v").is_none() {
        let all = works.len();
        works.retain(|work| !work.wants_perfdhcp());
        if works.len() < all {
            results.note("perfdhcp is not installed: dhcp is left out".to_owned());
        }
    }
    let mut peers = chosen(&args.peers);
    // Whoever has nothing to do is not missed.
    peers.retain(|peer| works.iter().any(|work| work.is_for(*peer)));
    if let Some(variant) = &args.variant {
        results.note(format!("{} has {variant}", Peer::Variant));
        peers.push(Peer::Variant);
        peers.sort();
    }
    peers.retain(|peer| {
        let there = peer.version().is_some();
        if !there {
            results.note(format!("{peer} is not installed"));
        }
        there
    });
    let machine = Machine::this(&peers);
    let lab = Lab::new(args.variant.clone().unwrap_or_default())?;
    let place = Place {
        lab: &lab,
        time: Duration::from_secs_f64(args.seconds),
    };
    let rounds = usize::try_from(args.rounds)?;
    let pairs = |work: &WorkName| peers.iter().filter(|peer| work.is_for(**peer)).count();
    let progress = Progress::new(rounds * works.iter().map(pairs).sum::<usize>());
    progress.say("measuring the generator itself");
    let headroom = if works.iter().any(|work| work.has_guests()) {
        headroom::measure(&lab, place.time / 2)?
    } else {
        Vec::new()
    };
    for round in 1..=args.rounds {
        for work in &works {
            for peer in peers.iter().filter(|peer| work.is_for(**peer)) {
                progress.run(round, *work, *peer);
                let say = |text: &str| progress.say(&format!("    {text}"));
                work.run(&place, &mut results.recorder(*work, *peer, &say))?;
            }
        }
    }
    results.finish();
    Ok(Report {
        machine,
        rounds: args.rounds,
        seconds: args.seconds,
        headroom,
        results,
    })
}

/// What was asked for, each once, in the usual order; without a wish, all.
fn chosen<T: clap::ValueEnum + Ord>(wanted: &[T]) -> Vec<T> {
    let mut chosen = match wanted {
        [] => T::value_variants().to_vec(),
        wanted => wanted.to_vec(),
    };
    chosen.sort();
    chosen.dedup();
    chosen
}

impl Report {
    /// A report on `results`, of a machine without a name.
    #[cfg(test)]
    fn sample(results: Results) -> Self {
        Self {
            machine: Machine::this(&[]),
            rounds: 1,
            seconds: 1.0,
            headroom: Vec::new(),
            results,
        }
    }

    /// The report for a reader.
    #[must_use]
    pub fn text(&self) -> String {
        table::text(self)
    }

    /// The report as a chart, in SVG.
    ///
    /// # Errors
    /// There are no figures of two switches to draw.
    pub fn svg(&self) -> Result<String> {
        plot::svg(self)
    }

    /// Fails where vmlan did something wrong, or could not do a work.
    ///
    /// # Errors
    /// With the number of cases.
    pub fn verdict(&self) -> Result<()> {
        let failures = &self.results.failures;
        let own = failures
            .iter()
            .filter(|failure| matches!(failure.peer, Peer::Vmlan | Peer::Variant));
        match own.count() {
            0 => Ok(()),
            n => anyhow::bail!("vmlan failed in {n} cases, see above"),
        }
    }
}
