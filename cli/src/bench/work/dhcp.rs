//! Leases: the most four-way exchanges (DISCOVER, OFFER, REQUEST, ACK) a second
//! of which no more than 2.5 % of either half are lost, with up to 40,000
//! clients, by ISC's perfdhcp. vmlan does the same once more while two guests
//! exchange TCP as fast as they can.
//!
//! Each trial has a server without any lease: who renews a lease of a moment ago
//! makes less work.

use super::Place;
use crate::bench::interrupt::wait_for;
use crate::bench::lab::namespace::{Namespace, SOON};
use crate::bench::lab::process::{self, Process};
use crate::bench::peer::{Peer, dhcp};
use crate::bench::result::{Reading, Recorder, Unit};
use crate::bench::search::{Trial, highest};
use anyhow::{Context as _, Result};
use std::time::Duration;

/// Clients that take turns.
const CLIENTS: u32 = 40_000;
/// The part that may be lost.
const LOST: f64 = 0.025;
/// How close to the limit the search goes.
const RESOLUTION: f64 = 0.06;
/// perfdhcp's own part of a trial may not be shorter: it knows whole seconds,
/// and the first one is a warm-up.
const SHORTEST: f64 = 3.0;

pub(super) fn run(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    let peer = recorder.peer;
    recorder.case("alone", || measure(place, peer, Load::None))?;
    if peer == Peer::Vmlan {
        recorder.case("beside TCP", || measure(place, peer, Load::Tcp))?;
    }
    Ok(())
}

/// What else the switch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    None,
    Tcp,
}

fn measure(place: &Place<'_>, peer: Peer, load: Load) -> Result<Vec<Reading>> {
    let guess = match peer {
        Peer::Dnsmasq => 400.0,
        Peer::Kea => 5000.0,
        _ => 10_000.0,
    };
    let best = highest(guess, RESOLUTION, |rate| trial(place, peer, load, rate))?;
    let best = best.context("too much is lost at any rate")?;
    Ok(vec![Reading::new("", best.rate, Unit::Exchanges)])
}

fn trial(place: &Place<'_>, peer: Peer, load: Load, rate: f64) -> Result<Trial<()>> {
    let seconds = place.time.as_secs_f64().ceil().max(SHORTEST);
    let server = place.lab.namespace("server")?;
    let clients = place.lab.namespace("clients")?;
    let mut process = dhcp::start(peer, place.lab, &server, &clients)?;
    clients.run("ip address add 10.88.255.254/16 dev eth0; ip link set eth0 up")?;
    wait_for("the DHCP server", SOON, || {
        process.running()?;
        let answered = perfdhcp(&clients, "-r 20 -p 1 -R 1")?;
        Ok((answered.lost == 0.0 && answered.rate > 0.0).then_some(()))
    })?;
    let _busy = match load {
        Load::None => None,
        Load::Tcp => Some(Busy::start(place, &server)?),
    };
    let arguments = format!("-r {rate:.0} -p {seconds:.0} -R {CLIENTS}");
    let answered = perfdhcp(&clients, &arguments)?;
    process.running()?;
    Ok(Trial {
        good: answered.lost <= LOST,
        rate: answered.rate,
        detail: (),
    })
}

/// Two stations that exchange TCP through the switch of `server`.
struct Busy {
    _processes: [Process; 2],
    _stations: [Namespace; 2],
}

impl Busy {
    fn start(place: &Place<'_>, server: &Namespace) -> Result<Self> {
        let stations = [place.lab.namespace("tcp")?, place.lab.namespace("tcp")?];
        let [one, other] = &stations;
        for (number, station) in (1..).zip(&stations) {
            // The switch takes it as it appears.
            let near = format!("guest{number}");
            server.run(&format!(
                "ip link add {near} type veth peer name eth0 netns {}; ip link set {near} up",
                station.name()
            ))?;
            station.station(number)?;
        }
        let folder = place.lab.folder("iperf3")?;
        let mut command = other.command("iperf3");
        command.args(["--server", "--forceflush"]);
        let mut sink = Process::start("sink", command, &folder)?;
        sink.wait_for_text("listening", SOON)?;
        let mut command = one.command("iperf3");
        command.args(["--client", "10.77.0.2", "--time", "3600", "--forceflush"]);
        let mut source = Process::start("source", command, &folder)?;
        source.wait_for_text("bits/sec", SOON)?;
        Ok(Self {
            _processes: [source, sink],
            _stations: stations,
        })
    }
}

/// What perfdhcp saw.
#[derive(Debug, PartialEq)]
struct Answered {
    /// Exchanges a second.
    rate: f64,
    /// The part that was lost, of the half that lost more.
    lost: f64,
}

fn perfdhcp(clients: &Namespace, arguments: &str) -> Result<Answered> {
    let mut command = clients.command("sh");
    // Its exit status 3 says that not all was answered.
    let script = format!("perfdhcp -4 -B -l eth0 {arguments} || [ $? = 3 ]");
    command.args(["-c", &script]);
    let text = process::run(command, SOON + Duration::from_secs(60))?;
    Answered::parse(&text).with_context(|| format!("perfdhcp printed {text}"))
}

impl Answered {
    fn parse(text: &str) -> Option<Self> {
        let numbers = |start: &str| -> Vec<f64> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(start));
            let words = lines.filter_map(|line| line.split_whitespace().next());
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let (sent, received) = (numbers("sent packets: "), numbers("received packets: "));
        let lost = |(sent, received): (&f64, &f64)| {
            if *sent > 0.0 {
                1.0 - received / sent
            } else {
                1.0
            }
        };
        let lost = sent.iter().zip(&received).map(lost);
        Some(Self {
            rate: *numbers("Rate: ").first()?,
            lost: lost.fold(None, |most: Option<f64>, lost| {
                Some(most.map_or(lost, |most| most.max(lost)))
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_half_that_lost_more_counts() {
        let text = "***Rate statistics***\nRate: 711.5 4-way exchanges/second, expected rate: \
                    1000\n\n***Statistics for: DISCOVER-OFFER***\nsent packets: 1000\nreceived \
                    packets: 900\ndrops: 100\n\n***Statistics for: REQUEST-ACK***\nsent packets: \
                    900\nreceived packets: 450\n";
        let answered = Answered::parse(text);
        let (rate, lost) = (711.5, 0.5);
        assert_eq!(answered, Some(Answered { rate, lost }));
        let silent = "Rate: 0 4-way\nsent packets: 10\nreceived packets: 0\n\
                      sent packets: 0\nreceived packets: 0\n";
        assert_eq!(Answered::parse(silent).unwrap().lost, 1.0);
        assert_eq!(Answered::parse("no such netdev"), None);
    }
}
