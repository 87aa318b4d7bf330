//! Frames as honest guests send them, and what such guests leave undone.

use super::corpus::station;
use super::{message, oracle};
use anyhow::{Context, Result};
use etherparse::{
    ArpOperation, ArpPacket, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header,
    Ipv4Options, Ipv6Extensions, Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader,
    Ipv6RoutingExtensions, PacketBuilder, TcpHeader,
};
use fastrand::Rng;
use vmlan_dataplane::frame::ethernet;
use vmlan_dataplane::frame::transport::{TCP, TCP_CHECKSUM, UDP, UDP_CHECKSUM};
use vmlan_dataplane::frame::vnet::{self, VnetHeader};

/// Payloads: of frames of each length class, and of super-frames.
const PAYLOADS: [usize; 9] = [0, 1, 18, 90, 536, 1452, 3000, 9000, 65_470];

const SOURCE4: [u8; 4] = [192, 168, 122, 7];
const DESTINATION4: [u8; 4] = [192, 168, 122, 9];
const SOURCE6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const DESTINATION6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];

/// A frame with its checksums in place.
#[derive(Debug, Clone)]
pub struct Honest {
    /// The frame.
    pub bytes: Vec<u8>,
    transport: Option<Transport>,
}

/// What a sender would leave undone on a TCP or UDP frame.
#[derive(Debug, Clone, Copy)]
struct Transport {
    /// Where its header starts.
    start: usize,
    /// Where its checksum is, from there.
    checksum: usize,
    /// What stands there while it is left open.
    pseudo_header: u16,
    /// The type of super-frame.
    gso: u8,
    /// Whether CWR is set.
    ecn: bool,
}

/// An ARP request and a reply.
///
/// # Errors
/// etherparse's, which would be a mistake in here.
pub fn arps() -> Result<Vec<Honest>> {
    Ok(with_tags(vec![
        arp(ArpOperation::REQUEST)?,
        arp(ArpOperation::REPLY)?,
    ]))
}

/// Every other kind of frame with every kind of tags.
///
/// # Errors
/// etherparse's, which would be a mistake in here.
pub fn frames() -> Result<Vec<Honest>> {
    let mut frames = vec![dhcp(68, 67)?, dhcp(67, 68)?, icmp()?];
    frames.extend([fragment4()?, fragment6()?]);
    frames.extend([segment(long6()?, 1000)?, datagram(long6()?, 1000)?]);
    frames.push(sctp()?);
    for outer in [plain4(), options4()?, plain6(), extensions6()?] {
        for payload in [90, 3000] {
            for inner in [
                segment(options4()?, payload)?,
                segment(plain6(), payload)?,
                datagram(plain4(), payload)?,
            ] {
                frames.push(vxlan(outer.clone(), &inner)?);
                frames.push(gre(outer.clone(), &inner)?);
            }
        }
    }
    for payload in PAYLOADS {
        for headers in [plain4(), options4()?, plain6(), extensions6()?] {
            frames.push(segment(headers.clone(), payload)?);
            frames.push(datagram(headers, payload)?);
        }
    }
    Ok(with_tags(frames))
}

/// Each frame with no tag, one and two.
fn with_tags(frames: Vec<Honest>) -> Vec<Honest> {
    let with = |frame: Honest| {
        let one = frame.tagged(ethernet::VLAN, 0x2005);
        [one.tagged(ethernet::SERVICE_VLAN, 9), one, frame]
    };
    frames.into_iter().flat_map(with).collect()
}

impl Honest {
    fn tagged(&self, tpid: u16, tci: u16) -> Self {
        let mut tagged = self.clone();
        insert_tag(&mut tagged.bytes, tpid, tci);
        if let Some(transport) = &mut tagged.transport {
            transport.start += ethernet::TAG;
        }
        tagged
    }

    /// `bytes`, which end with this frame, and what is left undone in it.
    fn within(&self, bytes: Vec<u8>) -> Self {
        let shift = bytes.len() - self.bytes.len();
        let transport = self.transport.map(|transport| Transport {
            start: transport.start + shift,
            ..transport
        });
        Self { bytes, transport }
    }

    /// Leaves a checksum open in `bytes`, a copy of the frame, and a super-frame
    /// uncut, as a sender may, and gives the header that says so.
    pub fn leave_undone(&self, rng: &mut Rng, bytes: &mut [u8]) -> VnetHeader {
        let mut header = VnetHeader::NONE;
        let Some(transport) = self.transport else {
            return header;
        };
        match rng.u8(..8) {
            0 | 1 => return header,
            2 => header.flags = vnet::F_DATA_VALID,
            _ => {
                header.flags = vnet::F_NEEDS_CSUM;
                header.csum_start = narrow(transport.start);
                header.csum_offset = narrow(transport.checksum);
                let field = transport.start + transport.checksum;
                if let Some(field) = bytes.get_mut(field..field + 2) {
                    field.copy_from_slice(&transport.pseudo_header.to_be_bytes());
                }
            }
        }
        if bytes.len() > 1518 || rng.u8(..4) == 0 {
            header.gso_type = transport.gso;
            if transport.ecn && transport.gso != vnet::GSO_UDP_L4 {
                header.gso_type |= vnet::GSO_ECN;
            }
            let size = match rng.u8(..8) {
                0 => 8,
                1 => rng.u16(8..100),
                2..5 => rng.u16(500..1400),
                _ => 1380,
            };
            header.gso_size = size.into();
            header.hdr_len = narrow(transport.start);
        }
        header
    }
}

fn narrow<T: From<u16>>(value: usize) -> T {
    u16::try_from(value).unwrap_or(u16::MAX).into()
}

/// Puts a tag behind the MAC addresses.
pub fn insert_tag(bytes: &mut Vec<u8>, tpid: u16, tci: u16) {
    let at = (2 * ethernet::ADDRESS).min(bytes.len());
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), tci.to_be_bytes());
    bytes.splice(at..at, [a, b, c, d]);
}

fn plain4() -> IpHeaders {
    let header = Ipv4Header {
        time_to_live: 64,
        source: SOURCE4,
        destination: DESTINATION4,
        identification: 0xfffe,
        dont_fragment: true,
        ..Ipv4Header::default()
    };
    IpHeaders::Ipv4(header, Ipv4Extensions::default())
}

fn options4() -> Result<IpHeaders> {
    let IpHeaders::Ipv4(mut header, extensions) = plain4() else {
        return Ok(plain4());
    };
    // Router alert (RFC 2113).
    header.options = Ipv4Options::try_from(&[0x94, 4, 0, 0][..])?;
    Ok(IpHeaders::Ipv4(header, extensions))
}

fn plain6() -> IpHeaders {
    let header = Ipv6Header {
        hop_limit: 64,
        source: SOURCE6,
        destination: DESTINATION6,
        ..Ipv6Header::default()
    };
    IpHeaders::Ipv6(header, Ipv6Extensions::default())
}

fn extensions6() -> Result<IpHeaders> {
    let IpHeaders::Ipv6(header, _) = plain6() else {
        return Ok(plain6());
    };
    // PadN, and a routing header with no segment left.
    let padding = Ipv6RawExtHeader::new_raw(IpNumber::TCP, &[1, 4, 0, 0, 0, 0])?;
    let routing = Ipv6RawExtHeader::new_raw(IpNumber::TCP, &[4, 0, 0, 0, 0, 0])?;
    let extensions = Ipv6Extensions {
        hop_by_hop_options: Some(padding.clone()),
        destination_options: Some(padding),
        routing: Some(Ipv6RoutingExtensions {
            routing,
            final_destination_options: None,
        }),
        ..Ipv6Extensions::default()
    };
    Ok(IpHeaders::Ipv6(header, extensions))
}

/// More headers than the switch rewrites.
fn long6() -> Result<IpHeaders> {
    let mut headers = plain6();
    if let IpHeaders::Ipv6(_, extensions) = &mut headers {
        let padding = Ipv6RawExtHeader::new_raw(IpNumber::TCP, &[0; 502])?;
        extensions.hop_by_hop_options = Some(padding);
    }
    Ok(headers)
}

fn ethernet2() -> etherparse::PacketBuilderStep<etherparse::Ethernet2Header> {
    PacketBuilder::ethernet2(station(7).octets(), station(9).octets())
}

/// Payload in which no two places look alike for long.
fn payload(len: usize) -> Vec<u8> {
    (0u16..).flat_map(u16::to_be_bytes).take(len).collect()
}

fn segment(headers: IpHeaders, len: usize) -> Result<Honest> {
    let mut tcp = TcpHeader::new(40_000, 443, 0xffff_f000, 65_535);
    (tcp.ack, tcp.psh, tcp.fin) = (true, true, len > 5000);
    tcp.cwr = len == 9000;
    // A timestamp (RFC 7323) in some, as Linux sends it.
    if len.is_multiple_of(2) {
        tcp.set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])?;
    }
    let (header_len, ecn) = (tcp.header_len(), tcp.cwr);
    let gso = match headers {
        IpHeaders::Ipv4(..) => vnet::GSO_TCPV4,
        IpHeaders::Ipv6(..) => vnet::GSO_TCPV6,
    };
    let mut bytes = Vec::new();
    ethernet2()
        .ip(headers)
        .tcp_header(tcp)
        .write(&mut bytes, &payload(len))?;
    let start = bytes.len() - len - header_len;
    transport(bytes, start, TCP, TCP_CHECKSUM, gso, ecn)
}

fn datagram(headers: IpHeaders, len: usize) -> Result<Honest> {
    let mut bytes = Vec::new();
    ethernet2()
        .ip(headers)
        .udp(40_000, 4433)
        .write(&mut bytes, &payload(len))?;
    let start = bytes.len() - len - 8;
    transport(bytes, start, UDP, UDP_CHECKSUM, vnet::GSO_UDP_L4, false)
}

/// `inner` in a VXLAN packet (RFC 7348 §5).
fn vxlan(headers: IpHeaders, inner: &Honest) -> Result<Honest> {
    let mut carried = vec![8, 0, 0, 0, 0, 0, 7, 0];
    carried.extend(&inner.bytes);
    let mut bytes = Vec::new();
    ethernet2()
        .ip(headers)
        .udp(40_000, 4789)
        .write(&mut bytes, &carried)?;
    Ok(inner.within(bytes))
}

/// `inner` in a GRE packet, without a checksum (RFC 2784 §2).
fn gre(headers: IpHeaders, inner: &Honest) -> Result<Honest> {
    let mut carried = vec![0, 0, 0x65, 0x58];
    carried.extend(&inner.bytes);
    let mut bytes = Vec::new();
    ethernet2()
        .ip(headers)
        .write(&mut bytes, IpNumber::GRE, &carried)?;
    Ok(inner.within(bytes))
}

/// An SCTP packet of one chunk (RFC 9260 §3).
fn sctp() -> Result<Honest> {
    let mut packet = vec![0x9c, 0x40, 0x0b, 0x59, 1, 2, 3, 4, 0, 0, 0, 0];
    packet.extend(payload(100));
    let crc = oracle::crc32c(&packet);
    packet.splice(8..12, crc);
    let mut bytes = Vec::new();
    ethernet2()
        .ip(plain4())
        .write(&mut bytes, IpNumber::SCTP, &packet)?;
    Ok(Honest {
        transport: Some(Transport {
            start: bytes.len() - packet.len(),
            checksum: 8,
            pseudo_header: 0,
            gso: vnet::GSO_NONE,
            ecn: false,
        }),
        bytes,
    })
}

fn transport(
    bytes: Vec<u8>,
    start: usize,
    protocol: u8,
    checksum: usize,
    gso: u8,
    ecn: bool,
) -> Result<Honest> {
    let addresses = match bytes.get(ethernet::HEADER).context("no packet")? >> 4 {
        4 => 12..20,
        _ => 8..40,
    };
    let packet = bytes.get(ethernet::HEADER..).context("no packet")?;
    let addresses = packet.get(addresses).context("no addresses")?;
    let pseudo_header = oracle::pseudo_header(addresses, protocol, bytes.len() - start);
    Ok(Honest {
        transport: Some(Transport {
            start,
            checksum,
            pseudo_header,
            gso,
            ecn,
        }),
        bytes,
    })
}

fn other(bytes: Vec<u8>) -> Honest {
    Honest {
        bytes,
        transport: None,
    }
}

fn arp(operation: ArpOperation) -> Result<Honest> {
    let packet = ArpPacket::new(
        etherparse::ArpHardwareId::ETHERNET,
        etherparse::EtherType::IPV4,
        operation,
        &station(3).octets(),
        &SOURCE4,
        &[0; 6],
        &[192, 168, 122, 1],
    )?;
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(station(3).octets(), [0xff; 6])
        .arp(packet)
        .write(&mut bytes)?;
    Ok(other(bytes))
}

fn dhcp(from: u16, to: u16) -> Result<Honest> {
    let message = message::discover(station(3));
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(station(3).octets(), [0xff; 6])
        .ipv4([0; 4], [255; 4], 64)
        .udp(from, to)
        .write(&mut bytes, &message)?;
    let start = bytes.len() - message.len() - 8;
    transport(bytes, start, UDP, UDP_CHECKSUM, vnet::GSO_UDP_L4, false)
}

fn icmp() -> Result<Honest> {
    let mut bytes = Vec::new();
    ethernet2()
        .ip(plain4())
        .icmpv4_echo_request(1, 1)
        .write(&mut bytes, &payload(56))?;
    Ok(other(bytes))
}

fn fragment4() -> Result<Honest> {
    let IpHeaders::Ipv4(mut header, extensions) = plain4() else {
        return Ok(other(Vec::new()));
    };
    header.more_fragments = true;
    header.dont_fragment = false;
    let mut bytes = Vec::new();
    ethernet2()
        .ip(IpHeaders::Ipv4(header, extensions))
        .udp(68, 67)
        .write(&mut bytes, &payload(512))?;
    Ok(other(bytes))
}

fn fragment6() -> Result<Honest> {
    let IpHeaders::Ipv6(header, mut extensions) = plain6() else {
        return Ok(other(Vec::new()));
    };
    let fragment = Ipv6FragmentHeader::new(IpNumber::UDP, IpFragOffset::ZERO, true, 7);
    extensions.fragment = Some(fragment);
    let mut bytes = Vec::new();
    ethernet2()
        .ip(IpHeaders::Ipv6(header, extensions))
        .udp(68, 67)
        .write(&mut bytes, &payload(512))?;
    Ok(other(bytes))
}
