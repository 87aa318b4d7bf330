//! Messages to bytes and back.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{Header, Request, Response, encode, parse};
use crate::outcome::Silence;

/// A client's message with `options` as they stand on the wire, and the fields
/// `file` and `sname`.
fn message(options: &[u8], file: &[u8], sname: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..3].copy_from_slice(&[1, 1, 6]);
    bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 1]);
    bytes[44..44 + sname.len()].copy_from_slice(sname);
    bytes[108..108 + file.len()].copy_from_slice(file);
    bytes.extend([99, 130, 83, 99]);
    bytes.extend(options);
    bytes
}

/// A DISCOVER with `options`.
fn discover(options: &[u8]) -> Request {
    let options = [&[53, 1, 1], options].concat();
    parse(&message(&options, &[], &[])).unwrap()
}

/// Options as they stand in a field.
fn options(list: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let part = |(code, value): &(u8, Vec<u8>)| {
        [
            &[*code, u8::try_from(value.len()).unwrap()],
            value.as_slice(),
        ]
        .concat()
    };
    list.iter().flat_map(part).collect()
}

#[test]
fn the_parts_of_an_option_are_joined_over_all_fields() {
    let head = [
        53, 1, 1, 52, 1, 3, 60, 2, b'P', b'X', 12, 1, b'a', 60, 1, b'E', 255,
    ];
    let bytes = message(&head, b"\x3c\x02Cl\xff\x3c\x01?", b"\x00\x3c\x04ient");
    let request = parse(&bytes).unwrap();
    assert_eq!(request.vendor_class.as_deref(), Some(&b"PXEClient"[..]));
    assert_eq!(request.hostname.as_deref(), Some(&b"a"[..]));
}

#[test]
fn what_a_boot_rom_says_is_read() {
    let request = discover(&options(&[
        (93, vec![0, 7, 0, 16, 9]),
        (97, vec![0; 17]),
        (77, b"iPXE".to_vec()),
        (80, vec![]),
        (118, vec![10, 0, 0, 0]),
    ]));
    assert_eq!(request.architectures, [7, 16]);
    assert_eq!(request.machine_id, Some([0; 17]));
    assert_eq!(request.user_classes, [Box::from(&b"iPXE"[..])]);
    assert!(request.rapid_commit);
    assert_eq!(request.subnet_selection, Some(Ipv4Addr::new(10, 0, 0, 0)));
}

#[test]
fn what_is_said_in_no_form_counts_for_nothing() {
    let request = discover(&options(&[
        (93, vec![1]),
        (97, vec![0; 16]),
        (118, vec![10]),
    ]));
    assert!(request.architectures.is_empty());
    assert_eq!((request.machine_id, request.subnet_selection), (None, None));
}

#[test]
fn an_identifier_of_rfc_4361_is_taken_as_it_is() {
    let id = [
        &[255, 0, 0, 0, 1, 0, 3, 0, 1],
        &[0x52, 0x54, 0, 0, 0, 1][..],
    ]
    .concat();
    let request = discover(&options(&[(61, id.clone())]));
    assert_eq!(request.client_id, Some(id));
}

#[test]
fn only_a_client_that_renews_has_an_address() {
    let with_address = |options: &[u8]| {
        let mut bytes = message(options, &[], &[]);
        bytes[12..16].copy_from_slice(&[10, 0, 0, 9]);
        parse(&bytes).unwrap().ciaddr
    };
    assert_eq!(with_address(&[53, 1, 3]), Ipv4Addr::new(10, 0, 0, 9));
    let none = Ipv4Addr::UNSPECIFIED;
    assert_eq!(with_address(&[53, 1, 1]), none);
    assert_eq!(with_address(&[53, 1, 3, 50, 4, 10, 0, 0, 8]), none);
}

/// The options in `field` up to the end marker, which has to be there.
fn read(mut field: &[u8], found: &mut Vec<(u8, Vec<u8>)>) {
    loop {
        match field {
            [255, rest @ ..] => return assert!(rest.iter().all(|byte| *byte == 0)),
            [code, len, rest @ ..] => {
                let (value, rest) = rest.split_at(usize::from(*len));
                match found.last_mut() {
                    Some((last, whole)) if last == code => whole.extend(value),
                    _ => found.push((*code, value.to_vec())),
                }
                field = rest;
            }
            _ => panic!("no end marker"),
        }
    }
}

proptest! {
    #[test]
    fn every_option_of_a_reply_is_whole_in_its_place_or_left_out(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..12),
        max_message in prop::option::of(any::<u16>()),
        mtu in prop::option::of(any::<u16>()),
        relay in prop::option::of(prop::collection::vec(any::<u8>(), 0..=255)),
        asks: bool,
        file in "[a-z]{0,127}",
        sname in "[a-z]{0,63}",
    ) {
        let mut said = options(&max_message.map(|m| (57, m.to_be_bytes().to_vec())).into_iter().collect::<Vec<_>>());
        if asks { said.extend([55, 1, 3]); }
        if let Some(relay) = &relay { said.extend(options(&[(82, relay.clone())])); }
        let request = discover(&said);
        let list: Vec<(u8, Cow<'_, [u8]>)> = (100..).zip(values.iter().map(|v| v.as_slice().into())).collect();
        let header = Header {
            response: Response::Offer,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::new(10, 0, 0, 9),
            siaddr: Ipv4Addr::new(10, 0, 0, 1),
            broadcast: false,
            sname: sname.as_bytes(),
            file: file.as_bytes(),
            mtu,
        };
        let mut left_out = Vec::new();
        let bytes = encode(&request, header, &list, &mut left_out).unwrap();
        let limit = max_message.unwrap_or(576).clamp(576, mtu.unwrap_or(1500).clamp(576, 1500));
        prop_assert!((300..=usize::from(limit - 28)).contains(&bytes.len()));

        let mut found = Vec::new();
        read(&bytes[240..], &mut found);
        prop_assert_eq!(&found[0], &(53, vec![2]));
        prop_assert_eq!(found.last().filter(|(code, _)| *code == 82).map(|(_, v)| v), relay.as_ref());
        let overload = found.iter().find(|(code, _)| *code == 52).map_or(0, |(_, v)| v[0]);
        prop_assert!(overload == 0 || asks);
        if overload & 1 != 0 {
            read(&bytes[108..236], &mut found);
        } else {
            prop_assert_eq!(&bytes[108..108 + file.len()], file.as_bytes());
        }
        if overload & 2 != 0 {
            read(&bytes[44..108], &mut found);
        } else {
            prop_assert_eq!(&bytes[44..44 + sname.len()], sname.as_bytes());
        }
        for (code, value) in &list {
            let sent = found.iter().find(|(found, _)| found == code).map(|(_, v)| v.as_slice());
            prop_assert_eq!(sent.is_none(), left_out.contains(code));
            prop_assert!(sent.is_none_or(|sent| sent == &value[..]));
        }
        // Nothing is left out that had room.
        let needed: usize = values.iter().map(|v| v.len() + 2 * v.len().div_ceil(255).max(1)).sum();
        let others = 240 + 3 + relay.map_or(0, |r| r.len() + 2) + 1;
        prop_assert!(left_out.is_empty() || others + needed > usize::from(limit - 28));
    }

    #[test]
    fn any_options_in_any_field_are_read_or_refused(
        head in prop::collection::vec(any::<u8>(), 0..300),
        overload in 0u8..4,
        file in prop::collection::vec(any::<u8>(), 128),
        sname in prop::collection::vec(any::<u8>(), 64),
    ) {
        let head = [&[53, 1, 3, 52, 1, overload], head.as_slice()].concat();
        let _: Result<Request, Silence> = parse(&message(&head, &file, &sname));
    }
}
