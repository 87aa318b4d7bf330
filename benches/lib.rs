//! Benches of the hot path, and what they share: frames to measure with, a
//! switch to put them through and a port that swallows what comes out.
//!
//! `cargo bench -p vmlan-benches` runs all, with `-- --quick` in a minute. The
//! figures are this machine's: only ratios taken in one run say something. No
//! bench fails on a time; `allocations` fails on a count.

use anyhow::{Context, Result};
use criterion::Criterion;
use etherparse::{PacketBuilder, TcpHeader};
use std::hint::black_box;
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::forward::{Forwarder, Role, Settings, Verdict};
use vmlan_dataplane::frame::finish::Finisher;
use vmlan_dataplane::frame::transport::{TCP_CHECKSUM, Transport};
use vmlan_dataplane::frame::vnet::{F_NEEDS_CSUM, GSO_NONE, GSO_TCPV4, VnetHeader};
use vmlan_dataplane::frame::{BURST, Frame, Offload};
use vmlan_dataplane::port::{Abilities, Egress, Sent, Transmitter, TxFrame};
use vmlan_dataplane::table::{PortId, Tick};

/// Ports of the [`switch`], station `n` behind port `n`.
pub const PORTS: u16 = 9;

/// Payload of a segment on a network of MTU 1500.
pub const SEGMENT: u16 = 1460;

/// Runs criterion benches with the arguments of the command line.
///
/// # Errors
/// What the benches return.
pub fn run(benches: impl FnOnce(&mut Criterion) -> Result<()>) -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    benches(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// Station `number`.
#[must_use]
pub fn station(number: u32) -> MacAddr {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddr(0x52, 0x54, a, b, c, d)
}

/// A TCP/IPv4 frame with `payload` bytes, its checksums in place.
///
/// # Errors
/// The packet would be longer than IPv4 can be.
pub fn tcp(source: MacAddr, destination: MacAddr, payload: usize) -> Result<Vec<u8>> {
    let mut tcp = TcpHeader::new(40_000, 443, 1, 65_535);
    (tcp.ack, tcp.psh) = (true, true);
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(source.octets(), destination.octets())
        .ipv4([192, 168, 122, 7], [192, 168, 122, 9], 64)
        .tcp_header(tcp)
        .write(&mut bytes, &vec![0x5a; payload])?;
    Ok(bytes)
}

/// The same, its checksum left open, and to be cut where it is longer than a
/// segment: as a guest with offloads sends it.
///
/// # Errors
/// As [`tcp`].
pub fn unfinished(source: MacAddr, destination: MacAddr, payload: usize) -> Result<Frame> {
    let mut frame = Frame::from_bytes(&tcp(source, destination, payload)?);
    let at = Transport::locate(frame.bytes()).context("no TCP")?;
    let mut header = VnetHeader::NONE;
    header.flags = F_NEEDS_CSUM;
    header.csum_start = u16::try_from(at.start)?.into();
    header.csum_offset = u16::try_from(TCP_CHECKSUM)?.into();
    header.gso_size = SEGMENT.into();
    header.gso_type = if payload > SEGMENT.into() {
        GSO_TCPV4
    } else {
        GSO_NONE
    };
    frame.set_offload(Offload::from_vnet(&header, frame.bytes())?);
    Ok(frame)
}

/// A burst of one kind of frame.
pub fn burst(frame: impl FnMut() -> Result<Frame>) -> Result<Vec<Frame>> {
    std::iter::repeat_with(frame).take(BURST).collect()
}

/// A switch of [`PORTS`] ports that knows where every station is.
#[must_use]
pub fn switch() -> Forwarder {
    let mut switch = Forwarder::new(Settings {
        mac: MacAddr(2, 0, 0, 0, 0, 1),
        gateway: None,
        mtu: 1500,
        dhcp: true,
        dns: false,
        ageing: Some(3000),
        fdb_size: 8192,
        former_gateways: Vec::new(),
    });
    for port in 0..PORTS {
        switch.add_port(PortId(port), Role::Station);
        let fdb = switch.fdb();
        fdb.learn(station(port.into()), 0, PortId(port), Tick(0));
    }
    switch
}

/// A port that swallows what it is given.
#[derive(Debug)]
pub struct Sink(pub Abilities);

impl Egress for Sink {
    fn abilities(&self) -> Abilities {
        self.0
    }

    fn transmit(&self, _: &mut Transmitter, frames: &[TxFrame<'_>], sent: &mut Sent) {
        for frame in frames {
            sent.count(black_box(frame));
        }
    }
}

/// What a worker does with a burst from port 0 between receive and transmit:
/// the step, the queues of the egress ports, finishing for each.
#[derive(Debug)]
pub struct Path {
    switch: Forwarder,
    finisher: Finisher,
    queues: Vec<Vec<usize>>,
    egress: Sink,
}

impl Path {
    /// A path to ports of these abilities.
    #[must_use]
    pub fn new(abilities: Abilities) -> Self {
        Self {
            switch: switch(),
            finisher: Finisher::new(Transmitter::new(0)),
            queues: vec![Vec::with_capacity(BURST); PORTS.into()],
            egress: Sink(abilities),
        }
    }

    /// Carries a burst and gives what was sent.
    pub fn carry(&mut self, burst: &[Frame]) -> Sent {
        for (place, frame) in burst.iter().enumerate() {
            let verdict = self.switch.step(black_box(frame), PortId(0), Tick(0));
            match verdict {
                Verdict::Unicast(port) => self.enqueue(port, place),
                Verdict::Flood(ports) => {
                    for port in ports.iter() {
                        self.enqueue(port, place);
                    }
                }
                Verdict::Answer(_) | Verdict::Punt | Verdict::Drop(_) => {}
            }
        }
        let mut sent = Sent::default();
        for queue in &mut self.queues {
            let frames = queue.iter().filter_map(|place| burst.get(*place));
            self.finisher.transmit(frames, &self.egress, &mut sent);
            queue.clear();
        }
        sent
    }

    fn enqueue(&mut self, port: PortId, place: usize) {
        if let Some(queue) = self.queues.get_mut(usize::from(port.0)) {
            queue.push(place);
        }
    }
}
