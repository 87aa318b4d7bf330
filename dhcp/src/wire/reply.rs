//! Writing what the server says.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use dhcproto::v4::{self, MIN_PACKET_SIZE, MessageType, Opcode};
use dhcproto::{Encodable, Encoder};

use super::{IN_FILE, IN_SNAME, Request};
use crate::outcome::Silence;

/// The longest message that every client takes, less IP and UDP header (RFC
/// 2131 §2: 576 bytes of IP datagram).
const MIN_MAX_MESSAGE: u16 = 576;
/// The longest datagram sent, whatever the client takes: one Ethernet frame.
const MAX_DATAGRAM: u16 = 1500;
const IP_AND_UDP: u16 = 28;

/// Bytes in front of the options: the fixed fields and the cookie.
const HEADER: usize = 240;
/// The lengths of the fields that options can be put into.
const FILE: usize = 128;
const SNAME: usize = 64;

const OVERLOAD: u8 = 52;
const MESSAGE_TYPE: u8 = 53;
const RELAY_INFORMATION: u8 = 82;
const END: u8 = 255;

/// The longest value of one option; a longer one comes in parts (RFC 3396 §5).
const MAX_PART: usize = 255;

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    Offer,
    Ack,
    Nak,
}

/// The fixed fields of a reply that are not the request's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    pub(crate) response: Response,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) yiaddr: Ipv4Addr,
    pub(crate) siaddr: Ipv4Addr,
    /// Whether the broadcast flag is set though the client did not set it.
    pub(crate) broadcast: bool,
    /// The server's name, at most 63 bytes; empty for none.
    pub(crate) sname: &'a [u8],
    /// The boot file, at most 127 bytes; empty for none.
    pub(crate) file: &'a [u8],
    /// The longest IP datagram that the network carries, in bytes.
    pub(crate) mtu: Option<u16>,
}

/// Builds the reply to `request` with `options` in their order, each split
/// where it is longer than 255 bytes, and the relay agent's information last.
///
/// What finds no room among the options goes into the fields `file` and `sname`
/// where these are free (RFC 2132 §9.3). As in dnsmasq, that is done only for a
/// client that says what it wants (option 55): one that does not may be too old
/// to look there. What does not fit there either is left out, and its code
/// added to `left_out`.
pub(crate) fn encode(
    request: &Request,
    header: Header<'_>,
    options: &[(u8, Cow<'_, [u8]>)],
    left_out: &mut Vec<u8>,
) -> Result<Vec<u8>, Silence> {
    let largest = header.mtu.unwrap_or(MAX_DATAGRAM);
    let largest = largest.clamp(MIN_MAX_MESSAGE, MAX_DATAGRAM);
    let limit = request
        .max_message
        .unwrap_or_default()
        .clamp(MIN_MAX_MESSAGE, largest)
        - IP_AND_UDP;
    let mut relay = Vec::new();
    match &request.relay {
        // A longer one is no agent's, and would leave no room for the rest.
        Some(info) if info.bytes.len() > MAX_PART => left_out.push(RELAY_INFORMATION),
        Some(info) => put(&mut relay, RELAY_INFORMATION, &info.bytes),
        None => {}
    }
    // One byte is kept for the end marker.
    let room = usize::from(limit) - HEADER - relay.len() - 1;
    let mut areas = Areas::new(room, &header, request.parameters.is_some());
    areas.fill(header.response, options, left_out);

    let flags = v4::Flags::new(request.flags);
    let flags = if header.broadcast {
        flags.set_broadcast()
    } else {
        flags
    };
    let mut message = v4::Message::new_with_id(
        request.xid,
        header.ciaddr,
        header.yiaddr,
        header.siaddr,
        request.giaddr,
        &request.mac.octets(),
    );
    message.set_opcode(Opcode::BootReply).set_flags(flags);
    // dhcproto panics on what is longer than its field.
    if let Some(file) = areas.file.field(header.file, FILE) {
        message.set_fname(file);
    }
    if let Some(sname) = areas.sname.field(header.sname, SNAME) {
        message.set_sname(sname);
    }
    let mut bytes = Vec::with_capacity(limit.into());
    // Written without options: dhcproto would sort them by code and cut the
    // length of one that it does not know to a byte.
    message
        .encode(&mut Encoder::new(&mut bytes))
        .map_err(|_| Silence::Unencodable)?;
    bytes.append(&mut areas.main.bytes);
    bytes.append(&mut relay);
    bytes.push(END);
    if bytes.len() < MIN_PACKET_SIZE {
        bytes.resize(MIN_PACKET_SIZE, 0);
    }
    Ok(bytes)
}

/// A place for options.
#[derive(Debug, Default)]
struct Area {
    bytes: Vec<u8>,
    room: usize,
}

impl Area {
    fn with_room(room: usize) -> Self {
        Self {
            bytes: Vec::new(),
            room,
        }
    }

    /// A field of the header, all of which but the end marker is free if
    /// `own`, what it is there for, is empty.
    fn of_field(own: &[u8], length: usize) -> Self {
        Self::with_room(if own.is_empty() { length - 1 } else { 0 })
    }

    /// Puts an option here if it fits.
    fn take(&mut self, code: u8, value: &[u8]) -> bool {
        let fits = self.bytes.len() + size(value) <= self.room;
        if fits {
            put(&mut self.bytes, code, value);
        }
        fits
    }

    /// What stands in this field of `length` bytes: options with their end
    /// marker, or `own`.
    fn field<'a>(&'a mut self, own: &'a [u8], length: usize) -> Option<&'a [u8]> {
        if !self.bytes.is_empty() {
            self.bytes.push(END);
            return self.bytes.get(..length.min(self.bytes.len()));
        }
        // The last byte stays zero: clients read text up to it.
        own.get(..own.len().min(length - 1))
            .filter(|own| !own.is_empty())
    }
}

/// The places for options, in the order in which they are filled and read.
#[derive(Debug)]
struct Areas {
    main: Area,
    file: Area,
    sname: Area,
}

impl Areas {
    fn new(room: usize, header: &Header<'_>, overload: bool) -> Self {
        let field = |own, length| {
            if overload {
                Area::of_field(own, length)
            } else {
                Area::default()
            }
        };
        Self {
            main: Area::with_room(room),
            file: field(header.file, FILE),
            sname: field(header.sname, SNAME),
        }
    }

    fn fill(
        &mut self,
        response: Response,
        options: &[(u8, Cow<'_, [u8]>)],
        left_out: &mut Vec<u8>,
    ) {
        let kind = match response {
            Response::Offer => MessageType::Offer,
            Response::Ack => MessageType::Ack,
            Response::Nak => MessageType::Nak,
        };
        self.main.take(MESSAGE_TYPE, &[kind.into()]);
        let needed: usize = options.iter().map(|(_, value)| size(value)).sum();
        let full = self.main.bytes.len() + needed > self.main.room;
        let overload = full && self.file.room + self.sname.room > 0;
        if overload {
            self.main.room -= size(&[0]);
        }
        for (code, value) in options {
            let placed = self.main.take(*code, value)
                || self.file.take(*code, value)
                || self.sname.take(*code, value);
            if !placed {
                left_out.push(*code);
            }
        }
        if overload {
            self.main.room += size(&[0]);
            let file = if self.file.bytes.is_empty() {
                0
            } else {
                IN_FILE
            };
            let sname = if self.sname.bytes.is_empty() {
                0
            } else {
                IN_SNAME
            };
            if file | sname != 0 {
                self.main.take(OVERLOAD, &[file | sname]);
            }
        }
    }
}

/// How many bytes an option with this value takes, in all its parts.
fn size(value: &[u8]) -> usize {
    value.len() + 2 * value.len().div_ceil(MAX_PART).max(1)
}

/// Appends an option, in as many parts as it needs; one without a value has
/// one part of no bytes.
fn put(bytes: &mut Vec<u8>, code: u8, value: &[u8]) {
    let mut rest = value;
    loop {
        let (part, after) = rest.split_at(rest.len().min(MAX_PART));
        bytes.push(code);
        bytes.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(part);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
}
