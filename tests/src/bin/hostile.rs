//! Puts any number of hostile frames and DHCP messages to the switch and the
//! DHCP server; see [`vmlan_tests::hostile`].

use clap::Parser;
use std::io::Write;
use std::time::Instant;
use vmlan_tests::hostile;

/// Put hostile frames and DHCP messages to the switch and the DHCP server.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many
    #[arg(long, default_value_t = 10_000_000)]
    count: u64,
    /// What they are drawn from; the same seed makes the same inputs [default: random]
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut err = std::io::stderr();
    writeln!(err, "seed {seed}, {} inputs", arguments.count)?;
    let start = Instant::now();
    let mut shown = 0;
    let report = hostile::run(seed, arguments.count, |done| {
        let percent = done.saturating_mul(100) / arguments.count;
        if percent > shown {
            shown = percent;
            let _ = write!(err, "\r{percent}%");
        }
    });
    writeln!(err)?;
    let report = report?;
    let mut out = std::io::stdout();
    write!(out, "{}", report.tally)?;
    writeln!(
        out,
        "{} inputs in {:.0?}; {} KiB resident after the warm-up, {} KiB more at the peak",
        arguments.count,
        start.elapsed(),
        report.memory.warm() / 1024,
        report.memory.growth() / 1024,
    )?;
    Ok(())
}
