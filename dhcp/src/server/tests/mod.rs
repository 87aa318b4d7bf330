//! The server seen by its clients.

mod addresses;
mod exchange;
mod hostile;
mod lifecycle;
mod origins;
mod policy;
mod probe;
mod relayed;
mod replies;
mod subnets;
mod told;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use pnet_base::MacAddr;

use super::Server;
use crate::config::{Config, Host, HostKey, Range};
use crate::outcome::{Answer, Destination, Outcome, Silence};
use crate::sender::{Origin, Sender};

/// The time at which tests start.
const T0: u64 = 1_700_000_000;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;

/// 192.168.122.`last`.
fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 122, last)
}

/// 52:54:00:00:00:`last`.
fn mac(last: u8) -> MacAddr {
    MacAddr(0x52, 0x54, 0, 0, 0, last)
}

/// The station `mac(last)` behind port `origin`.
fn sender(origin: u32, last: u8) -> Sender {
    Sender {
        origin: Origin(origin),
        mac: mac(last),
        unicast: false,
    }
}

/// 192.168.122.0/24, served by .1 from .2 to `last`.
fn config(last: u8) -> Config {
    let subnet = "192.168.122.0/24".parse().unwrap();
    Config::new(ip(1), subnet, ip(2)..=ip(last))
}

fn server(config: Config) -> Server {
    Server::new(config, [], 7, T0).unwrap()
}

fn host(key: HostKey, address: u8, name: &str) -> Host {
    Host {
        address: Some(ip(address)),
        name: (!name.is_empty()).then(|| name.to_owned()),
        ..Host::new(key)
    }
}

/// A client's message, built field by field.
#[derive(Debug, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u8, client: MacAddr) -> Self {
        let mut bytes = vec![0; 236];
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&[1, 2, 3, 4]);
        bytes[28..34].copy_from_slice(&client.octets());
        bytes.extend([99, 130, 83, 99]);
        Self(bytes).option(53, &[kind])
    }

    fn option(mut self, code: u8, value: &[u8]) -> Self {
        self.0.push(code);
        self.0.push(u8::try_from(value.len()).unwrap());
        self.0.extend(value);
        self
    }

    fn requested(self, address: Ipv4Addr) -> Self {
        self.option(50, &address.octets())
    }

    fn server_id(self, address: Ipv4Addr) -> Self {
        self.option(54, &address.octets())
    }

    fn ciaddr(mut self, address: Ipv4Addr) -> Self {
        self.0[12..16].copy_from_slice(&address.octets());
        self
    }

    fn broadcast(mut self) -> Self {
        self.0[10] = 0x80;
        self
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.push(255);
        self.0
    }

    /// Sent by the client itself, from a port of its own.
    fn to(self, server: &mut Server, now: u64) -> Outcome {
        let last = self.0[33];
        self.from(sender(last.into(), last), server, now)
    }

    fn from(self, sender: Sender, server: &mut Server, now: u64) -> Outcome {
        server.handle(&self.bytes(), sender, now)
    }
}

fn discover(client: u8) -> Message {
    Message::new(DISCOVER, mac(client))
}

/// A REQUEST in state SELECTING.
fn select(client: u8, address: Ipv4Addr) -> Message {
    Message::new(REQUEST, mac(client))
        .requested(address)
        .server_id(ip(1))
}

/// A REQUEST in state INIT-REBOOT.
fn reboot(client: u8, address: Ipv4Addr) -> Message {
    Message::new(REQUEST, mac(client)).requested(address)
}

/// A REQUEST in state RENEWING or REBINDING.
fn renew(client: u8, address: Ipv4Addr) -> Message {
    Message::new(REQUEST, mac(client)).ciaddr(address)
}

/// A reply, taken apart.
#[derive(Debug)]
struct Received {
    kind: u8,
    bytes: Vec<u8>,
    ciaddr: Ipv4Addr,
    yiaddr: Ipv4Addr,
    siaddr: Ipv4Addr,
    options: BTreeMap<u8, Vec<u8>>,
    /// The codes in the order in which they came.
    order: Vec<u8>,
    destination: Destination,
}

fn received(outcome: &Outcome) -> Received {
    let Answer::Reply(reply) = &outcome.answer else {
        panic!("no reply: {outcome:?}");
    };
    let bytes = reply.message.clone();
    let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
    assert_eq!(bytes[0], 2, "BOOTREPLY");
    assert_eq!(bytes[236..240], [99, 130, 83, 99]);
    let (mut options, mut order) = (BTreeMap::<u8, Vec<u8>>::new(), Vec::new());
    let mut rest = &bytes[240..];
    while rest[0] != 255 {
        let (code, len) = (rest[0], usize::from(rest[1]));
        options.entry(code).or_default().extend(&rest[2..2 + len]);
        order.push(code);
        rest = &rest[2 + len..];
    }
    Received {
        kind: options[&53][0],
        ciaddr: address(12),
        yiaddr: address(16),
        siaddr: address(20),
        options,
        order,
        destination: reply.destination,
        bytes,
    }
}

fn silence(outcome: &Outcome) -> Silence {
    match outcome.answer {
        Answer::Silence(silence) => silence,
        Answer::Reply(_) | Answer::Probe(_) => panic!("no silence: {outcome:?}"),
    }
}

/// Takes `client` through DISCOVER and REQUEST to its address.
fn lease(server: &mut Server, client: u8, now: u64) -> Ipv4Addr {
    let offer = received(&discover(client).to(server, now));
    assert_eq!(offer.kind, OFFER);
    let ack = received(&select(client, offer.yiaddr).to(server, now));
    assert_eq!((ack.kind, ack.yiaddr), (ACK, offer.yiaddr));
    ack.yiaddr
}

/// What `client`'s REQUEST is answered with: the message type.
fn answered(server: &mut Server, message: Message, now: u64) -> u8 {
    received(&message.to(server, now)).kind
}
