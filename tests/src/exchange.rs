//! What DHCP clients and servers say to each other on the wire.

use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait;
use anyhow::{Context, Result, ensure};
use dhcproto::v4::{self, DhcpOption, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a message is for: its type, and of a REQUEST the client's state, by
/// which fields it has and where it goes (RFC 2131 §4.3.2 and table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client looks for servers.
    Discover,
    /// A client takes an offer: requested address, server identifier.
    Select,
    /// A client wants the address of before: requested address, no server
    /// identifier, broadcast.
    InitReboot,
    /// A client wants more time of its server: `ciaddr`, sent to the server.
    Renew,
    /// A client wants more time of any server: `ciaddr`, broadcast.
    Rebind,
    /// A client gives its address back: `ciaddr`, sent to the server. Not every
    /// client puts the server identifier in that is due.
    Release,
    /// A server offers an address.
    Offer,
    /// A server says yes.
    Ack,
    /// A server says no.
    Nak,
    /// Anything else, such as a REQUEST of no state.
    Other,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// What it is for.
    pub step: Step,
    /// The address that it is about: the one given, else the client's own, else
    /// the one wanted.
    pub address: Ipv4Addr,
    xid: u32,
}

/// The messages that a netdev sees, from a capture file that grows.
#[derive(Debug)]
pub struct Exchange {
    file: PathBuf,
    _tcpdump: Option<(Process, tempfile::TempDir)>,
}

impl Exchange {
    /// Captures on `eth0` of `namespace`, and returns once that has begun.
    ///
    /// # Errors
    /// tcpdump fails; with what it printed.
    pub fn capture(namespace: &Namespace) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("vt-{}-", std::process::id()))
            .tempdir()?;
        let file = folder.path().join("pcap");
        let tcpdump = namespace.spawn(&format!(
            "exec tcpdump -i eth0 -n -U --immediate-mode -Z root -w {} 'port 67 or port 68'",
            file.display()
        ))?;
        wait::until("tcpdump", wait::SOON, || {
            let log = tcpdump.stderr();
            ensure!(log.contains("listening on"), "{log}");
            Ok(())
        })?;
        Ok(Self {
            file,
            _tcpdump: Some((tcpdump, folder)),
        })
    }

    /// Reads the pcap file that somebody else writes.
    #[must_use]
    pub fn of_file(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            _tcpdump: None,
        }
    }

    /// All messages so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn messages(&self) -> Result<Vec<Message>> {
        Ok(packets(&fs::read(&self.file)?)
            .filter_map(message)
            .collect())
    }

    /// How many messages there are so far: where to go on from.
    ///
    /// # Errors
    /// As [`Exchange::messages`].
    pub fn so_far(&self) -> Result<usize> {
        Ok(self.messages()?.len())
    }

    /// Waits until a message for `step` has come behind the first `start` ones,
    /// and behind it an `answer` to it. Gives the answer, and how many messages
    /// there were with it.
    ///
    /// # Errors
    /// They do not come within `within`; with what came in their place.
    pub fn answered(
        &self,
        start: usize,
        step: Step,
        answer: Step,
        within: Duration,
    ) -> Result<(Message, usize)> {
        wait::until(&format!("{answer:?} to {step:?}"), within, || {
            let messages = self.messages()?;
            let since = messages.get(start..).unwrap_or_default();
            let mut since_then = since.iter().enumerate();
            let asked = since_then.clone().find(|(_, message)| message.step == step);
            let (asked, request) = asked.with_context(|| format!("no {step:?}: {since:?}"))?;
            let answered = since_then.find(|(place, message)| {
                *place >= asked && message.step == answer && message.xid == request.xid
            });
            let (place, message) = answered.with_context(|| format!("no {answer:?}: {since:?}"))?;
            Ok((message.clone(), start + place + 1))
        })
    }

    /// Waits until a message for `step` has come behind the first `start` ones.
    ///
    /// # Errors
    /// As [`Exchange::answered`].
    pub fn seen(&self, start: usize, step: Step, within: Duration) -> Result<Message> {
        Ok(self.answered(start, step, step, within)?.0)
    }
}

/// The whole packets in a pcap file (little-endian, as this machine writes it).
fn packets(mut file: &[u8]) -> impl Iterator<Item = &[u8]> {
    const FILE_HEADER: usize = 24;
    const PACKET_HEADER: usize = 16;
    file = file.get(FILE_HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let header = file.get(..PACKET_HEADER)?;
        let length = u32::from_le_bytes(header.get(8..12)?.try_into().ok()?);
        let end = PACKET_HEADER + usize::try_from(length).ok()?;
        let packet = file.get(PACKET_HEADER..end)?;
        file = file.get(end..)?;
        Some(packet)
    })
}

/// The DHCP message in an Ethernet frame.
fn message(frame: &[u8]) -> Option<Message> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport)
    else {
        return None;
    };
    let message = v4::Message::decode(&mut Decoder::new(udp.payload())).ok()?;
    let options = message.opts();
    let wanted = match options.get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(address)) => Some(*address),
        _ => None,
    };
    let server = options.get(OptionCode::ServerIdentifier).is_some();
    let own = Some(message.ciaddr()).filter(|address| !address.is_unspecified());
    let given = Some(message.yiaddr()).filter(|address| !address.is_unspecified());
    let broadcast = ip.header().destination_addr() == Ipv4Addr::BROADCAST;
    let step = match options.msg_type()? {
        MessageType::Discover => Step::Discover,
        MessageType::Offer => Step::Offer,
        MessageType::Ack => Step::Ack,
        MessageType::Nak => Step::Nak,
        MessageType::Release if own.is_some() && !broadcast => Step::Release,
        MessageType::Request => match (own, wanted, server, broadcast) {
            (None, Some(_), true, true) => Step::Select,
            (None, Some(_), false, true) => Step::InitReboot,
            (Some(_), None, false, false) => Step::Renew,
            (Some(_), None, false, true) => Step::Rebind,
            _ => Step::Other,
        },
        _ => Step::Other,
    };
    Some(Message {
        step,
        address: given.or(own).or(wanted).unwrap_or(Ipv4Addr::UNSPECIFIED),
        xid: message.xid(),
    })
}
