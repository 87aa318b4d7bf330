//! A switch with stations: network namespaces whose `eth0` is one of its
//! ports, as containers have it.

use super::generator::Wrong;
use super::interrupt::wait_for;
use super::lab::Lab;
use super::lab::namespace::{Namespace, SOON, address};
use super::peer::{Peer, Switch};
use anyhow::{Context as _, Result, anyhow, ensure};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

/// Where stations listen.
const PORT: u16 = 5002;
/// Bytes of the transfer that is compared.
const TRANSFER: usize = 8 << 20;
/// Bytes that are written and read at a time.
const CHUNK: usize = 64 << 10;
/// Bounds each wait inside a transfer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A switch under test and its stations, numbered from 1.
pub(crate) struct Stations {
    // The order in which they go.
    switch: Box<dyn Switch>,
    stations: Vec<Namespace>,
}

impl Stations {
    /// Starts `peer` with `count` stations, each of which the first one can
    /// reach.
    ///
    /// # Errors
    /// The switch does not start or does not forward.
    pub(crate) fn new(lab: &Lab, peer: Peer, count: usize) -> Result<Self> {
        let namespace = Rc::new(lab.namespace("switch")?);
        let mut switch = peer.start(lab, &namespace)?;
        let mut stations = Vec::new();
        for number in 1..=count {
            let station = lab.namespace("station")?;
            switch.connect(&station, number)?;
            station.station(number)?;
            stations.push(station);
        }
        let mut stations = Self { switch, stations };
        for number in 2..=count {
            stations.greet(number)?;
        }
        Ok(stations)
    }

    /// Station `number`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn station(&self, number: usize) -> Result<&Namespace> {
        let station = number.checked_sub(1).and_then(|at| self.stations.get(at));
        station.context("no such station")
    }

    /// Turns checksum and segmentation offloads of all stations on or off.
    ///
    /// # Errors
    /// `ethtool` is not installed, or the netdev does not obey.
    pub(crate) fn set_offloads(&self, on: bool) -> Result<()> {
        let state = if on { "on" } else { "off" };
        for station in &self.stations {
            station
                .run(&format!(
                    "ethtool -K eth0 tx {state} sg {state} tso {state} gso {state} gro {state}"
                ))
                .context("needs the package ethtool")?;
        }
        Ok(())
    }

    /// Fails where the switch runs no more.
    ///
    /// # Errors
    /// With the end of its log.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.switch.check()
    }

    /// A UDP socket of station `number`.
    ///
    /// # Errors
    /// The port is taken.
    pub(crate) fn udp(&self, number: usize, port: u16) -> Result<UdpSocket> {
        self.station(number)?.enter(|| {
            UdpSocket::bind((address(number).as_str(), port)).context("cannot bind a UDP socket")
        })
    }

    /// A TCP connection from one station to another: the ends at both.
    ///
    /// # Errors
    /// It does not come about.
    pub(crate) fn tcp(&self, from: usize, to: usize) -> Result<(TcpStream, TcpStream)> {
        let target = address(to);
        let listener = self.station(to)?.enter(|| {
            let listener = TcpListener::bind((target.as_str(), PORT))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        let near = self.station(from)?.enter(|| {
            let target = format!("{target}:{PORT}").parse()?;
            TcpStream::connect_timeout(&target, PATIENCE).context("cannot connect by TCP")
        })?;
        let far = wait_for("a TCP connection", SOON, || {
            Ok(listener.accept().ok().map(|(stream, _)| stream))
        })?;
        far.set_nonblocking(false)?;
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
        }
        Ok((near, far))
    }

    /// Sends some MB from one station to another, and compares each byte.
    ///
    /// # Errors
    /// One was changed ([`Wrong`]), or they do not come.
    pub(crate) fn prove(&self, from: usize, to: usize) -> Result<()> {
        let (mut near, mut far) = self.tcp(from, to)?;
        thread::scope(|scope| {
            let sender = scope.spawn(move || -> Result<()> {
                let mut bytes = Bytes::default();
                for _ in 0..TRANSFER / CHUNK {
                    near.write_all(bytes.next()).context("cannot send")?;
                }
                Ok(())
            });
            let mut bytes = Bytes::default();
            let mut got = vec![0; CHUNK];
            for _ in 0..TRANSFER / CHUNK {
                far.read_exact(&mut got).context("the transfer broke off")?;
                ensure!(
                    got == bytes.next(),
                    Wrong("a byte of a TCP transfer was changed".to_owned())
                );
            }
            sender.join().map_err(|_| anyhow!("the sender panicked"))?
        })
    }

    /// Waits until station `number` answers the first one.
    fn greet(&mut self, number: usize) -> Result<()> {
        let (near, far) = (self.udp(1, PORT)?, self.udp(number, PORT)?);
        near.connect((address(number).as_str(), PORT))?;
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        }
        let switch = &mut self.switch;
        wait_for("an answer through the switch", SOON, || {
            switch.check()?;
            let mut byte = [0];
            // Refused where ARP has no answer yet.
            let _ = near.send(&byte);
            if let Ok((_, sender)) = far.recv_from(&mut byte) {
                let _ = far.send_to(&byte, sender);
            }
            Ok(near.recv(&mut byte).ok().map(drop))
        })
    }
}

/// Bytes that are the same at both ends and never the same again.
#[derive(Debug)]
struct Bytes {
    state: u64,
    chunk: Vec<u8>,
}

impl Default for Bytes {
    fn default() -> Self {
        Self {
            state: 0x2545_f491_4f6c_dd1d,
            chunk: vec![0; CHUNK],
        }
    }
}

impl Bytes {
    fn next(&mut self) -> &[u8] {
        let (words, _) = self.chunk.as_chunks_mut::<8>();
        for word in words {
            // Marsaglia's xorshift64.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            *word = self.state.to_be_bytes();
        }
        &self.chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_make_the_same_bytes_and_no_chunk_comes_twice() {
        let (mut a, mut b) = (Bytes::default(), Bytes::default());
        let first = a.next().to_vec();
        assert_eq!(first, b.next());
        assert_eq!(a.next(), b.next());
        assert_ne!(first, a.next());
    }
}
