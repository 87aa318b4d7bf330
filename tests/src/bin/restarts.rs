//! Restarts vmlan under load, any number of times; see
//! [`vmlan_tests::restarts`].

use anyhow::Result;
use clap::Parser;
use std::io::Write;
use vmlan_tests::manager::Manager;
use vmlan_tests::restarts::Lab;

/// Restart vmlan under load, by takeover and by SIGKILL, and measure.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often by `vmlan run --takeover`
    #[arg(long, default_value_t = 100)]
    takeovers: u32,
    /// How often by SIGKILL, under a service manager that keeps the files
    #[arg(long, default_value_t = 20)]
    kills: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let progress = |n| {
        let _ = write!(std::io::stderr(), "\r{n} ");
    };
    if arguments.takeovers > 0 {
        let mut lab = Lab::start(None)?;
        let report = lab.run(
            arguments.takeovers,
            true,
            |switch| switch.take_over(),
            progress,
        )?;
        writeln!(std::io::stdout(), "by takeover: {report}")?;
    }
    if arguments.kills > 0 {
        let manager = Manager::start(None)?;
        let mut lab = Lab::start(Some(&manager))?;
        let restart = |switch: &mut vmlan_tests::switch::Switch| {
            switch.kill();
            switch.launch_under(&manager)
        };
        let report = lab.run(arguments.kills, false, restart, progress)?;
        writeln!(std::io::stdout(), "by SIGKILL: {report}")?;
    }
    Ok(())
}
