//! The machine that figures belong to.

use super::peer::{Peer, first_line};
use jiff::ZonedDateTime;
use rustix::system::uname;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::thread::available_parallelism;

/// What has to be said beside any figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    /// Load average of the last minute when the bench started: what others do
    /// shows in the figures.
    pub(crate) load: f64,
    /// Whether vmlan was built without optimization.
    #[serde(rename = "debug-build")]
    pub(crate) debug_build: bool,
    /// Versions of the programs that take part.
    pub(crate) versions: BTreeMap<String, String>,
}

impl Machine {
    /// This one, with `peers` on it.
    pub(crate) fn this(peers: &[Peer]) -> Self {
        let uname = uname();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let loadavg = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let mut versions: BTreeMap<_, _> = peers
            .iter()
            .filter_map(|peer| Some((peer.label().to_owned(), peer.version()?)))
            .collect();
        if let Some(line) = first_line("iperf3", "--version") {
            let version = line.split_whitespace().nth(1).unwrap_or_default();
            versions.insert("iperf3".to_owned(), version.to_owned());
        }
        Self {
            date: ZonedDateTime::now()
                .strftime("%Y-%m-%d %H:%M %Z")
                .to_string(),
            kernel: format!(
                "{} {} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy(),
                uname.machine().to_string_lossy()
            ),
            cpu: model(&cpuinfo).unwrap_or("unknown").to_owned(),
            cores: available_parallelism().map_or(1, usize::from),
            load: loadavg
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
            debug_build: cfg!(debug_assertions),
            versions,
        }
    }
}

/// The CPU's name in `/proc/cpuinfo`.
fn model(cpuinfo: &str) -> Option<&str> {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nflags\t: x\n";
        assert_eq!(model(cpuinfo), Some("Fast CPU @ 3 GHz"));
        assert_eq!(model("processor\t: 0\n"), None);
    }
}
