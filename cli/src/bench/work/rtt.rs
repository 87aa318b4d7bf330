//! Round trips between two stations, one 64-byte datagram at a time: while the
//! switch is idle, and while two others send through it by TCP what they can.

use super::Place;
use crate::bench::generator::Wrong;
use crate::bench::interrupt;
use crate::bench::lab::namespace::address;
use crate::bench::result::{Reading, Recorder, Unit};
use crate::bench::stations::Stations;
use crate::bench::statistics::percentile;
use anyhow::{Context as _, Result, anyhow, ensure};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Where the echo listens.
const PORT: u16 = 5003;
/// Bytes of a datagram.
const LEN: usize = 64;
/// An answer that takes longer is taken for lost.
const LOST: Duration = Duration::from_millis(500);
/// Until the load has got going.
const WARM_UP: Duration = Duration::from_millis(200);

pub(super) fn run(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    let stations = Stations::new(place.lab, recorder.peer, 4)?;
    recorder.case("idle", || round_trips(&stations, place.time))?;
    recorder.case("under load", || {
        let (near, far) = stations.tcp(3, 4)?;
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            let sending = scope.spawn(|| load(&near, &end));
            let receiving = scope.spawn(|| {
                let mut buffer = vec![0; 256 << 10];
                while matches!((&far).read(&mut buffer), Ok(n) if n > 0) {}
            });
            let result =
                interrupt::sleep(WARM_UP).and_then(|()| round_trips(&stations, place.time));
            end.store(true, Ordering::Release);
            let panicked = |_| anyhow!("the load panicked");
            let carried = sending.join().map_err(panicked)?;
            receiving.join().map_err(panicked)?;
            ensure!(carried > 0, "the switch carried no load");
            result
        })
    })?;
    stations.prove(1, 2)
}

/// Sends until `end`, and gives the bytes.
fn load(mut stream: &std::net::TcpStream, end: &AtomicBool) -> usize {
    let (bytes, mut sent) = (vec![0x5a; 128 << 10], 0);
    while !end.load(Ordering::Acquire) {
        match stream.write(&bytes) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
    sent
}

fn round_trips(stations: &Stations, time: Duration) -> Result<Vec<Reading>> {
    let (near, far) = (stations.udp(1, PORT)?, stations.udp(2, PORT)?);
    near.connect((address(2).as_str(), PORT))?;
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    }
    let end = AtomicBool::new(false);
    let mut times = thread::scope(|scope| {
        let echo = scope.spawn(|| echo(&far, &end));
        let times = ping(&near, time);
        end.store(true, Ordering::Release);
        echo.join().map_err(|_| anyhow!("the echo panicked"))?;
        times
    })?;
    times.sort_by(f64::total_cmp);
    let at = |percent| percentile(&times, percent).context("no round trip");
    Ok(vec![
        Reading::new("p50", at(50)?, Unit::Microseconds),
        Reading::new("p99", at(99)?, Unit::Microseconds),
    ])
}

/// Sends back what comes.
fn echo(socket: &UdpSocket, end: &AtomicBool) {
    let mut buffer = [0; LEN];
    while !end.load(Ordering::Acquire) {
        if let Ok((len, sender)) = socket.recv_from(&mut buffer) {
            let answer = buffer.get(..len).unwrap_or_default();
            let _ = socket.send_to(answer, sender);
        }
    }
}

/// Round trip times in microseconds.
fn ping(socket: &UdpSocket, time: Duration) -> Result<Vec<f64>> {
    let (mut times, mut lost) = (Vec::new(), 0_u32);
    let start = Instant::now();
    let mut number = 0_u64;
    while start.elapsed() < time {
        interrupt::check()?;
        number += 1;
        let question = [number.to_be_bytes(); LEN / 8];
        let question = question.as_flattened();
        let sent = Instant::now();
        socket.send(question).context("cannot send a datagram")?;
        match answer(socket, question, sent)? {
            Some(time) => times.push(time.as_secs_f64() * 1e6),
            None => lost += 1,
        }
        ensure!(
            lost < 3,
            "{lost} of {number} round trips were not completed"
        );
    }
    Ok(times)
}

/// Waits for the answer to `question`; [`None`] if none comes.
fn answer(socket: &UdpSocket, question: &[u8], sent: Instant) -> Result<Option<Duration>> {
    let mut buffer = [0; LEN + 1];
    while sent.elapsed() < LOST {
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let time = sent.elapsed();
                let got = buffer.get(..len).unwrap_or_default();
                // Each was waited for, and those that took too long end the
                // bench soon: nothing else can come.
                ensure!(
                    got == question,
                    Wrong("a datagram came back changed or twice".to_owned())
                );
                return Ok(Some(time));
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("no answer"),
        }
    }
    Ok(None)
}
