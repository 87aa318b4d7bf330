//! DHCP messages to and from bytes: the only module that knows dhcproto.
//!
//! dhcproto trusts lengths that a client chose: `chaddr()` slices by `hlen`,
//! and option decoding stops without a word at the first option that does not
//! fit. So [`parse`] looks at the fixed fields and walks every option field
//! itself first, and hands over only what is known to hold. It then uses the
//! borrowing decoder, which leaves an option's value alone: the owning one
//! asserts lengths of values that the server does not even read.
//!
//! Options that come in several parts are joined (RFC 3396 §7), those in the
//! `file` and `sname` fields are read when option 52 says that they are there
//! (RFC 2131 §4.1); each field is read once, whatever stands in it.

use std::net::Ipv4Addr;

use dhcproto::v4::EncodeError;
use dhcproto::v4::borrowed::{DhcpOptionIterator, Message as Borrowed};
use dhcproto::v4::{self, HType, MAGIC, MIN_PACKET_SIZE, MessageType, Opcode, OptionCode};
use dhcproto::{Encodable, Encoder};
use pnet_base::MacAddr;

use crate::outcome::Silence;

/// Where the fields stand in a message (RFC 2131 §2).
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const COOKIE: std::ops::Range<usize> = 236..240;
const OPTIONS: std::ops::RangeFrom<usize> = 240..;

/// The longest message that every client takes, less IP and UDP header (RFC
/// 2131 §2: 576 bytes of IP datagram).
const MIN_MAX_MESSAGE: u16 = 576;
/// The longest datagram sent, whatever the client takes: one Ethernet frame.
const MAX_DATAGRAM: u16 = 1500;
const IP_AND_UDP: u16 = 28;

/// A client identifier longer than any one option is not kept.
const MAX_CLIENT_ID: usize = 255;

/// What a client can want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Discover,
    Request,
    Decline,
    Release,
    Inform,
}

/// A client's message, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) xid: u32,
    pub(crate) flags: u16,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) giaddr: Ipv4Addr,
    pub(crate) mac: MacAddr,
    /// Option 50.
    pub(crate) requested: Option<Ipv4Addr>,
    /// Option 51, in seconds.
    pub(crate) lease_time: Option<u32>,
    /// Option 54.
    pub(crate) server_id: Option<Ipv4Addr>,
    /// Option 55.
    pub(crate) parameters: Option<Vec<u8>>,
    /// Option 57: bytes of IP datagram.
    pub(crate) max_message: Option<u16>,
    /// Option 61.
    pub(crate) client_id: Option<Vec<u8>>,
    /// Option 12.
    pub(crate) hostname: Option<Vec<u8>>,
    /// Option 81.
    pub(crate) fqdn: Option<Vec<u8>>,
}

impl Request {
    /// Whether the client wants replies by broadcast (RFC 2131 figure 2).
    pub(crate) fn broadcast(&self) -> bool {
        v4::Flags::new(self.flags).broadcast()
    }
}

/// Reads a client's message.
pub(crate) fn parse(bytes: &[u8]) -> Result<Request, Silence> {
    let options = bytes.get(OPTIONS).ok_or(Silence::Truncated)?;
    let message = Borrowed::new(bytes).map_err(|_| Silence::Truncated)?;
    if message.opcode() != Opcode::BootRequest {
        return Err(Silence::NotRequest);
    }
    if message.htype() != HType::Eth || message.hlen() != 6 {
        return Err(Silence::NotEthernet);
    }
    if bytes.get(COOKIE) != Some(&MAGIC[..]) {
        return Err(Silence::NoCookie);
    }
    // hlen is 6: this is as far as dhcproto may slice.
    let mac: [u8; 6] = message
        .chaddr()
        .try_into()
        .map_err(|_| Silence::NotEthernet)?;
    let mac = MacAddr::from(mac);
    if mac.is_zero() || mac.is_multicast() {
        return Err(Silence::BadMac);
    }
    let mut found = Found::default();
    found.read(options)?;
    match number(found.overload.as_deref())?.map(|[o]: [u8; 1]| o) {
        None => {}
        Some(overload @ 1..=3) => {
            // The order is that of RFC 3396 §5.
            if overload & 1 != 0 {
                found.read(bytes.get(FILE).unwrap_or_default())?;
            }
            if overload & 2 != 0 {
                found.read(bytes.get(SNAME).unwrap_or_default())?;
            }
        }
        Some(_) => return Err(Silence::BadOption),
    }
    let kind = match number(found.message_type.as_deref())?.map(|[k]: [u8; 1]| MessageType::from(k))
    {
        None => return Err(Silence::NoMessageType),
        Some(MessageType::Discover) => Kind::Discover,
        Some(MessageType::Request) => Kind::Request,
        Some(MessageType::Decline) => Kind::Decline,
        Some(MessageType::Release) => Kind::Release,
        Some(MessageType::Inform) => Kind::Inform,
        Some(_) => return Err(Silence::UnknownMessageType),
    };
    Ok(Request {
        kind,
        xid: message.xid(),
        flags: message.flags().into(),
        ciaddr: message.ciaddr(),
        giaddr: message.giaddr(),
        mac,
        requested: number(found.requested.as_deref())?.map(|o: [u8; 4]| o.into()),
        lease_time: number(found.lease_time.as_deref())?.map(u32::from_be_bytes),
        server_id: number(found.server_id.as_deref())?.map(|o: [u8; 4]| o.into()),
        parameters: found.parameters,
        max_message: number(found.max_message.as_deref())?.map(u16::from_be_bytes),
        client_id: found
            .client_id
            .filter(|id| (1..=MAX_CLIENT_ID).contains(&id.len())),
        hostname: found.hostname,
        fqdn: found.fqdn,
    })
}

/// A value that must have `N` bytes if it is there.
fn number<const N: usize>(value: Option<&[u8]>) -> Result<Option<[u8; N]>, Silence> {
    value
        .map(|v| v.try_into().map_err(|_| Silence::BadOption))
        .transpose()
}

/// The options that the server reads, each joined from its parts.
#[derive(Debug, Default)]
struct Found {
    hostname: Option<Vec<u8>>,
    requested: Option<Vec<u8>>,
    lease_time: Option<Vec<u8>>,
    overload: Option<Vec<u8>>,
    message_type: Option<Vec<u8>>,
    server_id: Option<Vec<u8>>,
    parameters: Option<Vec<u8>>,
    max_message: Option<Vec<u8>>,
    client_id: Option<Vec<u8>>,
    fqdn: Option<Vec<u8>>,
}

impl Found {
    /// Adds the options of one field.
    fn read(&mut self, field: &[u8]) -> Result<(), Silence> {
        for part in DhcpOptionIterator::new(guard(field)?) {
            let slot = match part.code() {
                OptionCode::Hostname => &mut self.hostname,
                OptionCode::RequestedIpAddress => &mut self.requested,
                OptionCode::AddressLeaseTime => &mut self.lease_time,
                OptionCode::OptionOverload => &mut self.overload,
                OptionCode::MessageType => &mut self.message_type,
                OptionCode::ServerIdentifier => &mut self.server_id,
                OptionCode::ParameterRequestList => &mut self.parameters,
                OptionCode::MaxMessageSize => &mut self.max_message,
                OptionCode::ClientIdentifier => &mut self.client_id,
                OptionCode::ClientFQDN => &mut self.fqdn,
                _ => continue,
            };
            slot.get_or_insert_default().extend_from_slice(part.data());
        }
        Ok(())
    }
}

/// Gives `field` back if every option in it, up to the end marker if there is
/// one, lies inside it.
fn guard(field: &[u8]) -> Result<&[u8], Silence> {
    const PAD: u8 = 0;
    const END: u8 = 255;
    let mut rest = field;
    while let Some((code, after)) = rest.split_first() {
        rest = match *code {
            END => break,
            PAD => after,
            _ => {
                let (len, value) = after.split_first().ok_or(Silence::BadOption)?;
                value.get(usize::from(*len)..).ok_or(Silence::BadOption)?
            }
        };
    }
    Ok(field)
}

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    Offer,
    Ack,
    Nak,
}

/// The fixed fields of a reply that are not the request's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) response: Response,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) yiaddr: Ipv4Addr,
    pub(crate) siaddr: Ipv4Addr,
}

/// Builds the reply to `request` with `options` in their order, each split
/// where it is longer than 255 bytes. An option that makes the message longer
/// than the client takes is left out, and its code added to `left_out`.
pub(crate) fn encode<'a>(
    request: &Request,
    header: Header,
    options: impl Iterator<Item = (u8, &'a [u8])>,
    left_out: &mut Vec<u8>,
) -> Result<Vec<u8>, Silence> {
    let limit = request
        .max_message
        .unwrap_or_default()
        .clamp(MIN_MAX_MESSAGE, MAX_DATAGRAM)
        - IP_AND_UDP;
    let mut bytes = Vec::with_capacity(usize::from(MIN_MAX_MESSAGE));
    write(&mut bytes, request, header, options, limit.into(), left_out)
        .map_err(|_| Silence::Unencodable)?;
    if bytes.len() < MIN_PACKET_SIZE {
        bytes.resize(MIN_PACKET_SIZE, 0);
    }
    Ok(bytes)
}

fn write<'a>(
    bytes: &mut Vec<u8>,
    request: &Request,
    header: Header,
    options: impl Iterator<Item = (u8, &'a [u8])>,
    limit: usize,
    left_out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut message = v4::Message::new_with_id(
        request.xid,
        header.ciaddr,
        header.yiaddr,
        header.siaddr,
        request.giaddr,
        &request.mac.octets(),
    );
    message
        .set_opcode(Opcode::BootReply)
        .set_flags(v4::Flags::new(request.flags));
    let mut encoder = Encoder::new(bytes);
    // Written without options: dhcproto would sort them by code and cut the
    // length of one that it does not know to a byte.
    message.encode(&mut encoder)?;
    let kind = match header.response {
        Response::Offer => MessageType::Offer,
        Response::Ack => MessageType::Ack,
        Response::Nak => MessageType::Nak,
    };
    v4::encode_long_opt_bytes(OptionCode::MessageType, &[kind.into()], &mut encoder)?;
    for (code, value) in options {
        let parts = value.len().div_ceil(255);
        // One byte is kept for the end marker.
        if encoder.len_filled() + value.len() + 2 * parts + 1 > limit {
            left_out.push(code);
            continue;
        }
        v4::encode_long_opt_bytes(code.into(), value, &mut encoder)?;
    }
    encoder.write_u8(OptionCode::End.into())
}
