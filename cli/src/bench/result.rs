//! What was measured, by work, case and peer.

use super::generator::Wrong;
use super::interrupt::Interrupted;
use super::load::Cost;
use super::peer::Peer;
use super::statistics::Summary;
use super::work::{ALL_CASES, WorkName};
use anyhow::Result;
use serde::Serialize;

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    /// Million frames a second.
    #[serde(rename = "Mpps")]
    Mpps,
    /// 10^9 payload bits a second.
    #[serde(rename = "Gb/s")]
    Gbps,
    /// Microseconds.
    #[serde(rename = "µs")]
    Microseconds,
    /// Stations.
    #[serde(rename = "stations")]
    Stations,
    /// Million stations a second.
    #[serde(rename = "M stations/s")]
    MegaStations,
    /// Hundredths.
    #[serde(rename = "%")]
    Percent,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Clock ticks of 10 ms.
    #[serde(rename = "ticks")]
    Ticks,
    /// DHCP exchanges a second.
    #[serde(rename = "exchanges/s")]
    Exchanges,
    /// A number of events.
    #[serde(rename = "times")]
    Times,
    /// 2^20 bytes.
    #[serde(rename = "MiB")]
    Mebibytes,
}

impl Unit {
    /// As it stands behind a value.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Mpps => "Mpps",
            Self::Gbps => "Gb/s",
            Self::Microseconds => "µs",
            Self::Stations => "stations",
            Self::MegaStations => "M stations/s",
            Self::Percent => "%",
            Self::Milliseconds => "ms",
            Self::Ticks => "ticks",
            Self::Exchanges => "exchanges/s",
            Self::Times => "times",
            Self::Mebibytes => "MiB",
        }
    }

    /// Whether less is better.
    pub(crate) fn less_is_better(self) -> bool {
        matches!(
            self,
            Self::Microseconds | Self::Milliseconds | Self::Ticks | Self::Times | Self::Mebibytes
        )
    }

    /// A value with three figures that count, without the unit.
    pub(crate) fn show(self, value: f64) -> String {
        let whole = matches!(self, Self::Stations | Self::Ticks | Self::Times);
        if whole || value >= 100.0 {
            format!("{value:.0}")
        } else if value >= 10.0 {
            format!("{value:.1}")
        } else if value >= 1.0 {
            format!("{value:.2}")
        } else {
            format!("{value:.3}")
        }
    }
}

/// One value of one run.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// What of the case, such as "at overload"; may be empty.
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    pub(crate) cost: Option<Cost>,
}

impl Reading {
    pub(crate) fn new(what: &str, value: f64, unit: Unit) -> Self {
        Self {
            what: what.to_owned(),
            value,
            unit,
            cost: None,
        }
    }

    pub(crate) fn cost(mut self, cost: Cost) -> Self {
        self.cost = Some(cost);
        self
    }
}

/// One line of the results: all values of one kind.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) work: WorkName,
    pub(crate) case: String,
    pub(crate) what: String,
    pub(crate) unit: Unit,
    #[serde(rename = "less-is-better")]
    pub(crate) less_is_better: bool,
    pub(crate) peers: Vec<Series>,
}

/// The values of one peer in a line.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Series {
    pub(crate) peer: Peer,
    pub(crate) samples: Vec<f64>,
    #[serde(skip)]
    costs: Vec<Cost>,
    pub(crate) summary: Option<Summary>,
    /// The median by that of the Linux bridge.
    pub(crate) to_bridge: Option<f64>,
    /// vmlan's median by this one.
    pub(crate) vmlan_to_this: Option<f64>,
    pub(crate) cpu_seconds: Option<Cost>,
}

/// A case that a peer failed in: it has no figures there.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failure {
    pub(crate) work: WorkName,
    pub(crate) case: String,
    pub(crate) peer: Peer,
    /// The switch did what no switch may, rather than not run at all.
    pub(crate) wrong: bool,
    pub(crate) reason: String,
}

/// Collects the readings of all rounds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    #[serde(rename = "results")]
    pub(crate) lines: Vec<Line>,
    pub(crate) failures: Vec<Failure>,
    /// What was left out, each said once.
    pub(crate) notes: Vec<String>,
}

/// Takes what one work measures of one peer.
pub(crate) struct Recorder<'r> {
    results: &'r mut Results,
    work: WorkName,
    pub(crate) peer: Peer,
    progress: &'r dyn Fn(&str),
}

impl Results {
    /// A recorder for one run of `work` with `peer`; `progress` is told each
    /// case that is over.
    pub(crate) fn recorder<'r>(
        &'r mut self,
        work: WorkName,
        peer: Peer,
        progress: &'r dyn Fn(&str),
    ) -> Recorder<'r> {
        Recorder {
            results: self,
            work,
            peer,
            progress,
        }
    }

    /// Says something once.
    pub(crate) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    fn add(&mut self, work: WorkName, case: &str, peer: Peer, reading: &Reading) {
        let same =
            |line: &Line| line.work == work && line.case == case && line.what == reading.what;
        let at = self.lines.iter().position(same).unwrap_or_else(|| {
            self.lines.push(Line {
                work,
                case: case.to_owned(),
                what: reading.what.clone(),
                unit: reading.unit,
                less_is_better: reading.unit.less_is_better(),
                peers: Vec::new(),
            });
            self.lines.len() - 1
        });
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        let at = line
            .peers
            .iter()
            .position(|series| series.peer == peer)
            .unwrap_or_else(|| {
                line.peers.push(Series::new(peer));
                line.peers.len() - 1
            });
        if let Some(series) = line.peers.get_mut(at) {
            series.samples.push(reading.value);
            series.costs.extend(reading.cost);
        }
    }

    /// Works out medians and ratios. Who was wrong in a case, even once, has
    /// no figures in it.
    pub(crate) fn finish(&mut self) {
        for line in &mut self.lines {
            for failure in &self.failures {
                let whole = failure.wrong && failure.case == ALL_CASES;
                if failure.work == line.work && (whole || failure.case == line.case) {
                    line.peers.retain(|series| series.peer != failure.peer);
                }
            }
            line.peers.sort_by_key(|series| series.peer);
            for series in &mut line.peers {
                series.summary = Summary::of(&series.samples);
                series.cpu_seconds = median_cost(&series.costs);
            }
            let median = |peers: &[Series], peer| {
                let series = peers.iter().find(|series| series.peer == peer)?;
                Some(series.summary?.median)
            };
            let bridge = median(&line.peers, Peer::Bridge);
            let vmlan = median(&line.peers, Peer::Vmlan);
            for series in &mut line.peers {
                let own = series.summary.map(|summary| summary.median);
                series.to_bridge = ratio(own, bridge);
                series.vmlan_to_this = ratio(vmlan, own);
            }
        }
        self.lines.retain(|line| !line.peers.is_empty());
        self.lines.sort_by_key(|line| line.work);
    }
}

fn ratio(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    let (a, b) = (a?, b?);
    (b > 0.0).then(|| a / b)
}

fn median_cost(costs: &[Cost]) -> Option<Cost> {
    let of = |part: fn(&Cost) -> Option<f64>| {
        let parts: Vec<f64> = costs.iter().filter_map(part).collect();
        Summary::of(&parts).map(|summary| summary.median)
    };
    let cost = Cost {
        per_gigabyte: of(|cost| cost.per_gigabyte),
        per_million_frames: of(|cost| cost.per_million_frames),
    };
    (cost.per_gigabyte.is_some() || cost.per_million_frames.is_some()).then_some(cost)
}

impl Series {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            samples: Vec::new(),
            costs: Vec::new(),
            summary: None,
            to_bridge: None,
            vmlan_to_this: None,
            cpu_seconds: None,
        }
    }
}

impl Recorder<'_> {
    /// Runs one case and takes its readings, or that it failed.
    ///
    /// # Errors
    /// The bench was interrupted; all else is on record.
    pub(crate) fn case(
        &mut self,
        case: &str,
        run: impl FnOnce() -> Result<Vec<Reading>>,
    ) -> Result<()> {
        match run() {
            Ok(readings) => {
                let shown: Vec<_> = readings
                    .iter()
                    .map(|r| format!("{} {}", r.unit.show(r.value), r.unit.label()))
                    .collect();
                (self.progress)(&format!("{case}: {}", shown.join(", ")));
                for reading in &readings {
                    self.results.add(self.work, case, self.peer, reading);
                }
                Ok(())
            }
            Err(error) => self.failed(case, &error).ok_or(error),
        }
    }

    /// Notes that `case` failed; [`None`] if it was only interrupted.
    pub(crate) fn failed(&mut self, case: &str, error: &anyhow::Error) -> Option<()> {
        if error.chain().any(|cause| cause.is::<Interrupted>()) {
            return None;
        }
        let reason = format!("{error:#}");
        (self.progress)(&format!("{case}: failed: {reason}"));
        let known = self.results.failures.iter().any(|failure| {
            failure.work == self.work && failure.case == case && failure.peer == self.peer
        });
        if !known {
            self.results.failures.push(Failure {
                work: self.work,
                case: case.to_owned(),
                peer: self.peer,
                wrong: error.chain().any(|cause| cause.is::<Wrong>()),
                reason,
            });
        }
        Some(())
    }

    /// Says once what is left out.
    pub(crate) fn note(&mut self, text: String) {
        self.results.note(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    fn record(results: &mut Results, peer: Peer, value: Result<f64>) {
        let mut recorder = results.recorder(WorkName::Vmm, peer, &|_| {});
        let run = || Ok(vec![Reading::new("", value?, Unit::Mpps)]);
        recorder.case("60 B", run).unwrap();
    }

    #[test]
    fn medians_are_set_against_the_bridge_and_against_vmlan() {
        let mut results = Results::default();
        for value in [1.0, 3.0, 2.0] {
            record(&mut results, Peer::Bridge, Ok(2.0 * value));
            record(&mut results, Peer::Vmlan, Ok(value));
        }
        results.finish();
        let line = &results.lines[0];
        let [vmlan, bridge] = line.peers.as_slice() else {
            panic!("{line:?}");
        };
        assert_eq!(vmlan.summary.unwrap().median, 2.0);
        assert_eq!(vmlan.to_bridge, Some(0.5));
        assert_eq!(bridge.to_bridge, Some(1.0));
        assert_eq!(bridge.vmlan_to_this, Some(0.5));
    }

    #[test]
    fn a_switch_that_was_wrong_once_scores_nothing() {
        let mut results = Results::default();
        record(&mut results, Peer::Ovs, Ok(9.0));
        record(&mut results, Peer::Bridge, Ok(1.0));
        record(&mut results, Peer::Ovs, Err(Wrong("x".into()).into()));
        record(&mut results, Peer::Ovs, Ok(9.0));
        results.finish();
        let peers: Vec<_> = results.lines[0].peers.iter().map(|s| s.peer).collect();
        assert_eq!(peers, [Peer::Bridge]);
        assert!(results.failures[0].wrong);
        assert_eq!(results.failures.len(), 1);
    }

    #[test]
    fn an_interruption_is_no_failure_of_the_switch() {
        let mut results = Results::default();
        let mut recorder = results.recorder(WorkName::Vmm, Peer::Vmlan, &|_| {});
        assert!(recorder.case("x", || Err(Interrupted.into())).is_err());
        assert!(recorder.case("y", || Err(anyhow!("no"))).is_ok());
        let cases: Vec<_> = results.failures.iter().map(|f| f.case.as_str()).collect();
        assert_eq!(cases, ["y"]);
    }
}
