//! vmlan killed with SIGKILL at random moments while clients take leases, over
//! and over. After each start:
//!
//! - every ACK that a client has seen is in the loaded state, on the same
//!   address;
//! - no address is with two clients, and no client on two addresses.
//!
//! SIGKILL leaves what was written to the kernel: that a power cut loses no
//! lease either is shown by the store's own tests, which cut behind each step.

pub mod crowd;

use crate::switch::Switch;
use anyhow::{Context, Result, ensure};
use crowd::{Crowd, Mac};
use fastrand::Rng;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

/// Starts with one state folder, so that its size stays within bounds.
const STARTS: u32 = 20;
/// The longest that vmlan lives, in milliseconds, when it is killed under load,
const BUSY: u64 = 250;
/// and how long when it was quiet, about when it writes the lease file.
const QUIET: std::ops::Range<u64> = 950..1100;
/// One life of this many is quiet at its end.
const QUIET_PART: u32 = 12;

/// The config of the network: a /16, more leases than are taken.
const CONFIG: &str = r#"
name      = "lab"
interface = ""
address   = "10.99.0.1/16"
forward   = "isolated"

[dhcp]
max-leases = 60000
probe = false

[[port]]
name = "c1"
kind = "tap"
interface = "c1"
"#;

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Times that vmlan was killed.
    pub kills: u32,
    /// ACKs that clients saw.
    pub acknowledged: usize,
    /// Most leases that one start had to load.
    pub most: usize,
}

/// Kills vmlan `times` times, at moments drawn from `seed`; `progress` is told
/// of each.
///
/// # Errors
/// A lease was lost or given twice, or vmlan does not come up again.
pub fn run(seed: u64, times: u32, mut progress: impl FnMut(u32)) -> Result<Report> {
    let mut rng = Rng::with_seed(seed);
    let mut report = Report::default();
    while report.kills < times {
        let mut switch = Switch::prepare(CONFIG)?;
        let mut books = HashMap::new();
        for _ in 0..STARTS.min(times - report.kills) {
            report.acknowledged += life(&mut switch, &mut rng, &mut books)
                .with_context(|| format!("seed {seed}, kill {}", report.kills + 1))?;
            report.kills += 1;
            report.most = report.most.max(books.len());
            progress(report.kills);
        }
        switch.launch()?;
        compare(&switch, &books)
            .with_context(|| format!("seed {seed}, kill {}\n{}", report.kills, switch.log()))?;
    }
    Ok(report)
}

/// Starts vmlan, sees that it knows all leases in `books`, has clients take
/// more, and kills it. Gives the number of their ACKs.
fn life(switch: &mut Switch, rng: &mut Rng, books: &mut HashMap<Mac, Ipv4Addr>) -> Result<usize> {
    switch.launch()?;
    compare(switch, books).with_context(|| switch.log())?;
    let container = switch.container("c1", "52:54:00:00:00:01")?;
    let crowd = Crowd::start(&container, u32::try_from(books.len())?)?;
    let quiet = rng.u32(..QUIET_PART) == 0;
    thread::sleep(Duration::from_millis(rng.u64(..BUSY)));
    let acknowledged = if quiet {
        let acknowledged = crowd.stop()?;
        thread::sleep(Duration::from_millis(rng.u64(QUIET)));
        switch.kill();
        acknowledged
    } else {
        switch.kill();
        crowd.stop()?
    };
    let count = acknowledged.len();
    books.extend(acknowledged);
    Ok(count)
}

/// Compares what vmlan has with what clients were told.
fn compare(switch: &Switch, books: &HashMap<Mac, Ipv4Addr>) -> Result<()> {
    let leases = switch.json("leases")?;
    let leases = leases.as_array().context("leases is no array")?;
    let text = |lease: &serde_json::Value, key: &str| {
        let value = lease.get(key).and_then(serde_json::Value::as_str);
        value
            .map(str::to_owned)
            .with_context(|| format!("no {key}: {lease}"))
    };
    let mut loaded = HashMap::new();
    let mut addresses = HashSet::new();
    for lease in leases {
        let (mac, address) = (text(lease, "mac")?, text(lease, "address")?);
        ensure!(text(lease, "state")? == "bound", "{lease}");
        ensure!(addresses.insert(address.clone()), "{address} is with two");
        let double = loaded.insert(mac, address);
        ensure!(double.is_none(), "two addresses: {lease}");
    }
    for (mac, address) in books {
        let loaded = loaded.get(&crate::frame::text(*mac));
        ensure!(
            loaded == Some(&format!("{address}/16")),
            "{mac:02x?} was told {address}, but has {loaded:?} of {} leases",
            leases.len()
        );
    }
    Ok(())
}
