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

mod find;
mod relay;
mod request;
mod user_class;

pub(crate) use find::option;
pub(crate) use relay::RelayInfo;
pub(crate) use request::{Kind, Request, parse};

use std::net::Ipv4Addr;

use dhcproto::v4::EncodeError;
use dhcproto::v4::{self, MIN_PACKET_SIZE, MessageType, Opcode, OptionCode};
use dhcproto::{Encodable, Encoder};

use crate::outcome::Silence;

/// The longest message that every client takes, less IP and UDP header (RFC
/// 2131 §2: 576 bytes of IP datagram).
const MIN_MAX_MESSAGE: u16 = 576;
/// The longest datagram sent, whatever the client takes: one Ethernet frame.
const MAX_DATAGRAM: u16 = 1500;
const IP_AND_UDP: u16 = 28;

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

pub(crate) const RELAY_INFORMATION: u8 = 82;
