//! Kills vmlan at random moments under load, any number of times; see
//! [`vmlan_tests::killed`].

use clap::Parser;
use std::io::Write;
use std::time::Instant;
use vmlan_tests::killed;

/// Kill vmlan at random moments while clients take leases, and compare.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often
    #[arg(long, default_value_t = 1000)]
    times: u32,
    /// What the moments are drawn from [default: random]
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut err = std::io::stderr();
    writeln!(err, "seed {seed}, {} times", arguments.times)?;
    let start = Instant::now();
    let report = killed::run(seed, arguments.times, |kills| {
        let _ = write!(err, "\r{kills}");
    });
    writeln!(err)?;
    let report = report?;
    writeln!(
        std::io::stdout(),
        "killed {} times in {:.0?}; {} ACKs, none lost; {} leases at most were loaded",
        report.kills,
        start.elapsed(),
        report.acknowledged,
        report.most
    )?;
    Ok(())
}
