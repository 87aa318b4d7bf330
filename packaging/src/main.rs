//! Makes what a package of vmlan has beside its programs: a man page for each
//! command, and what completes them in a shell, all from the program's own
//! command line.
//!
//! `vmlan-packaging DIR` writes DIR/man/*.1 and DIR/completions/*; the pages
//! vmlan.toml(5) and vmlan-bridge-helper(8) are written by hand (`man/`).

mod examples;
mod man;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser};
use clap_complete::Shell;
use jiff::Timestamp;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use vmlan::args::Cli;

/// Makes the man pages and completions of vmlan
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The folder to write them to, which is made where it is missing
    dir: PathBuf,
}

/// The files that complete, by the names that their shells look for.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "vmlan"),
    (Shell::Zsh, "_vmlan"),
    (Shell::Fish, "vmlan.fish"),
];

fn main() -> anyhow::Result<()> {
    let Args { dir } = Args::parse();
    let man = dir.join("man");
    for page in man::pages(Cli::command(), &date()?) {
        write(&man.join(&page.file), &page.text)?;
    }
    for (shell, file) in COMPLETIONS {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "vmlan", &mut script);
        write(&dir.join("completions").join(file), &script)?;
    }
    Ok(())
}

/// The date of the pages: of SOURCE_DATE_EPOCH, so that the same source makes
/// the same package (reproducible-builds.org), or today.
fn date() -> anyhow::Result<String> {
    let time = match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds
            .parse()
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .with_context(|| format!("SOURCE_DATE_EPOCH={seconds} is no time"))?,
        Err(_) => Timestamp::now(),
    };
    Ok(time.strftime("%Y-%m-%d").to_string())
}

fn write(file: &Path, text: &[u8]) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, text))
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests;
