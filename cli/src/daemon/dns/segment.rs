//! Names on the segment itself, where the host has no interface: the switch has
//! the gateway's address, and hands what is asked of it to the thread that answers
//! DHCP. There is no way out from there, so only what is known is answered.

use super::counters::{Answered, Counters};
use super::names::Names;
use super::{Settings, server};
use crate::daemon::dhcp::DhcpService;
use crate::dns::message::{self, Answer, Parsed};
use crate::dns::refusal::Refusal;
use bytes::Bytes;
use etherparse::{LaxNetSlice, LaxSlicedPacket, LinkSlice, PacketBuilder, TransportSlice};
use hickory_proto::op::ResponseCode;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use vmlan_dataplane::hairpin::dns::PORT;
use vmlan_dataplane::hairpin::{Reply, Request, Responder};

/// Hops that a reply may take: it stays in the segment.
const TTL: u8 = 64;

/// The name server of a segment.
#[derive(Debug, Clone, Default)]
pub(super) struct Segment {
    /// `None` while it is off.
    pub(super) settings: Arc<RwLock<Option<Arc<Settings>>>>,
    pub(super) names: Names,
    pub(super) counters: Arc<Counters>,
}

/// What answers on a segment: names here, all else as `dhcp` does.
#[derive(Debug)]
pub(in crate::daemon) struct SegmentResponder {
    pub(super) segment: Segment,
    pub(super) dhcp: DhcpService,
}

impl Responder for SegmentResponder {
    fn respond(&mut self, requests: &[Request]) -> Vec<Reply> {
        let is_question = |request: &&Request| question(&request.frame).is_some();
        let (questions, others): (Vec<_>, Vec<_>) = requests.iter().partition(is_question);
        let mut replies = if questions.is_empty() {
            self.dhcp.respond(requests)
        } else {
            let others: Vec<Request> = others.into_iter().cloned().collect();
            self.dhcp.respond(&others)
        };
        let answered = questions.into_iter().filter_map(|request| {
            let frame = self.segment.answer(&request.frame)?;
            let egress = request.ingress;
            Some(Reply { frame, egress })
        });
        replies.extend(answered);
        replies
    }

    fn due(&self) -> Option<Instant> {
        self.dhcp.due()
    }
}

/// A question in its frame.
struct Question<'a> {
    /// MAC, address and port of who asks, and of who is asked.
    from: ([u8; 6], Ipv4Addr, u16),
    to: ([u8; 6], Ipv4Addr),
    message: &'a [u8],
}

impl Segment {
    /// Answers by `settings` from now on.
    pub(super) fn set(&self, settings: Option<Arc<Settings>>) {
        let mut held = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = settings;
    }

    pub(super) fn is_on(&self) -> bool {
        let held = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        held.is_some()
    }

    /// The frame that answers the question in `frame`.
    fn answer(&self, frame: &[u8]) -> Option<Bytes> {
        let question = question(frame)?;
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        let settings = Arc::clone(settings.as_ref()?);
        let (mac, client, port) = question.from;
        if port == 0 || !settings.zone.serves(client) {
            self.counters.refused(Refusal::Source);
            return None;
        }
        let reply = match message::parse(question.message) {
            Parsed::Request(request) => {
                let found = server::own(&settings.zone, &self.names, &request, Instant::now());
                let answer = if let Ok(answer) = found {
                    self.counters.answered(Answered::Own);
                    answer
                } else {
                    self.counters.refused(Refusal::Closed);
                    Answer::error(ResponseCode::Refused)
                };
                request.respond(&answer, request.datagram())
            }
            Parsed::Refused(refusal, reply) => {
                self.counters.refused(refusal);
                reply
            }
            Parsed::Ignored(refusal) => {
                self.counters.refused(refusal);
                return None;
            }
        };
        let (own, address) = question.to;
        let builder = PacketBuilder::ethernet2(own, mac)
            .ipv4(address.octets(), client.octets(), TTL)
            .udp(PORT, port);
        let mut frame = Vec::with_capacity(builder.size(reply.len()));
        builder.write(&mut frame, &reply).ok()?;
        Some(frame.into())
    }
}

/// The question in an Ethernet frame that the switch has handed up.
fn question(frame: &[u8]) -> Option<Question<'_>> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else {
        return None;
    };
    match (packet.net, packet.transport) {
        (Some(LaxNetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp)))
            if udp.destination_port() == PORT && !ip.payload().incomplete =>
        {
            let header = ip.header();
            Some(Question {
                from: (ethernet.source(), header.source_addr(), udp.source_port()),
                to: (ethernet.destination(), header.destination_addr()),
                message: udp.payload(),
            })
        }
        _ => None,
    }
}
