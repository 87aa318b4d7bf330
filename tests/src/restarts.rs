//! vmlan goes from process to process, by takeover and by SIGKILL, while a tap
//! guest, a stream guest and two namespaces send to each other. All along:
//!
//! - what is sent by TCP arrives, compared by sha256;
//! - no guest is detached: each port is there under its name, the stream guest's
//!   connection holds, and counters only grow;
//! - how long frames stay away is measured.

use crate::beat::Beat;
use crate::cable::Cabled;
use crate::manager::Manager;
use crate::namespace::Namespace;
use crate::station::Station;
use crate::switch::{ISOLATED, Switch, packets, taps};
use crate::transfer;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Enough for any transfer here.
const LONG: Duration = Duration::from_secs(120);

/// Sent in one piece, in MiB; over and over, until the last restart.
const PIECE: u32 = 32;

/// How long vmlan is left alone between two restarts.
const PAUSE: Duration = Duration::from_millis(100);

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The longest silence of each restart, between the stream guest and the
    /// namespace on the packet port.
    pub gaps: Vec<Duration>,
    /// Pieces that arrived whole.
    pub pieces: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gaps = self.gaps.clone();
        gaps.sort();
        let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
        let worst = gaps.last().copied().unwrap_or_default();
        write!(
            f,
            "{} restarts, silence {median:.1?} in the middle, {worst:.1?} at most; {} pieces of \
             {PIECE} MiB arrived whole",
            gaps.len(),
            self.pieces
        )
    }
}

/// The network's config.
#[must_use]
pub fn config() -> String {
    ISOLATED.to_owned() + "[attach]\nmatch = [\"vnet*\"]\n" + &taps(&["c1"]) + &packets(&["v1"])
}

/// The network of the run: each kind of port once.
#[derive(Debug)]
pub struct Lab {
    /// vmlan.
    pub switch: Switch,
    /// On a TAP that its VMM holds.
    pub tap: Cabled,
    /// On a connection to `vm.sock`.
    pub stream: Cabled,
    /// On the TAP port `c1`, which vmlan holds.
    pub container: Namespace,
    /// On the packet port `v1`.
    pub neighbour: Namespace,
}

impl Lab {
    /// Starts vmlan, as a service of `manager` if there is one, and plugs all in.
    ///
    /// # Errors
    /// Something does not come up.
    pub fn start(manager: Option<&Manager>) -> Result<Self> {
        let mut switch = Switch::prepare(&config())?;
        let neighbour = Namespace::new("v1")?;
        neighbour.veth("eth0", &switch.namespace, "v1")?;
        match manager {
            Some(manager) => switch.launch_under(manager)?,
            None => switch.launch()?,
        }
        let container = switch.container("c1", "52:54:00:00:0e:03")?;
        let tap = Cabled::by_tap(&switch.namespace, "vnet0", "52:54:00:00:0e:01")?;
        let stream = Cabled::by_stream(&switch.run_file("vm.sock"), "52:54:00:00:0e:02")?;
        let lab = Self {
            switch,
            tap,
            stream,
            container,
            neighbour,
        };
        for (n, station) in (11..).zip(lab.stations()) {
            station.run(&format!("ip addr add 192.168.122.{n}/24 dev eth0"))?;
        }
        for station in lab.stations() {
            station.ping("192.168.122.1")?;
        }
        Ok(lab)
    }

    fn stations(&self) -> [&Namespace; 4] {
        let (tap, stream) = (&self.tap.namespace, &self.stream.namespace);
        [tap, stream, &self.container, &self.neighbour]
    }

    /// Restarts vmlan `times` times by `restart` under load; `progress` is told of
    /// each. Where `counts`, counters go on over a restart.
    ///
    /// # Errors
    /// Something was lost; with vmlan's log.
    pub fn run(
        &mut self,
        times: u32,
        counts: bool,
        restart: impl Fn(&mut Switch) -> Result<()>,
        mut progress: impl FnMut(u32),
    ) -> Result<Report> {
        let mut report = Report::default();
        let address = "192.168.122.14".parse()?;
        let beat = Beat::start(&self.stream.namespace, &self.neighbour, address)?;
        let ends = AtomicBool::new(false);
        let Self {
            switch,
            tap,
            stream,
            container,
            neighbour,
        } = self;
        thread::scope(|scope| {
            let transfers = [
                (&stream.namespace, &*neighbour, "192.168.122.14"),
                (&*container, &tap.namespace, "192.168.122.11"),
            ]
            .map(|(from, to, address)| {
                let ends = &ends;
                scope.spawn(move || {
                    let mut pieces = 0;
                    while !ends.load(Ordering::Relaxed) {
                        transfer::tcp(from, to, address, PIECE, LONG)?;
                        pieces += 1;
                    }
                    Ok::<u32, anyhow::Error>(pieces)
                })
            });
            let restarted = (1..=times).try_for_each(|n| {
                let before = frames(switch)?;
                thread::sleep(PAUSE);
                let _ = beat.longest();
                restart(switch).with_context(|| format!("restart {n}"))?;
                thread::sleep(PAUSE);
                report.gaps.push(beat.longest());
                let after = frames(switch)?;
                for (name, frames) in before {
                    let now = after.get(&name).with_context(|| {
                        format!("restart {n}: port {name} is gone\n{}", switch.log())
                    })?;
                    ensure!(!counts || *now >= frames, "{name}: {frames}, then {now}");
                }
                ensure!(
                    !stream.is_cut(),
                    "restart {n}: the stream guest was hung up on"
                );
                progress(n);
                Ok(())
            });
            ends.store(true, Ordering::Relaxed);
            for transfer in transfers {
                let pieces = transfer.join().map_err(|_| anyhow::anyhow!("panic"));
                let pieces = pieces.and_then(|it| it);
                // What went wrong first is to be told.
                if restarted.is_ok() {
                    report.pieces += pieces.with_context(|| switch.log())?;
                }
            }
            restarted
        })?;
        Ok(report)
    }
}

/// Each port with what the switch has received from it.
fn frames(switch: &Switch) -> Result<BTreeMap<String, u64>> {
    let ports = switch.json("ports")?;
    let port = |port: &Value| {
        let name = port.get("name")?.as_str()?.to_owned();
        Some((name, port.pointer("/rx/frames")?.as_u64()?))
    };
    let ports = ports.as_array().context("ports is no array")?;
    let ports = ports.iter();
    ports
        .map(|it| port(it).with_context(|| it.to_string()))
        .collect()
}
