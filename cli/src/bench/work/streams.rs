//! TCP and UDP between two stations, by iperf3: with offloads and without, one
//! flow and eight. Ends with a transfer whose bytes are compared.

use super::Place;
use crate::bench::lab::namespace::{SOON, address};
use crate::bench::lab::process::Process;
use crate::bench::load::{Cost, CpuTime};
use crate::bench::peer::Peer;
use crate::bench::result::{Reading, Recorder, Unit};
use crate::bench::stations::Stations;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::time::Duration;

/// What carries the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// Arguments of iperf3's client.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Tcp => &[],
            // As fast as can be, in packets that fill an MTU of 1500.
            Self::Udp => &["--udp", "--bitrate", "0", "--length", "1472"],
        }
    }
}

pub(super) fn run(
    place: &Place<'_>,
    recorder: &mut Recorder<'_>,
    protocol: Protocol,
) -> Result<()> {
    let mut stations = Stations::new(place.lab, recorder.peer, 2)?;
    // VDE's TAPs have no offloads, and refuse to have them turned on.
    let has_offloads = recorder.peer != Peer::Vde;
    for (offloads, on) in [("offloads on", true), ("offloads off", false)] {
        if has_offloads {
            stations.set_offloads(on)?;
        } else if !on {
            recorder.note(format!(
                "{} has no offloads: it is measured once, beside those that have them on",
                recorder.peer
            ));
            continue;
        }
        for (flows, count) in [("1 flow", 1), ("8 flows", 8)] {
            recorder.case(&format!("{offloads}, {flows}"), || {
                let reading = measure(place, &stations, protocol, count)?;
                stations.check()?;
                stations.prove(1, 2)?;
                Ok(vec![reading])
            })?;
        }
    }
    Ok(())
}

fn measure(
    place: &Place<'_>,
    stations: &Stations,
    protocol: Protocol,
    flows: u32,
) -> Result<Reading> {
    let folder = place.lab.folder("iperf3")?;
    let mut server = stations.station(2)?.command("iperf3");
    server.args(["--server", "--one-off", "--forceflush"]);
    let mut server = Process::start("server", server, &folder)?;
    server.wait_for_text("listening", SOON)?;
    // iperf3 knows whole seconds only.
    let seconds = place.time.as_secs_f64().ceil();
    let mut client = stations.station(1)?.command("iperf3");
    client
        .args(["--client", &address(2), "--json"])
        .args(["--time", &format!("{seconds:.0}")])
        .args(["--parallel", &flows.to_string()])
        .args(protocol.arguments());
    let before = CpuTime::now()?;
    let client = Process::start("client", client, &folder)?;
    let text = client.finish(Duration::from_secs_f64(seconds) + SOON)?;
    let cpu = CpuTime::now()?.since(before);
    let received = Received::parse(&text)?;
    let rate = received.bits_per_second / 1e9;
    Ok(Reading::new("", rate, Unit::Gbps).cost(Cost::new(cpu, received.bytes, received.packets)))
}

/// What iperf3's server got.
#[derive(Debug, PartialEq)]
struct Received {
    bits_per_second: f64,
    bytes: u64,
    /// UDP only.
    packets: Option<u64>,
}

impl Received {
    /// Reads the client's report.
    fn parse(text: &str) -> Result<Self> {
        let report: Value = serde_json::from_str(text).context("iperf3 printed no JSON")?;
        if let Some(error) = report.get("error").and_then(Value::as_str) {
            bail!("iperf3: {error}");
        }
        let sum = report
            .pointer("/end/sum_received")
            .context("iperf3 does not say what was received")?;
        let number = |key| sum.get(key).and_then(Value::as_u64);
        let packets = number("packets").zip(number("lost_packets"));
        Ok(Self {
            bits_per_second: sum
                .get("bits_per_second")
                .and_then(Value::as_f64)
                .context("iperf3 reports no rate")?,
            bytes: number("bytes").context("iperf3 reports no bytes")?,
            packets: packets.map(|(all, lost)| all.saturating_sub(lost)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_counts_not_what_was_sent() {
        let report = r#"{"end": {
            "sum_sent": {"bytes": 9, "bits_per_second": 72.0},
            "sum_received": {"bytes": 5, "bits_per_second": 40.5, "packets": 7, "lost_packets": 2}
        }}"#;
        let received = Received::parse(report).unwrap();
        assert_eq!((received.bits_per_second, received.bytes), (40.5, 5));
        assert_eq!(received.packets, Some(5));
        assert!(Received::parse(r#"{"error": "unable to connect"}"#).is_err());
        assert!(Received::parse("").is_err());
    }
}
