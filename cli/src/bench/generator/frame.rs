//! Frames that say where they come from and go to, in which order they were
//! sent, and of which every byte is known.
//!
//! Behind the headers stands a tag of [`TAG`] bytes: "vmlb", sender, receiver,
//! salt (u16), sequence (u64), all big-endian. Behind it, a slice of one random
//! sequence of bytes, from the salt on. So a payload is sent and compared
//! without making it.

use super::Wrong;
use etherparse::{IpNumber, Ipv4Header, SlicedPacket, TcpHeader, TransportSlice};
use std::sync::LazyLock;
use vmlan_dataplane::frame::checksum;
use vmlan_dataplane::frame::vnet::{self, VnetHeader};

/// A MAC as it stands in a frame.
pub(crate) type Mac = [u8; 6];

/// All stations.
pub(crate) const BROADCAST: Mac = [0xff; 6];
/// In the place of a receiver's number: all guests.
pub(crate) const EVERYONE: u8 = 0xff;

/// The local experimental EtherType (IEEE 802 clause 9.2.3): nobody answers.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
const IPV4: [u8; 2] = [0x08, 0x00];
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Bytes of the Ethernet, IPv4 and TCP headers.
const HEADERS: usize = ETHERNET + 20 + 20;
const MAGIC: [u8; 4] = *b"vmlb";
/// Bytes of the tag.
pub(crate) const TAG: usize = 16;
/// Payload bytes of each segment of a super-frame, as with TCP timestamps.
const SEGMENT: u16 = 1448;
/// Payload bytes of the longest super-frame: whole segments in less than
/// 65,536 bytes of IP packet.
pub(crate) const SUPER: usize = 45 * SEGMENT as usize;
/// Salts are less than this.
pub(crate) const SALTS: u16 = 4096;
/// Sequence numbers of super-frames repeat in TCP's after this many.
const SUPER_CYCLE: u64 = 65_536;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..SUPER + usize::from(SALTS))
        .map(|_| {
            // Marsaglia's xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        })
        .collect()
});

/// `len` bytes of the pattern from `from` on.
fn pattern(from: usize, len: usize) -> &'static [u8] {
    PATTERN.get(from..from + len).unwrap_or_default()
}

/// The MAC of guest `index`.
pub(crate) fn guest_mac(index: usize) -> Mac {
    [
        0x52,
        0x54,
        0x00,
        0x76,
        0x62,
        u8::try_from(index).unwrap_or(0xfe),
    ]
}

/// What a frame looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A frame of this many bytes without FCS, 60 to 1514.
    Plain(usize),
    /// A TCP super-frame with this many bytes of payload, [`TAG`] to
    /// [`SUPER`], its checksum left open.
    Super(usize),
}

impl Shape {
    /// Payload bytes, the tag included.
    pub(crate) fn payload(self) -> usize {
        match self {
            Self::Plain(len) => len - ETHERNET,
            Self::Super(payload) => payload,
        }
    }
}

/// A frame to send, again and again with another sequence number.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// The headers and the tag.
    head: Vec<u8>,
    body: &'static [u8],
    vnet: VnetHeader,
    shape: Shape,
}

impl Template {
    /// A frame from guest `from` to guest `to`, or, with [`EVERYONE`], to all.
    pub(crate) fn new(from: u8, to: u8, shape: Shape, salt: u16) -> Self {
        let destination = match to {
            EVERYONE => BROADCAST,
            to => guest_mac(to.into()),
        };
        let mut head = Vec::with_capacity(HEADERS + TAG);
        head.extend(destination);
        head.extend(guest_mac(from.into()));
        let mut vnet = VnetHeader::NONE;
        match shape {
            Shape::Plain(_) => head.extend(ETHERTYPE),
            Shape::Super(payload) => {
                head.extend(IPV4);
                vnet = tcp(&mut head, from, to, payload);
            }
        }
        head.extend(MAGIC);
        head.extend([from, to]);
        head.extend(salt.to_be_bytes());
        head.extend([0; 8]);
        Self {
            head,
            body: pattern(salt.into(), shape.payload() - TAG),
            vnet,
            shape,
        }
    }

    /// Gives the frame its place in the order.
    pub(crate) fn number(&mut self, sequence: u64) {
        if let Some(field) = self.head.last_chunk_mut() {
            *field = sequence.to_be_bytes();
        }
        if let Shape::Super(_) = self.shape
            && let Some(field) = self.head.get_mut(ETHERNET + 24..ETHERNET + 28)
        {
            // Below 2^32: 65,536 × 65,160.
            let position = (sequence % SUPER_CYCLE) * SUPER as u64;
            field.copy_from_slice(&u32::try_from(position).unwrap_or(0).to_be_bytes());
        }
    }

    /// Replaces the source: learning wants many.
    pub(crate) fn set_source(&mut self, source: Mac) {
        if let Some(field) = self.head.get_mut(6..12) {
            field.copy_from_slice(&source);
        }
    }

    /// Replaces the destination.
    pub(crate) fn set_destination(&mut self, destination: Mac) {
        if let Some(field) = self.head.get_mut(..6) {
            field.copy_from_slice(&destination);
        }
    }

    /// The virtio-net header, the leading bytes and the rest.
    pub(crate) fn parts(&self) -> (&VnetHeader, &[u8], &[u8]) {
        (&self.vnet, &self.head, self.body)
    }

    /// Payload bytes, the tag included.
    pub(crate) fn payload(&self) -> usize {
        self.shape.payload()
    }
}

/// Appends an IPv4 and a TCP header for `payload` bytes, the TCP checksum left
/// open, and gives the virtio-net header that says so.
fn tcp(head: &mut Vec<u8>, from: u8, to: u8, payload: usize) -> VnetHeader {
    let (source, destination) = ([10, 77, 1, from], [10, 77, 1, to]);
    let mut tcp = TcpHeader::new(5001, 5001, 0, u16::MAX);
    tcp.ack = true;
    let length = u16::try_from(20 + payload).unwrap_or(u16::MAX);
    let pseudo = checksum::sum(&[source, destination].concat())
        + checksum::Sum::from(u16::from(IpNumber::TCP.0))
        + checksum::Sum::from(length);
    tcp.checksum = pseudo.folded();
    if let Ok(mut ip) = Ipv4Header::new(length, 64, IpNumber::TCP, source, destination) {
        ip.header_checksum = ip.calc_header_checksum();
        head.extend(ip.to_bytes());
    }
    head.extend(tcp.to_bytes());
    let mut header = VnetHeader::NONE;
    header.flags = vnet::F_NEEDS_CSUM;
    header.csum_start = 34.into();
    header.csum_offset = 16.into();
    header.hdr_len = 54.into();
    if payload > usize::from(SEGMENT) {
        header.gso_type = vnet::GSO_TCPV4;
        header.gso_size = SEGMENT.into();
    }
    header
}

/// What the tag of a received frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The guest that sent it.
    pub(crate) from: u8,
    /// The guest that it is for, or [`EVERYONE`].
    pub(crate) to: u8,
    /// Where its pattern starts.
    pub(crate) salt: u16,
    /// Its place in the order.
    pub(crate) sequence: u64,
}

/// A received frame of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// Absent on the second and further segments of a super-frame that the
    /// switch has cut.
    pub(crate) tag: Option<Tag>,
    /// Payload bytes from the tag on; of a segment, its own.
    pub(crate) payload: &'a [u8],
    /// Where the payload stands in that of the frame that was sent.
    offset: usize,
}

impl<'a> Arrival<'a> {
    /// Reads a frame; [`None`] for one that is not ours.
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        let (payload, offset) = match *frame.get(12..14)?.first_chunk()? {
            ETHERTYPE => (frame.get(ETHERNET..)?, 0),
            IPV4 => {
                let position = frame.get(ETHERNET + 24..ETHERNET + 28)?.first_chunk()?;
                let position = usize::try_from(u32::from_be_bytes(*position)).ok()?;
                let length = frame.get(ETHERNET + 2..ETHERNET + 4)?.first_chunk()?;
                // Without what pads a short segment.
                let end = ETHERNET + usize::from(u16::from_be_bytes(*length));
                (frame.get(HEADERS..end)?, position % SUPER)
            }
            _ => return None,
        };
        let tag = (offset == 0).then(|| tag(payload)).flatten();
        if offset == 0 && tag.is_none() {
            return None;
        }
        Some(Self {
            tag,
            payload,
            offset,
        })
    }

    /// Compares each byte of the payload; `salt` is that of the frame's tag or
    /// of the last one before it.
    ///
    /// # Errors
    /// One differs.
    pub(crate) fn compare(&self, salt: u16) -> Result<(), Wrong> {
        let (skip, from) = match self.offset {
            0 => (TAG, 0),
            offset => (0, offset.saturating_sub(TAG)),
        };
        let got = self.payload.get(skip..).unwrap_or_default();
        let want = pattern(usize::from(salt) + from, got.len());
        if got == want {
            return Ok(());
        }
        let at = got.iter().zip(want).position(|(a, b)| a != b);
        Err(Wrong(format!(
            "byte {} of the payload of a frame was changed",
            skip + at.unwrap_or(want.len())
        )))
    }
}

fn tag(payload: &[u8]) -> Option<Tag> {
    let tag = payload.first_chunk::<TAG>()?;
    let (&[m0, m1, m2, m3, from, to, s0, s1], sequence) = tag.split_first_chunk::<8>()?;
    ([m0, m1, m2, m3] == MAGIC).then_some(Tag {
        from,
        to,
        salt: u16::from_be_bytes([s0, s1]),
        sequence: u64::from_be_bytes(*sequence.first_chunk()?),
    })
}

/// Checks the transport checksum of a frame whose sender left it open and that
/// was received with `header`: it is still left open, was verified, or is
/// right.
///
/// # Errors
/// It is wrong.
pub(crate) fn checksum_holds(header: &VnetHeader, frame: &[u8]) -> Result<(), Wrong> {
    if header.flags & (vnet::F_NEEDS_CSUM | vnet::F_DATA_VALID) != 0
        || header.gso_type != vnet::GSO_NONE
    {
        return Ok(());
    }
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
        return Ok(());
    };
    let (Some(etherparse::NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) =
        (&packet.net, &packet.transport)
    else {
        return Ok(());
    };
    let want = tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination());
    if want == Ok(tcp.checksum()) {
        return Ok(());
    }
    Err(Wrong(
        "a frame left the switch with a checksum that is neither open nor right".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(template: &Template) -> Vec<u8> {
        let (_, head, body) = template.parts();
        [head, body].concat()
    }

    #[test]
    fn a_frame_that_was_sent_is_recognised_and_whole() {
        for shape in [Shape::Plain(60), Shape::Plain(1514), Shape::Super(SUPER)] {
            let mut template = Template::new(1, 2, shape, 77);
            template.number(0x0102_0304_0506);
            let frame = bytes(&template);
            let arrival = Arrival::parse(&frame).unwrap();
            let tag = arrival.tag.unwrap();
            assert_eq!((tag.from, tag.to, tag.salt), (1, 2, 77));
            assert_eq!(tag.sequence, 0x0102_0304_0506);
            assert_eq!(arrival.payload.len(), shape.payload());
            arrival.compare(tag.salt).unwrap();
        }
        assert_eq!(bytes(&Template::new(1, 2, Shape::Plain(60), 0)).len(), 60);
    }

    #[test]
    fn each_changed_byte_is_seen() {
        let frame = bytes(&Template::new(0, 1, Shape::Plain(200), 9));
        for at in ETHERNET + TAG..frame.len() {
            let mut frame = frame.clone();
            frame[at] ^= 1;
            let arrival = Arrival::parse(&frame).unwrap();
            assert!(arrival.compare(9).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_segment_is_compared_at_its_own_place() {
        let mut template = Template::new(0, 1, Shape::Super(SUPER), 3);
        template.number(5);
        let whole = bytes(&template);
        let position = 5 * SUPER + usize::from(SEGMENT);
        let mut segment = whole[..HEADERS].to_vec();
        segment[16..18].copy_from_slice(&(40 + SEGMENT).to_be_bytes());
        segment[38..42].copy_from_slice(&u32::try_from(position).unwrap().to_be_bytes());
        segment.extend(&whole[HEADERS + usize::from(SEGMENT)..][..usize::from(SEGMENT)]);
        let arrival = Arrival::parse(&segment).unwrap();
        assert_eq!(arrival.tag, None);
        assert_eq!(arrival.payload.len(), usize::from(SEGMENT));
        arrival.compare(3).unwrap();
        assert!(arrival.compare(4).is_err());
    }

    #[test]
    fn frames_of_others_are_passed_over() {
        assert!(Arrival::parse(&[0; 60]).is_none());
        assert!(Arrival::parse(&[]).is_none());
        let mut frame = bytes(&Template::new(0, 1, Shape::Plain(60), 0));
        frame[ETHERNET] = b'x';
        assert!(Arrival::parse(&frame).is_none());
    }

    #[test]
    fn an_open_checksum_that_was_completed_holds() {
        let template = Template::new(0, 1, Shape::Super(1000), 3);
        let mut frame = bytes(&template);
        assert!(checksum_holds(&VnetHeader::NONE, &frame).is_err());
        assert!(checksum_holds(template.parts().0, &frame).is_ok());
        assert!(checksum::complete(&mut frame, 34, 16));
        assert!(checksum_holds(&VnetHeader::NONE, &frame).is_ok());
    }
}
