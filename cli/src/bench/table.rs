//! The results for a reader.

use super::Report;
use super::load::Cost;
use super::result::{Line, Series};
use super::work::WorkName;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use std::fmt::Write as _;

/// All of it: the machine, the generator's headroom, one table for each work,
/// and what is to be said about them.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    let machine = &report.machine;
    let _ = writeln!(
        text,
        "{}, {}, {} cores, {}",
        machine.date, machine.cpu, machine.cores, machine.kernel
    );
    let versions: Vec<_> = machine
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let _ = writeln!(text, "{}", versions.join(", "));
    let _ = writeln!(
        text,
        "Medians of {} rounds in turns, {} s each. Sender, receiver and switch share this \
         machine: compare the ratios, not the figures.",
        report.rounds, report.seconds
    );
    if machine.load > 0.5 {
        let _ = writeln!(
            text,
            "The machine was busy when the bench started (load {:.1}): expect noise.",
            machine.load
        );
    }
    if machine.debug_build {
        text.push_str("vmlan was built without optimization: its figures say nothing.\n");
    }
    if !report.headroom.is_empty() {
        let rates: Vec<_> = report
            .headroom
            .iter()
            .map(|h| format!("{} {} {}", h.frames, h.unit.show(h.value), h.unit.label()))
            .collect();
        let _ = writeln!(
            text,
            "The generator alone, into a TAP that drops: {}.",
            rates.join(", ")
        );
    }
    let mut works: Vec<WorkName> = report.results.lines.iter().map(|line| line.work).collect();
    works.dedup();
    for work in works {
        let lines = report.results.lines.iter().filter(|line| line.work == work);
        let _ = writeln!(
            text,
            "\n{} ({})\n{}",
            work.title(),
            work.name(),
            table(lines)
        );
    }
    for failure in &report.results.failures {
        let _ = writeln!(
            text,
            "no figures: {} in {} ({}): {}",
            failure.peer,
            failure.work.name(),
            failure.case,
            failure.reason
        );
    }
    for note in &report.results.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn table<'l>(lines: impl Iterator<Item = &'l Line>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "",
        "switch",
        "median",
        "min … max",
        "÷ bridge",
        "vmlan ÷ it",
        "CPU s/GB",
        "CPU s/M frames",
    ]);
    for line in lines {
        let name = match line.what.as_str() {
            "" => line.case.clone(),
            what => format!("{}, {what}", line.case),
        };
        let name = format!("{name}, {}", line.unit.label());
        for (index, series) in line.peers.iter().enumerate() {
            let name = if index == 0 { name.as_str() } else { "" };
            table.add_row(row(name, line, series));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(name: &str, line: &Line, series: &Series) -> [String; 8] {
    let none = || "–".to_owned();
    let value = |value| line.unit.show(value);
    let ratio = |ratio: Option<f64>| ratio.map_or_else(none, |ratio| format!("{ratio:.2}"));
    let cost = |part: fn(Cost) -> Option<f64>| {
        let cost = series.cpu_seconds.and_then(part);
        cost.map_or_else(none, |cost| format!("{cost:.2}"))
    };
    [
        name.to_owned(),
        series.peer.label().to_owned(),
        series.summary.map_or_else(none, |s| value(s.median)),
        series
            .summary
            .map_or_else(none, |s| format!("{} … {}", value(s.min), value(s.max))),
        ratio(series.to_bridge),
        ratio(series.vmlan_to_this),
        cost(|cost| cost.per_gigabyte),
        cost(|cost| cost.per_million_frames),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Results;
    use crate::bench::generator::Wrong;
    use crate::bench::peer::Peer;
    use crate::bench::result::{Reading, Unit};

    #[test]
    fn figures_and_failures_are_told() {
        let mut results = Results::default();
        for (peer, value) in [(Peer::Vmlan, 1.5), (Peer::Bridge, 0.5)] {
            let mut recorder = results.recorder(WorkName::Vmm, peer, &|_| {});
            let reading = Reading::new("at overload", value, Unit::Mpps);
            let reading = reading.cost(Cost::new(2.0, 4_000_000_000, Some(1_000_000)));
            recorder.case("60 B", || Ok(vec![reading])).unwrap();
        }
        let mut recorder = results.recorder(WorkName::Vmm, Peer::Ovs, &|_| {});
        recorder
            .case("60 B", || Err(Wrong("a byte was changed".into()).into()))
            .unwrap();
        results.finish();
        let text = text(&Report::sample(results));
        let row = |peer: &str| {
            let row = text
                .lines()
                .find(|line| line.contains(&format!("| {peer}  ")));
            row.unwrap_or_else(|| panic!("{text}")).to_owned()
        };
        let vmlan: Vec<_> = row("vmlan")
            .split('|')
            .map(str::trim)
            .map(str::to_owned)
            .collect();
        assert_eq!(
            vmlan[1..9],
            [
                "60 B, at overload, Mpps",
                "vmlan",
                "1.50",
                "1.50 … 1.50",
                "3.00",
                "1.00",
                "0.50",
                "2.00"
            ]
        );
        assert!(text.contains("no figures: Open vSwitch in vmm (60 B): wrong: a byte was changed"));
    }
}
