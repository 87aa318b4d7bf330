//! A real dnsmasq on a TAP of which this process is the other end.

use super::case::Message;
use super::{Peer, SERVER};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::station::Station;
use crate::vmm::Vmm;
use crate::wait;
use anyhow::{Context, Result, ensure};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use std::io::Write as _;
use std::net::Ipv4Addr;

const AGENT: [u8; 6] = [0x52, 0x54, 0, 0xff, 0xff, 1];
/// The `xid` of the message behind each other one.
const LAST: [u8; 4] = [0xff; 4];

/// dnsmasq. Its clients are whoever a message says.
#[derive(Debug)]
pub struct Dnsmasq {
    tap: Vmm,
    process: Process,
    mac: [u8; 6],
    _file: tempfile::NamedTempFile,
    _namespace: Namespace,
}

impl Dnsmasq {
    /// Starts it with the configuration `lines` and an interface that has
    /// [`SERVER`]'s address and the way to all relay agents.
    ///
    /// # Errors
    /// It does not start; with what it printed.
    pub fn start(lines: &str) -> Result<Self> {
        let namespace = Namespace::new("dnsmasq")?;
        let tap = Vmm::new(&namespace, "lan0")?;
        let mac = [0x52, 0x54, 0, 0xff, 0xff, 2];
        namespace.run(&format!(
            "ip link set lan0 address 52:54:00:ff:ff:02
            ip addr add {SERVER}/16 brd + dev lan0
            ip route add 10.0.0.0/8 dev lan0
            ip neigh add 172.20.255.250 lladdr 52:54:00:ff:ff:01 dev lan0 nud permanent"
        ))?;
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(lines.as_bytes())?;
        let process = namespace.spawn(&format!(
            "exec dnsmasq --keep-in-foreground --conf-file={}",
            file.path().display()
        ))?;
        wait::until("dnsmasq", wait::SOON, || {
            ensure!(process.stderr().contains("DHCP, IP range"), "no range yet");
            Ok(())
        })
        .with_context(|| process.stderr())?;
        Ok(Self {
            tap,
            process,
            mac,
            _file: file,
            _namespace: namespace,
        })
    }

    fn send(&self, source: Ipv4Addr, message: &Message, bytes: &[u8]) -> Result<()> {
        let to = if message.unicast { self.mac } else { [0xff; 6] };
        let port = if source.octets()[0] == 10 { 67 } else { 68 };
        let packet = PacketBuilder::ethernet2(AGENT, to)
            .ipv4(source.octets(), message.destination().octets(), 64)
            .udp(port, 67);
        let mut frame = Vec::new();
        packet.write(&mut frame, bytes)?;
        self.tap.send(&frame)
    }

    /// Sends a message that always has a reply, as dnsmasq answers in order,
    /// and gives the DHCP messages up to that; whether somebody was asked for
    /// by ARP before, whose reply may come behind.
    fn replies(&self) -> Result<(Vec<Vec<u8>>, bool)> {
        let last = super::case::last(LAST);
        let bytes = last.bytes(u16::MAX, Ipv4Addr::UNSPECIFIED)?;
        self.send(Ipv4Addr::UNSPECIFIED, &last, &bytes)?;
        let frames = self
            .tap
            .receive_until("dnsmasq's reply", |frame| {
                dhcp(frame).is_some_and(|message| message.get(4..8) == bytes.get(4..8))
            })
            .with_context(|| self.process.stderr())?;
        let mut asked = false;
        for frame in &frames {
            if let Some(reply) = arp_reply(frame) {
                self.tap.send(&reply)?;
                asked = true;
            }
        }
        let messages = frames.iter().filter_map(|frame| dhcp(frame));
        let messages = messages.filter(|message| message.get(4..8) != bytes.get(4..8));
        Ok((messages.collect(), asked))
    }
}

impl Peer for Dnsmasq {
    fn ask(&mut self, message: &Message, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        self.send(message.source(bytes), message, bytes)?;
        let mut replies = Vec::new();
        loop {
            let (more, asked) = self.replies()?;
            replies.extend(more);
            if !asked {
                break;
            }
        }
        ensure!(replies.len() <= 1, "{} replies", replies.len());
        Ok(replies.pop())
    }
}

/// The DHCP message that the server sends in `frame`.
fn dhcp(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    match packet.transport? {
        TransportSlice::Udp(udp) if udp.source_port() == 67 => Some(udp.payload().to_vec()),
        _ => None,
    }
}

/// The answer to an ARP request in `frame`: everybody is at [`AGENT`].
fn arp_reply(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(NetSlice::Arp(arp)) = packet.net else {
        return None;
    };
    let mut reply = arp.sender_hw_addr().to_vec();
    reply.extend(AGENT);
    reply.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    reply.extend(AGENT);
    reply.extend(arp.target_protocol_addr());
    reply.extend(arp.sender_hw_addr());
    reply.extend(arp.sender_protocol_addr());
    Some(reply)
}
