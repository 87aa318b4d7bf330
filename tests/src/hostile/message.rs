//! DHCP messages: as clients send them, and as attackers do.

use super::mutate;
use fastrand::Rng;
use std::net::Ipv4Addr;
use vmlan_dataplane::MacAddr;

/// Message types of clients (RFC 2132 §9.6).
pub const DISCOVER: u8 = 1;
/// Asks for an address, or to keep it.
pub const REQUEST: u8 = 3;
/// Found the address in use.
pub const DECLINE: u8 = 4;
/// Gives the address back.
pub const RELEASE: u8 = 7;
/// Asks for parameters alone.
pub const INFORM: u8 = 8;

/// The longest message: the UDP payload of one Ethernet frame.
const LONGEST: usize = 1472;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const MESSAGE_TYPE: u8 = 53;
const REQUESTED: u8 = 50;
const SERVER_ID: u8 = 54;
const OVERLOAD: u8 = 52;
const END: u8 = 255;

/// Where fields stand (RFC 2131 §2).
const HLEN: usize = 2;
const FLAGS: usize = 10;
const CIADDR: usize = 12;
const GIADDR: usize = 24;
const CHADDR: usize = 28;
const SNAME: usize = 44;
const FILE: usize = 108;

/// What a client says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its MAC.
    pub mac: MacAddr,
    /// The address that it has, was offered or wants.
    pub address: Ipv4Addr,
    /// The server that it talks to.
    pub server: Ipv4Addr,
}

/// A DISCOVER with the options of a common client.
#[must_use]
pub fn discover(mac: MacAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    start(&mut bytes, mac, 0x1234_5678);
    option(&mut bytes, MESSAGE_TYPE, &[DISCOVER]);
    option(&mut bytes, 12, b"guest");
    option(&mut bytes, 55, &[1, 3, 6, 12, 15, 26, 28, 42, 121]);
    option(&mut bytes, 57, &[5, 192]);
    bytes.push(END);
    bytes.resize(300, 0);
    bytes
}

/// Writes a message of `client` to `bytes`: honest, or one of the known
/// attacks, or either spoiled at random.
pub fn draw(rng: &mut Rng, client: Client, bytes: &mut Vec<u8>) {
    bytes.clear();
    if rng.u8(..32) == 0 {
        bytes.resize(rng.usize(..400), 0);
        rng.fill(bytes);
        return;
    }
    start(bytes, client.mac, rng.u32(..));
    state(rng, client, bytes);
    extras(rng, bytes);
    if rng.u8(..4) == 0 {
        attack(rng, bytes);
    }
    if rng.u8(..16) > 0 {
        bytes.push(END);
    }
    bytes.truncate(LONGEST);
    if rng.u8(..3) == 0 {
        mutate::mutate(rng, bytes, LONGEST);
    }
}

/// Begins a message: all up to the options, with no address but the client's
/// MAC.
pub fn start(bytes: &mut Vec<u8>, mac: MacAddr, xid: u32) {
    bytes.extend([1, 1, 6, 0]);
    bytes.extend(xid.to_be_bytes());
    bytes.resize(CHADDR, 0);
    bytes.extend(mac.octets());
    bytes.resize(236, 0);
    bytes.extend(COOKIE);
}

/// The message type, with what a client in that state sends (RFC 2131 §4.3).
fn state(rng: &mut Rng, client: Client, bytes: &mut Vec<u8>) {
    let address = client.address.octets();
    let server = client.server.octets();
    let kind = match rng.u8(..16) {
        0..=3 => {
            if rng.bool() {
                option(bytes, REQUESTED, &address);
            }
            DISCOVER
        }
        4..=7 => {
            option(bytes, REQUESTED, &address);
            option(bytes, SERVER_ID, &server);
            REQUEST
        }
        8 => {
            option(bytes, REQUESTED, &address);
            REQUEST
        }
        9 | 10 => {
            set(bytes, CIADDR, &address);
            REQUEST
        }
        11 => {
            option(bytes, REQUESTED, &address);
            option(bytes, SERVER_ID, &server);
            DECLINE
        }
        12 | 13 => {
            set(bytes, CIADDR, &address);
            option(bytes, SERVER_ID, &server);
            RELEASE
        }
        14 => {
            set(bytes, CIADDR, &address);
            INFORM
        }
        _ => rng.u8(..),
    };
    if rng.u8(..64) > 0 {
        option(bytes, MESSAGE_TYPE, &[kind]);
    }
    if rng.bool() {
        set(bytes, FLAGS, &[0x80]);
    }
    if rng.u8(..64) == 0 {
        set(bytes, GIADDR, &address);
    }
}

/// Options that clients add.
fn extras(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.u8(..5) {
        match rng.u8(..9) {
            0 => option(bytes, 12, b"guest-7"),
            1 => option(bytes, 61, &[0xff, 1, rng.u8(..8)]),
            2 => option(bytes, 55, &[1, 3, 6, 12, 15, 26, 28, 42, 51, 58, 59, 121]),
            3 => option(bytes, 57, &mutate::edge(rng).to_be_bytes()),
            4 => option(bytes, 81, b"\x04\x00\x00\x02db\x00"),
            5 => option(bytes, 60, b"MSFT 5.0"),
            6 => {
                let seconds = [0, 1, 120, 600, 0x7fff_ffff, u32::MAX];
                let seconds = rng.choice(seconds).unwrap_or_default();
                option(bytes, 51, &seconds.to_be_bytes());
            }
            7 => option(bytes, 82, &[1, 2, 0, 1]),
            _ => {
                let mut value = [0; 255];
                rng.fill(&mut value);
                let len = rng.usize(..value.len());
                option(bytes, rng.u8(1..END), value.get(..len).unwrap_or_default());
            }
        }
    }
}

/// What has broken DHCP servers before.
fn attack(rng: &mut Rng, bytes: &mut Vec<u8>) {
    match rng.u8(..9) {
        // A hardware address longer than its field.
        0 => set(bytes, HLEN, &[255]),
        1 => set(bytes, HLEN, &[rng.u8(..)]),
        // An option past the end, of the message or of its field.
        2 => bytes.extend([rng.u8(1..END), rng.u8(1..)]),
        3 => {
            option(bytes, OVERLOAD, &[rng.u8(1..=3)]);
            set(bytes, FILE + 126, &[12, 200]);
            set(bytes, SNAME + 62, &[12, 200]);
        }
        // Overloaded fields that say that fields are overloaded.
        4 => {
            option(bytes, OVERLOAD, &[rng.u8(..5)]);
            for field in [SNAME, FILE] {
                set(bytes, field, &[OVERLOAD, 1, rng.u8(..5)].repeat(21));
            }
        }
        // One option in as many parts as there is room for.
        5 => {
            let code = rng.choice([12, 55, 61, 81, OVERLOAD, MESSAGE_TYPE]);
            let value: &[u8] = if rng.bool() { &[7, 7] } else { &[] };
            while bytes.len() < LONGEST - 5 {
                option(bytes, code.unwrap_or_default(), value);
            }
        }
        // Every option asked for, many times.
        6 => {
            let all: Vec<u8> = (0..255).collect();
            for _ in 0..4 {
                option(bytes, 55, &all);
            }
        }
        // Nothing but padding.
        7 => bytes.resize(LONGEST, 0),
        // The same option twice, with two values.
        _ => {
            let code = rng.choice([MESSAGE_TYPE, REQUESTED, SERVER_ID, 51, 57]);
            let value = rng.u32(..).to_be_bytes();
            let len = rng.usize(..=4);
            option(
                bytes,
                code.unwrap_or_default(),
                value.get(..len).unwrap_or_default(),
            );
        }
    }
}

/// Adds an option, of `value` as much as one takes.
pub fn option(bytes: &mut Vec<u8>, code: u8, value: &[u8]) {
    let value = value.get(..255).unwrap_or(value);
    bytes.push(code);
    bytes.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(value);
}

/// Writes `value` over the bytes from `at` on, as far as there are any.
pub fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}
