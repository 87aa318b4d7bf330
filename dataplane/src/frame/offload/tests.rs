use super::*;
use crate::frame::checksum;
use crate::frame::samples::tunnelled::tunnelled;
use crate::frame::samples::{self, Sample};
use crate::frame::segment::{MAX_HEAD, Segments};
use crate::port::Abilities;
use proptest::prelude::*;

/// A TCP over IPv4 packet: 14 + 20 + 20 bytes of headers.
fn tcp(payload: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 20 + payload];
    frame[12] = 8;
    frame[14] = 0x45;
    frame[23] = transport::TCP;
    frame[46] = 0x50;
    frame
}

fn tso(size: u16) -> VnetHeader {
    VnetHeader {
        flags: vnet::F_NEEDS_CSUM,
        gso_type: vnet::GSO_TCPV4,
        gso_size: size.into(),
        csum_start: 34.into(),
        csum_offset: 16.into(),
        ..VnetHeader::NONE
    }
}

fn refusal(header: &VnetHeader, frame: &[u8]) -> BadOffload {
    Offload::from_vnet(header, frame).unwrap_err()
}

#[test]
fn a_super_frame_is_measured_from_its_own_headers() {
    let offload = Offload::from_vnet(&tso(1000), &tcp(2500)).unwrap();
    assert_eq!(offload.gso.unwrap().header_len, 54);
    assert_eq!(offload.segments(2554), 3);
    assert_eq!(offload.largest_segment(2554), 1054);
    assert_eq!(Offload::NONE.segments(60), 1);
    assert_eq!(Offload::NONE.largest_segment(60), 60);
}

#[test]
fn a_super_frame_that_fits_in_one_segment_is_none() {
    let offload = Offload::from_vnet(&tso(1000), &tcp(1000)).unwrap();
    assert_eq!(offload.gso, None);
    assert_eq!(
        offload.checksum,
        Checksum::Needed {
            start: 34,
            offset: 16
        }
    );
}

#[test]
fn tcp_without_an_open_checksum_is_cut_and_passed_on_as_it_came() {
    let header = VnetHeader {
        flags: 0,
        csum_start: 0.into(),
        csum_offset: 0.into(),
        hdr_len: 54.into(),
        ..tso(1000)
    };
    let offload = Offload::from_vnet(&header, &tcp(2500)).unwrap();
    assert!(offload.gso.is_some());
    assert_eq!(offload.to_vnet(), header);
}

#[test]
fn a_verified_checksum_stays_verified() {
    let header = VnetHeader {
        flags: vnet::F_DATA_VALID,
        ..VnetHeader::NONE
    };
    let offload = Offload::from_vnet(&header, &tcp(9)).unwrap();
    assert_eq!(offload.checksum, Checksum::Verified);
    assert_eq!(offload.to_vnet(), header);
}

#[test]
fn a_checksum_outside_the_packet_is_refused() {
    let frame = tcp(0);
    for (start, offset) in [(13, 2), (34, 19), (54, 0), (0xffff, 0xffff)] {
        let header = VnetHeader {
            flags: vnet::F_NEEDS_CSUM,
            csum_start: start.into(),
            csum_offset: offset.into(),
            ..VnetHeader::NONE
        };
        let want = BadOffload::ChecksumOutside { start, offset };
        assert_eq!(refusal(&header, &frame), want);
    }
}

#[test]
fn a_super_frame_that_contradicts_its_headers_is_refused() {
    let frame = tcp(3000);
    let with = |change: fn(&mut VnetHeader)| {
        let mut header = tso(1000);
        change(&mut header);
        refusal(&header, &frame)
    };
    assert_eq!(with(|h| h.gso_size = 0.into()), BadOffload::NoSegmentSize);
    assert_eq!(
        with(|h| h.gso_size = 7.into()),
        BadOffload::SegmentTooSmall(7)
    );
    assert_eq!(
        with(|h| h.gso_type = vnet::GSO_UDP),
        BadOffload::UnknownGso(3)
    );
    assert_eq!(
        with(|h| h.gso_type = vnet::GSO_UDP_L4 | vnet::GSO_ECN),
        BadOffload::UnknownGso(0x85)
    );
    for kind in [vnet::GSO_TCPV6, vnet::GSO_UDP_L4] {
        assert_eq!(
            Offload::from_vnet(
                &VnetHeader {
                    gso_type: kind,
                    ..tso(1000)
                },
                &frame
            ),
            Err(BadOffload::WrongProtocol)
        );
    }
    assert_eq!(
        with(|h| h.csum_offset = 6.into()),
        BadOffload::ChecksumElsewhere {
            start: 34,
            offset: 6
        }
    );
    assert_eq!(
        with(|h| h.csum_start = 38.into()),
        BadOffload::ChecksumElsewhere {
            start: 38,
            offset: 16
        }
    );
}

#[test]
fn a_super_frame_whose_headers_are_not_whole_is_refused() {
    let fragment = |mut frame: Vec<u8>| {
        frame[20] = 0x20;
        frame
    };
    let long_data_offset = |mut frame: Vec<u8>| {
        frame[46] = 0xf0;
        frame
    };
    let no_flags = VnetHeader {
        flags: 0,
        ..tso(1000)
    };
    for frame in [
        fragment(tcp(3000)),
        long_data_offset(tcp(39)),
        tcp(0)[..53].to_vec(),
        tcp(0)[..20].to_vec(),
        Vec::new(),
    ] {
        assert_eq!(refusal(&no_flags, &frame), BadOffload::NoTransport);
    }
}

#[test]
fn a_udp_super_frame_whose_checksum_is_not_left_open_is_refused() {
    let mut frame = tcp(3000);
    frame[23] = transport::UDP;
    let header = VnetHeader {
        flags: 0,
        gso_type: vnet::GSO_UDP_L4,
        ..tso(1000)
    };
    assert_eq!(refusal(&header, &frame), BadOffload::ChecksumNotLeft);
    let header = VnetHeader {
        flags: vnet::F_NEEDS_CSUM,
        csum_offset: 6.into(),
        ..header
    };
    let gso = Offload::from_vnet(&header, &frame).unwrap().gso.unwrap();
    assert_eq!((gso.kind, gso.header_len), (GsoKind::Udp, 42));
}

#[test]
fn a_super_frame_longer_than_an_ip_packet_is_refused() {
    let most = tcp(65_535 - 40);
    assert!(Offload::from_vnet(&tso(1000), &most).is_ok());
    let more = tcp(65_536 - 40);
    assert_eq!(refusal(&tso(1000), &more), BadOffload::TooLong(65_536));
}

#[test]
fn a_super_frame_with_too_many_headers_is_refused() {
    // Ethernet, IPv6, a destination header of 512 bytes, UDP.
    let mut frame = vec![0; 14 + 40 + 512 + 8 + 3000];
    (frame[12], frame[13], frame[14], frame[20]) = (0x86, 0xdd, 0x60, 60);
    (frame[54], frame[55]) = (transport::UDP, 63);
    let header = VnetHeader {
        gso_type: vnet::GSO_UDP_L4,
        csum_start: 566.into(),
        csum_offset: 6.into(),
        ..tso(1000)
    };
    assert_eq!(refusal(&header, &frame), BadOffload::HeadersTooLong(574));
}

/// An SCTP packet over IPv4 with a chunk of `body` bytes, its checksum open.
fn sctp(body: usize) -> (VnetHeader, Vec<u8>) {
    let mut frame = tcp(body);
    frame.truncate(14 + 20 + 12 + body);
    frame[23] = transport::SCTP;
    let header = VnetHeader {
        flags: vnet::F_NEEDS_CSUM,
        csum_start: 34.into(),
        csum_offset: 8.into(),
        ..VnetHeader::NONE
    };
    (header, frame)
}

#[test]
fn the_crc_of_sctp_is_no_sum_and_is_left_to_no_egress() {
    let (header, frame) = sctp(40);
    let offload = Offload::from_vnet(&header, &frame).unwrap();
    assert_eq!(offload.checksum, Checksum::NeededCrc32c { start: 34 });
    assert_eq!(offload.to_vnet(), header);
    assert!(!Abilities::ALL.take(&offload));
    // Whatever else has its checksum there is summed.
    let mut frame = frame;
    frame[23] = 200;
    let offload = Offload::from_vnet(&header, &frame).unwrap();
    let offset = 8;
    assert_eq!(offload.checksum, Checksum::Needed { start: 34, offset });
}

#[test]
fn an_sctp_header_cut_short_or_in_a_super_frame_is_refused() {
    let (header, frame) = sctp(40);
    let (start, offset) = (34, 8);
    let outside = BadOffload::ChecksumOutside { start, offset };
    assert_eq!(refusal(&header, &frame[..45]), outside);
    let gso_type = vnet::GSO_TCPV4;
    let gso_size = 9.into();
    let header = VnetHeader {
        gso_type,
        gso_size,
        ..header
    };
    assert_eq!(refusal(&header, &frame), BadOffload::WrongProtocol);
}

/// Headers that are right but for some fields, over frames that are whole
/// but for some bytes.
fn hostile() -> impl Strategy<Value = (VnetHeader, Vec<u8>)> {
    let lies = (
        prop::option::weighted(0.3, any::<[u8; 2]>()),
        prop::option::weighted(0.3, any::<[u16; 2]>()),
        prop::option::weighted(0.2, 0..200_usize),
        prop::collection::vec((0..200_usize, any::<u8>()), 0..3),
    );
    let sample = prop_oneof![
        samples::packet().prop_map(|packet| packet.build()),
        tunnelled().prop_map(|packet| packet.build()),
    ];
    (sample, 1..3000_u16, lies).prop_map(
        |(sample, size, (kinds, checksum, len, bytes)): (Sample, _, _)| {
            let mut header = sample.vnet(size);
            let mut frame = sample.frame;
            if let Some([flags, kind]) = kinds {
                (header.flags, header.gso_type) = (flags, kind & 0x87);
            }
            if let Some([start, offset]) = checksum {
                header.csum_start = (start % 200).into();
                header.csum_offset = offset.into();
            }
            for (at, byte) in bytes {
                if let Some(to) = frame.get_mut(at) {
                    *to = byte;
                }
            }
            frame.truncate(len.unwrap_or(usize::MAX));
            (header, frame)
        },
    )
}

proptest! {
    #[test]
    fn an_honest_header_is_taken_and_comes_back(
        packet in samples::packet(),
        size in MIN_GSO_SIZE..3000,
    ) {
        let sample = packet.build();
        let len = sample.frame.len();
        let header = sample.vnet(size);
        let offload = Offload::from_vnet(&header, &sample.frame).unwrap();
        let payload = len - sample.payload;
        prop_assert_eq!(offload.gso.is_some(), payload > usize::from(size));
        prop_assert_eq!(offload.segments(len), payload.div_ceil(size.into()));
        if let Some(gso) = offload.gso {
            prop_assert_eq!(usize::from(gso.header_len), sample.payload);
            let want = VnetHeader { hdr_len: gso.header_len.into(), ..header };
            prop_assert_eq!(offload.to_vnet(), want);
        }
    }

    #[test]
    fn an_honest_super_frame_in_a_tunnel_is_taken_and_for_no_egress_as_it_is(
        packet in tunnelled(),
        size in MIN_GSO_SIZE..3000,
    ) {
        let sample = packet.build();
        prop_assume!(sample.frame.len() - sample.payload > size.into());
        let offload = Offload::from_vnet(&sample.vnet(size), &sample.frame).unwrap();
        let gso = offload.gso.unwrap();
        prop_assert_eq!(usize::from(gso.header_len), sample.payload);
        prop_assert_eq!(gso.inner_network().map(usize::from), Some(sample.network));
        prop_assert!(!Abilities::ALL.take(&offload));
    }

    #[test]
    fn what_is_taken_from_a_hostile_sender_can_be_done(
        (header, frame) in hostile(),
    ) {
        let Ok(offload) = Offload::from_vnet(&header, &frame) else {
            return Ok(());
        };
        prop_assert_eq!(Offload::from_vnet(&offload.to_vnet(), &frame), Ok(offload));
        if let Checksum::Needed { start, offset } = offload.checksum {
            prop_assert!(checksum::field(&frame, start.into(), offset.into()).is_some());
        }
        if let Some(gso) = offload.gso {
            let mut segments = Segments::new(&frame, &gso).unwrap();
            let mut slot = [0; MAX_HEAD];
            let (mut count, mut largest, mut payload) = (0, 0, Vec::<u8>::new());
            while let Some(segment) = segments.write_next(&mut slot) {
                count += 1;
                largest = largest.max(segment.head + segment.body.len());
                payload.extend(segment.body);
            }
            prop_assert_eq!(count, offload.segments(frame.len()));
            prop_assert_eq!(largest, offload.largest_segment(frame.len()));
            prop_assert_eq!(&payload, &frame[gso.header_len.into()..]);
        }
    }

    #[test]
    fn random_headers_over_random_bytes_do_not_panic(
        header: [u8; vnet::LEN],
        frame in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let header = VnetHeader::from_legacy(&header).unwrap();
        if let Ok(offload) = Offload::from_vnet(&header, &frame) {
            prop_assert_eq!(Offload::from_vnet(&offload.to_vnet(), &frame), Ok(offload));
        }
    }
}
