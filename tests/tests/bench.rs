//! `vmlan bench`: its report is whole, and it leaves nothing behind.

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;
use vmlan_tests::process::{self, Process};
use vmlan_tests::switch::program;
use vmlan_tests::wait;

const MINUTES: Duration = Duration::from_secs(180);

fn bench(arguments: &str) -> Result<Command> {
    let mut command = Command::new(program()?);
    command.arg("bench").args(arguments.split_whitespace());
    Ok(command)
}

/// Namespaces, folders and processes of the bench with process id `pid`.
fn left_behind(pid: u32) -> Result<Vec<String>> {
    let prefix = format!("vb-{pid}-");
    let mut left = Vec::new();
    for folder in ["/run/netns".into(), std::env::temp_dir()] {
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) {
                left.push(format!("{}/{name}", folder.display()));
            }
        }
    }
    // What it starts has its folder on the command line.
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path().join("cmdline");
        if let Ok(line) = fs::read_to_string(&path)
            && line.contains(&prefix)
        {
            left.push(line.replace('\0', " "));
        }
    }
    Ok(left)
}

#[test]
fn a_short_bench_reports_sane_figures_and_leaves_nothing_behind() -> Result<()> {
    let command = bench("--work vmm --peers vmlan,bridge --rounds 1 --seconds 0.2 --json")?;
    let mut process = Process::spawn(command)?;
    let pid = process.id();
    let status = process.wait(MINUTES)?;
    assert!(status.success(), "{status}\n{}", process.stderr());
    let text = process.stdout();
    let report: Value = serde_json::from_str(&text).with_context(|| text.clone())?;

    let lines = report["results"].as_array().context("results")?;
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (line["case"].as_str(), line["what"].as_str(), &line["peers"]))
        .collect();
    for case in ["60 B", "512 B", "1514 B", "64 KB GSO"] {
        for what in ["at overload", "≤ 0.1% loss"] {
            let (.., peers) = lines
                .iter()
                .find(|line| (line.0, line.1) == (Some(case), Some(what)))
                .with_context(|| format!("no {case}, {what} in {text}"))?;
            let peers = peers.as_array().context("peers")?;
            let names: Vec<_> = peers.iter().map(|peer| peer["peer"].as_str()).collect();
            assert_eq!(names, [Some("vmlan"), Some("bridge")], "{case}, {what}");
            for peer in peers {
                let median = peer["summary"]["median"].as_f64().context("median")?;
                // Mpps or Gb/s: no machine does more, none so little.
                assert!(median > 1e-4 && median < 1e4, "{case}, {what}: {peer}");
                assert!(peer["to-bridge"].as_f64().is_some(), "{peer}");
                assert_eq!(peer["samples"].as_array().map(Vec::len), Some(1));
            }
        }
    }
    assert_eq!(report["failures"], Value::Array(vec![]), "{text}");
    assert_eq!(report["headroom"].as_array().map(Vec::len), Some(4));
    assert!(report["machine"]["kernel"].is_string());
    assert_eq!(left_behind(pid)?, [""; 0]);
    Ok(())
}

#[test]
fn an_interrupted_bench_ends_soon_and_leaves_nothing_behind() -> Result<()> {
    let command = bench("--work mesh --peers vmlan --rounds 100 --seconds 1")?;
    let mut process = Process::spawn(command)?;
    let pid = process.id();
    wait::until("the switch of the bench", MINUTES, || {
        process.running()?;
        let left = left_behind(pid)?;
        let running = left.iter().find(|line| line.contains("run --config"));
        running.context("not yet").map(drop)
    })?;
    process.signal(Signal::INT)?;
    let status = process.wait(wait::SOON)?;
    assert_eq!(status.code(), Some(1), "{}", process.stderr());
    assert!(
        process.stderr().contains("interrupted"),
        "{}",
        process.stderr()
    );
    assert_eq!(left_behind(pid)?, [""; 0]);
    Ok(())
}

#[test]
fn what_a_killed_bench_left_is_removed_by_the_next() -> Result<()> {
    let command = bench("--work blocking --peers vmlan --rounds 100 --seconds 1")?;
    let mut killed = Process::spawn(command)?;
    let pid = killed.id();
    wait::until("the switch of the bench", MINUTES, || {
        killed.running()?;
        let left = left_behind(pid)?;
        let running = left.iter().find(|line| line.contains("run --config"));
        running.context("not yet").map(drop)
    })?;
    killed.kill();
    // The switch does not outlive it.
    wait::until("the end of the switch", wait::SOON, || {
        let left = left_behind(pid)?;
        let running = left.iter().find(|line| line.contains("run --config"));
        running.map_or(Ok(()), |line| anyhow::bail!("{line}"))
    })?;
    assert_ne!(left_behind(pid)?, [""; 0]);
    let next = bench("--work blocking --peers vmlan --rounds 1 --seconds 0.1 --json")?;
    process::run(next, MINUTES)?.success()?;
    assert_eq!(left_behind(pid)?, [""; 0]);
    Ok(())
}
