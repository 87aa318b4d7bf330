//! Reading a client's message.

use std::net::Ipv4Addr;
use std::ops::{Range, RangeFrom};

use dhcproto::v4::borrowed::{DhcpOptionIterator, Message as Borrowed};
use dhcproto::v4::{self, HType, MAGIC, MessageType, Opcode, OptionCode};
use pnet_base::MacAddr;

use super::{IN_FILE, IN_SNAME, RelayInfo, user_class};
use crate::outcome::Silence;

/// Where the fields stand in a message (RFC 2131 §2).
const SNAME: Range<usize> = 44..108;
const FILE: Range<usize> = 108..236;
const COOKIE: Range<usize> = 236..240;
pub(super) const OPTIONS: RangeFrom<usize> = 240..;

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
    /// Zero in a DISCOVER and beside option 50, whatever the client put there:
    /// RFC 2131 table 5 wants that, and dnsmasq too clears it for those who do
    /// not know.
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) giaddr: Ipv4Addr,
    pub(crate) mac: MacAddr,
    /// Option 12.
    pub(crate) hostname: Option<Vec<u8>>,
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
    /// Option 60.
    pub(crate) vendor_class: Option<Vec<u8>>,
    /// Option 61.
    pub(crate) client_id: Option<Vec<u8>>,
    /// Option 77, one by one.
    pub(crate) user_classes: Vec<Box<[u8]>>,
    /// Option 80: the client would take an ACK to its DISCOVER (RFC 4039).
    pub(crate) rapid_commit: bool,
    /// Option 81.
    pub(crate) fqdn: Option<Vec<u8>>,
    /// Option 82.
    pub(crate) relay: Option<RelayInfo>,
    /// Option 93: the architectures that the client can boot as (RFC 4578
    /// §2.1).
    pub(crate) architectures: Vec<u16>,
    /// Option 97: the client machine's identifier, a type and a UUID (RFC 4578
    /// §2.3).
    pub(crate) machine_id: Option<[u8; 17]>,
    /// Option 118: an address of the subnet that the client wants to be of
    /// (RFC 3011).
    pub(crate) subnet_selection: Option<Ipv4Addr>,
}

impl Request {
    /// Whether the client wants replies by broadcast (RFC 2131 figure 2).
    pub(crate) fn broadcast(&self) -> bool {
        v4::Flags::new(self.flags).broadcast()
    }

    /// Whether a relay agent sent it on.
    pub(crate) fn relayed(&self) -> bool {
        !self.giaddr.is_unspecified()
    }

    /// The address by which a relay agent wants the server to be known (RFC
    /// 5107). Only an agent may, which gives its address: a client could send
    /// others to itself that way.
    pub(crate) fn server_override(&self) -> Option<Ipv4Addr> {
        let relay = self.relay.as_ref().filter(|_| self.relayed())?;
        relay.server_override
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
    let found = Found::all(bytes, options)?;
    let kind = found.kind()?;
    let requested = number(found.requested.as_deref())?.map(|o: [u8; 4]| o.into());
    let ciaddr = match (kind, requested) {
        (Kind::Discover, _) | (_, Some(_)) => Ipv4Addr::UNSPECIFIED,
        _ => message.ciaddr(),
    };
    Ok(Request {
        kind,
        xid: message.xid(),
        flags: message.flags().into(),
        ciaddr,
        giaddr: message.giaddr(),
        mac,
        hostname: found.hostname,
        requested,
        lease_time: number(found.lease_time.as_deref())?.map(u32::from_be_bytes),
        server_id: number(found.server_id.as_deref())?.map(|o: [u8; 4]| o.into()),
        parameters: found.parameters,
        max_message: number(found.max_message.as_deref())?.map(u16::from_be_bytes),
        vendor_class: found.vendor_class,
        client_id: found
            .client_id
            .filter(|id| (1..=MAX_CLIENT_ID).contains(&id.len())),
        user_classes: found
            .user_class
            .as_deref()
            .map(user_class::parse)
            .unwrap_or_default(),
        rapid_commit: found.rapid_commit.is_some(),
        fqdn: found.fqdn,
        relay: found.relay.map(RelayInfo::parse),
        architectures: architectures(found.architectures.as_deref().unwrap_or_default()),
        machine_id: lenient(found.machine_id.as_deref()),
        subnet_selection: lenient(found.subnet_selection.as_deref())
            .map(|o: [u8; 4]| Ipv4Addr::from(o))
            .filter(|a| !a.is_unspecified()),
    })
}

/// A value that must have `N` bytes if it is there: what the lease hangs on is
/// not guessed.
fn number<const N: usize>(value: Option<&[u8]>) -> Result<Option<[u8; N]>, Silence> {
    value
        .map(|v| v.try_into().map_err(|_| Silence::BadOption))
        .transpose()
}

/// A value that counts for nothing unless it has `N` bytes.
fn lenient<const N: usize>(value: Option<&[u8]>) -> Option<[u8; N]> {
    value?.try_into().ok()
}

fn architectures(option: &[u8]) -> Vec<u16> {
    let (pairs, _) = option.as_chunks::<2>();
    pairs.iter().copied().map(u16::from_be_bytes).collect()
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
    vendor_class: Option<Vec<u8>>,
    client_id: Option<Vec<u8>>,
    user_class: Option<Vec<u8>>,
    rapid_commit: Option<Vec<u8>>,
    fqdn: Option<Vec<u8>>,
    relay: Option<Vec<u8>>,
    architectures: Option<Vec<u8>>,
    machine_id: Option<Vec<u8>>,
    subnet_selection: Option<Vec<u8>>,
}

impl Found {
    /// Those of the message `bytes`, whose option field is `options`.
    fn all(bytes: &[u8], options: &[u8]) -> Result<Self, Silence> {
        let mut found = Self::default();
        found.read(options)?;
        match number(found.overload.as_deref())?.map(|[o]: [u8; 1]| o) {
            None => {}
            Some(overload @ 1..=3) => {
                for field in overloaded(bytes, overload) {
                    found.read(field)?;
                }
            }
            Some(_) => return Err(Silence::BadOption),
        }
        Ok(found)
    }

    /// What option 53 says that the client wants.
    fn kind(&self) -> Result<Kind, Silence> {
        let kind = number(self.message_type.as_deref())?;
        match kind.map(|[k]: [u8; 1]| MessageType::from(k)) {
            None => Err(Silence::NoMessageType),
            Some(MessageType::Discover) => Ok(Kind::Discover),
            Some(MessageType::Request) => Ok(Kind::Request),
            Some(MessageType::Decline) => Ok(Kind::Decline),
            Some(MessageType::Release) => Ok(Kind::Release),
            Some(MessageType::Inform) => Ok(Kind::Inform),
            Some(_) => Err(Silence::UnknownMessageType),
        }
    }

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
                OptionCode::ClassIdentifier => &mut self.vendor_class,
                OptionCode::ClientIdentifier => &mut self.client_id,
                OptionCode::UserClass => &mut self.user_class,
                OptionCode::RapidCommit => &mut self.rapid_commit,
                OptionCode::ClientFQDN => &mut self.fqdn,
                OptionCode::RelayAgentInformation => &mut self.relay,
                OptionCode::ClientSystemArchitecture => &mut self.architectures,
                OptionCode::ClientMachineIdentifier => &mut self.machine_id,
                OptionCode::SubnetSelection => &mut self.subnet_selection,
                _ => continue,
            };
            slot.get_or_insert_default().extend_from_slice(part.data());
        }
        Ok(())
    }
}

/// The fields of the message `bytes` that have options in them by the value
/// `overload` of option 52, in the order of RFC 3396 §5.
pub(super) fn overloaded(bytes: &[u8], overload: u8) -> impl Iterator<Item = &[u8]> {
    let fields = [(IN_FILE, FILE), (IN_SNAME, SNAME)].into_iter();
    fields
        .filter(move |(flag, _)| overload & flag != 0)
        .filter_map(|(_, place)| bytes.get(place))
}

/// Gives `field` back if every option in it, up to the end marker if there is
/// one, lies inside it.
pub(super) fn guard(field: &[u8]) -> Result<&[u8], Silence> {
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
