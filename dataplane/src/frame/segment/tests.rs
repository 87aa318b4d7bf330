use super::*;
use crate::frame::Offload;
use crate::frame::offload::MIN_GSO_SIZE;
use crate::frame::samples::tunnelled::tunnelled;
use crate::frame::samples::{self, Sample};
use proptest::prelude::*;

/// The segments of a sample as whole frames.
fn cut(sample: &Sample, size: u16) -> Vec<Vec<u8>> {
    let offload = Offload::from_vnet(&sample.vnet(size), &sample.frame).unwrap();
    let mut segments = Segments::new(&sample.frame, &offload.gso.unwrap()).unwrap();
    let mut slot = [0xee; MAX_HEAD];
    std::iter::from_fn(|| {
        let segment = segments.write_next(&mut slot)?;
        Some([&slot[..segment.head], segment.body].concat())
    })
    .collect()
}

/// The headers of `frame` with 0 where segments may differ.
fn common(sample: &Sample, frame: &[u8]) -> Vec<u8> {
    let mut headers = frame[..sample.payload].to_vec();
    let fields: &[(usize, usize)] = match sample.kind {
        GsoKind::Udp => &[(4, 4)],
        GsoKind::TcpV4 | GsoKind::TcpV6 => &[(4, 4), (13, 1), (16, 2)],
    };
    for (at, len) in fields {
        headers[sample.transport + at..][..*len].fill(0);
    }
    let fields: &[(usize, usize)] = match headers[sample.network] >> 4 {
        4 => &[(2, 4), (10, 2)],
        _ => &[(4, 2)],
    };
    for (at, len) in fields {
        headers[sample.network + at..][..*len].fill(0);
    }
    headers
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// A TCP over IPv4 super-frame with 100 bytes of payload, in segments of 50.
fn tcp() -> (Vec<u8>, Gso) {
    let mut frame = vec![0; 54 + 100];
    frame[12] = 8;
    frame[14] = 0x45;
    frame[23] = transport::TCP;
    frame[46] = 0x50;
    let gso = Gso {
        kind: GsoKind::TcpV4,
        size: 50.try_into().unwrap(),
        header_len: 54,
        ecn: false,
        inner_words: None,
    };
    (frame, gso)
}

#[test]
fn a_gso_that_is_not_the_frames_own_is_refused() {
    let (frame, gso) = tcp();
    assert!(Segments::new(&frame, &gso).is_some());
    let kind = GsoKind::Udp;
    assert!(Segments::new(&frame, &Gso { kind, ..gso }).is_none());
    let header_len = 58;
    assert!(Segments::new(&frame, &Gso { header_len, ..gso }).is_none());
    assert!(Segments::new(&frame[..54], &gso).is_none());
}

#[test]
fn a_slot_too_short_ends_the_cut_without_a_panic() {
    let (frame, gso) = tcp();
    let mut segments = Segments::new(&frame, &gso).unwrap();
    assert_eq!(segments.write_next(&mut [0; 53]), None);
    assert!(segments.write_next(&mut [0; 54]).is_some());
}

#[test]
fn a_udp_checksum_of_0_is_sent_as_ffff() {
    let (mut frame, gso) = tcp();
    frame[23] = transport::UDP;
    frame.truncate(42 + 100);
    // With the rest 0, the pseudo-header and header sum to the protocol
    // and twice the length of 58: this makes it 0xffff.
    let rest = 0xffff - 17 - 2 * 58_u16;
    frame[46] = 0;
    frame[34..36].copy_from_slice(&rest.to_be_bytes());
    let kind = GsoKind::Udp;
    let header_len = 42;
    let gso = Gso {
        kind,
        header_len,
        ..gso
    };
    let mut slot = [0; MAX_HEAD];
    let _ = Segments::new(&frame, &gso).unwrap().write_next(&mut slot);
    assert_eq!(word(&slot, 34 + transport::UDP_CHECKSUM), 0xffff);
}

/// The first of two IPv4 headers of a frame, as identification.
fn outer_id(frame: &[u8]) -> Option<u16> {
    let at = Transport::locate(frame)?;
    (at.version == IpVersion::V4).then(|| word(frame, at.network + 4))
}

proptest! {
    #[test]
    fn segments_are_what_the_sender_would_have_sent_itself(
        packet in samples::packet(),
        size in MIN_GSO_SIZE..3000,
    ) {
        let sample = packet.build();
        let payload = &sample.frame[sample.payload..];
        prop_assume!(payload.len() > size.into());
        let size_bytes = usize::from(size);
        let segments = cut(&sample, size);
        prop_assert_eq!(segments.len(), payload.len().div_ceil(size_bytes));
        let last = segments.len() - 1;
        let mut together = Vec::new();
        for (i, segment) in segments.iter().enumerate() {
            let body = samples::verify(segment);
            prop_assert!(body.len() == size_bytes || i == last && body.len() < size_bytes);
            prop_assert_eq!(common(&sample, segment), common(&sample, &sample.frame));
            if sample.frame[sample.network] >> 4 == 4 {
                let id = sample.network + 4;
                let count = u16::try_from(i).unwrap();
                let want = word(&sample.frame, id).wrapping_add(count);
                prop_assert_eq!(word(segment, id), want);
            }
            if sample.kind != GsoKind::Udp {
                let at = sample.transport + tcp::SEQUENCE;
                let sequence = |frame: &[u8]| {
                    u32::from_be_bytes(*frame[at..].first_chunk().unwrap())
                };
                let done = u32::try_from(together.len()).unwrap();
                prop_assert_eq!(sequence(segment), sequence(&sample.frame).wrapping_add(done));

                let at = sample.transport + tcp::FLAGS;
                let mut want = sample.frame[at];
                if i != 0 {
                    want &= !CWR;
                }
                if i != last {
                    want &= !(PSH | FIN);
                }
                prop_assert_eq!(segment[at], want);
            }
            together.extend(body);
        }
        prop_assert_eq!(together, payload);
    }

    #[test]
    fn segments_in_a_tunnel_are_those_of_the_packet_inside_each_put_into_it(
        packet in tunnelled(),
        size in MIN_GSO_SIZE..3000,
    ) {
        let (outside, inside) = (packet.build(), packet.inner());
        prop_assume!(inside.frame.len() - inside.payload > size.into());
        let (outside_cut, inside_cut) = (cut(&outside, size), cut(&inside, size));
        prop_assert_eq!(outside_cut.len(), inside_cut.len());
        let carried_at = outside.frame.len() - packet.carried(&inside.frame).len();
        for (i, (outer, inner)) in outside_cut.iter().zip(&inside_cut).enumerate() {
            prop_assert_eq!(packet.verify(outer), packet.carried(inner));
            let link = Transport::locate(outer).unwrap().network;
            prop_assert_eq!(&outer[..link], &outside.frame[..link]);
            prop_assert_eq!(outer.len() - packet.carried(inner).len(), carried_at);
            let count = u16::try_from(i).unwrap();
            let want = outer_id(&outside.frame).map(|id| id.wrapping_add(count));
            prop_assert_eq!(outer_id(outer), want);
        }
    }
}
