//! Messages that no honest client sends, and many in any order.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::leasefile;

fn refused(bytes: &[u8]) -> Silence {
    let mut server = server(config(254));
    let outcome = server.handle(bytes, sender(1, 1), T0);
    assert_eq!((outcome.changes, outcome.events), (vec![], vec![]));
    assert_eq!(server.leases(T0).count(), 0);
    match outcome.answer {
        Answer::Silence(silence) => silence,
        Answer::Reply(_) | Answer::Probe(_) => panic!("answered"),
    }
}

/// A DISCOVER with one byte changed.
fn spoilt(at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = discover(1).bytes();
    bytes[at] = byte;
    bytes
}

#[test]
fn a_message_must_be_a_dhcp_request_of_one_ethernet_station() {
    assert_eq!(refused(&[]), Silence::Truncated);
    assert_eq!(refused(&discover(1).bytes()[..239]), Silence::Truncated);
    assert_eq!(refused(&spoilt(0, 2)), Silence::NotRequest);
    assert_eq!(refused(&spoilt(1, 6)), Silence::NotEthernet);
    for hlen in [0, 5, 7, 16, 17, 255] {
        assert_eq!(refused(&spoilt(2, hlen)), Silence::NotEthernet, "{hlen}");
    }
    assert_eq!(refused(&spoilt(239, 0)), Silence::NoCookie);
    assert_eq!(refused(&spoilt(28, 0x53)), Silence::BadMac);
    let zero = Message::new(DISCOVER, MacAddr::zero());
    assert_eq!(refused(&zero.bytes()), Silence::BadMac);
    assert_eq!(refused(&spoilt(27, 1)), Silence::UnknownSubnet);
}

#[test]
fn an_option_must_lie_in_its_field_and_have_its_length() {
    let plain = discover(1).bytes();
    for tail in [&[12, 5, b'a'][..], &[12], &[12, 255]] {
        let mut bytes = plain.clone();
        bytes.pop();
        bytes.extend(tail);
        assert_eq!(refused(&bytes), Silence::BadOption, "{tail:?}");
    }
    for (code, len) in [
        (50, 3),
        (50, 5),
        (51, 0),
        (54, 8),
        (57, 1),
        (52, 2),
        (53, 1),
    ] {
        // A second part of option 53 makes it two bytes long.
        let message = discover(1).option(code, &vec![1; len]);
        assert_eq!(refused(&message.bytes()), Silence::BadOption, "{code}");
    }
}

#[test]
fn a_message_type_must_be_a_clients() {
    let mut bytes = discover(1).bytes();
    bytes[240] = 254;
    assert_eq!(refused(&bytes), Silence::NoMessageType);
    for kind in [0, OFFER, ACK, NAK, 9, 13, 255] {
        let message = Message::new(kind, mac(1));
        assert_eq!(refused(&message.bytes()), Silence::UnknownMessageType);
    }
}

#[test]
fn options_behind_the_end_marker_and_without_one_are_no_matter() {
    let mut bytes = discover(1).bytes();
    bytes.extend([12, 200]);
    received(&server(config(254)).handle(&bytes, sender(1, 1), T0));
    let mut bytes = discover(1).bytes();
    bytes.pop();
    received(&server(config(254)).handle(&bytes, sender(1, 1), T0));
}

#[test]
fn odd_lengths_that_dhcproto_asserts_are_harmless() {
    for code in [80, 81, 82, 93, 94, 119, 121, 151, 152, 153, 154, 155] {
        for len in 0..6 {
            let message = discover(1).option(code, &vec![0xc0; len]);
            received(&message.to(&mut server(config(254)), T0));
        }
    }
}

#[test]
fn an_option_in_parts_is_joined() {
    let mut server = server(config(254));
    let request = reboot(1, ip(42))
        .option(12, b"d")
        .option(12, b"b")
        .option(61, &[0, 1])
        .option(12, b"-1")
        .option(61, &[2]);
    assert_eq!(received(&request.to(&mut server, T0)).kind, ACK);
    let view = server.leases(T0).next().unwrap();
    assert_eq!(view.hostname, Some("db-1"));
    assert_eq!(view.client_id, Some(&[0, 1, 2][..]));
}

#[test]
fn an_identifier_longer_than_any_option_is_not_kept() {
    let mut server = server(config(254));
    let mut request = reboot(1, ip(42));
    for _ in 0..50 {
        request = request.option(61, &[7; 255]);
    }
    assert_eq!(received(&request.to(&mut server, T0)).kind, ACK);
    assert_eq!(server.leases(T0).next().unwrap().client_id, None);
}

#[test]
fn overloaded_fields_are_read_once_and_within_their_bounds() {
    let overloaded = |value: u8, file: &[u8], sname: &[u8]| {
        let mut message = reboot(1, ip(42)).option(52, &[value]);
        message.0[108..108 + file.len()].copy_from_slice(file);
        message.0[44..44 + sname.len()].copy_from_slice(sname);
        let mut server = server(config(254));
        let outcome = message.to(&mut server, T0);
        let name = server.leases(T0).next();
        let name = name.and_then(|v| v.hostname).map(String::from);
        match outcome.answer {
            Answer::Reply(_) => Ok(name),
            Answer::Silence(silence) => Err(silence),
            Answer::Probe(_) => panic!("probes are off"),
        }
    };
    let (file, sname) = (&[12, 1, b'f', 255][..], &[12, 1, b's', 255][..]);
    assert_eq!(overloaded(1, file, sname), Ok(Some("f".into())));
    assert_eq!(overloaded(2, file, sname), Ok(Some("s".into())));
    assert_eq!(overloaded(3, file, sname), Ok(Some("fs".into())));
    assert_eq!(overloaded(0, file, sname), Err(Silence::BadOption));
    assert_eq!(overloaded(4, file, sname), Err(Silence::BadOption));
    // Overload inside an overloaded field, as a loop would need it.
    let again = &[52, 1, 3, 12, 1, b'f', 255][..];
    assert_eq!(overloaded(1, again, again), Ok(Some("f".into())));
    // An option that would run from one field into the next.
    let mut long = [0; 64];
    long[62..].copy_from_slice(&[12, 9]);
    assert_eq!(overloaded(2, &[], &long), Err(Silence::BadOption));
}

/// What a generated client does.
fn step() -> impl Strategy<Value = (u8, u8, u8, u8, u64, bool)> {
    (
        0u8..8,                    // message
        1u8..12,                   // client
        0u8..14,                   // last byte of an address
        0u8..4,                    // client identifier, shared by some
        0u64..1500,                // seconds until the next
        prop::bool::weighted(0.1), // the write fails
    )
}

fn message(kind: u8, client: u8, address: Ipv4Addr, id: u8) -> Message {
    let release = Message::new(RELEASE, mac(client)).ciaddr(address);
    let decline = Message::new(DECLINE, mac(client)).requested(address);
    let message = match kind {
        0 => discover(client),
        1 => discover(client).requested(address),
        2 | 3 => select(client, address),
        4 => reboot(client, address),
        5 => renew(client, address),
        6 => release,
        _ => decline,
    };
    if id == 0 {
        message
    } else {
        message.option(61, &[0, id])
    }
}

proptest! {
    /// Clients believe the ACKs that they get, until their lease runs out or
    /// they give it up; no two of them may believe in one address.
    #[test]
    fn no_address_is_ever_with_two_clients(
        steps in prop::collection::vec(step(), 1..200),
        max_leases in 4usize..12,
    ) {
        let mut config = config(8);
        config.lease_time = crate::LeaseTime::Seconds(3000);
        config.max_leases = max_leases;
        config.hosts = vec![
            host(mac(3).into(), 5, "three"),
            host(HostKey::ClientId(vec![0, 2]), 10, ""),
        ];
        let mut narrow = config.clone();
        narrow.ranges = vec![Range::new(ip(4)..=ip(7))];
        narrow.hosts = vec![host(mac(4).into(), 3, "")];
        let mut server = server(config.clone());
        let mut believed: HashMap<MacAddr, (Ipv4Addr, u64)> = HashMap::new();
        let mut disk: HashMap<MacAddr, crate::Lease> = HashMap::new();
        let mut offered: HashMap<u8, Ipv4Addr> = HashMap::new();
        let mut now = T0;
        for (i, (kind, client, last, id, wait, write_fails)) in steps.into_iter().enumerate() {
            // Half of the requests follow the offer, or are about the own address.
            let address = match (kind, believed.get(&mac(client))) {
                (2, _) => offered.get(&client).copied().unwrap_or(ip(last)),
                (5..=7, Some((own, _))) if last % 2 == 0 => *own,
                _ => ip(last),
            };
            let outcome = message(kind, client, address, id).to(&mut server, now);
            if write_fails {
                for change in outcome.changes.iter().rev() {
                    server.undo(change, now);
                }
            } else {
                for change in &outcome.changes {
                    let mac = change.mac().unwrap();
                    prop_assert_eq!(disk.get(&mac), change.before.as_ref());
                    match &change.after {
                        Some(lease) => disk.insert(mac, lease.clone()),
                        None => disk.remove(&mac),
                    };
                }
            }
            if (6..=7).contains(&kind) && believed.get(&mac(client)).is_some_and(|b| b.0 == address) {
                believed.remove(&mac(client));
            }
            if let Answer::Reply(_) = &outcome.answer {
                let reply = received(&outcome);
                match reply.kind {
                    OFFER => { offered.insert(client, reply.yiaddr); }
                    ACK if !write_fails => {
                        let time: [u8; 4] = reply.options[&51][..].try_into().unwrap();
                        let until = now + u64::from(u32::from_be_bytes(time));
                        believed.insert(mac(client), (reply.yiaddr, until));
                    }
                    NAK => { believed.remove(&mac(client)); }
                    _ => {}
                }
            }
            believed.retain(|_, (_, until)| *until > now);
            let addresses: HashSet<_> = believed.values().map(|b| b.0).collect();
            prop_assert_eq!(addresses.len(), believed.len(), "{:?}", believed);
            // The server shows each address once and knows every live lease.
            let bindings: HashMap<_, _> = server.bindings(now).collect();
            prop_assert_eq!(bindings.len(), server.used());
            prop_assert!(server.records().count() <= max_leases);
            for (mac, (address, _)) in &believed {
                prop_assert_eq!(bindings.get(address), Some(mac));
            }
            let kept: HashMap<_, _> = server.records().map(|l| (l.mac, l.clone())).collect();
            prop_assert_eq!(&kept, &disk, "what is on disk is what is served");
            match i % 50 {
                // A crash: only what was written is there afterwards.
                20 => {
                    let file = leasefile::format(disk.values());
                    let leases = leasefile::parse(file.as_bytes()).map(Result::unwrap);
                    server = Server::new(server.config().clone(), leases, 7, now).unwrap();
                    for (gone, _) in server.not_loaded() { disk.remove(&gone.mac); }
                }
                30 | 45 => {
                    let next = if i % 50 == 30 { &narrow } else { &config };
                    server.reconfigure(next.clone(), now).unwrap();
                    let kept: HashSet<_> = server.records().map(|l| l.mac).collect();
                    disk.retain(|mac, lease| {
                        assert!(kept.contains(mac) || !lease.is_live(now));
                        kept.contains(mac)
                    });
                }
                _ => {}
            }
            now += wait;
        }
    }

    /// The same by client identifier, and with what a lease belongs to changed
    /// on the way: each address and each identifier is in one record, and the
    /// records are those on disk.
    #[test]
    fn by_client_id_each_client_has_one_record(
        steps in prop::collection::vec(step(), 1..200),
        switches in any::<bool>(),
    ) {
        let mut by_id = config(8);
        by_id.lease_time = crate::LeaseTime::Seconds(3000);
        by_id.identity = crate::Identity::ClientId;
        by_id.hosts = vec![host(mac(3).into(), 5, "three")];
        let mut by_mac = by_id.clone();
        by_mac.identity = crate::Identity::Mac;
        let mut server = server(by_id.clone());
        let mut disk: HashMap<Ipv4Addr, crate::Lease> = HashMap::new();
        let mut now = T0;
        for (i, (kind, client, last, id, wait, write_fails)) in steps.into_iter().enumerate() {
            let outcome = message(kind, client, ip(last), id).to(&mut server, now);
            if write_fails {
                for change in outcome.changes.iter().rev() {
                    server.undo(change, now);
                }
            } else {
                for change in &outcome.changes {
                    if let Some(before) = &change.before {
                        let gone = disk.remove(&before.address);
                        prop_assert_eq!(gone.as_ref(), Some(before));
                    }
                    if let Some(after) = &change.after {
                        prop_assert_eq!(disk.insert(after.address, after.clone()), None);
                    }
                }
            }
            let kept: HashMap<_, _> = server.records().map(|l| (l.address, l.clone())).collect();
            prop_assert_eq!(&kept, &disk, "what is on disk is what is served");
            let by_client_id = server.config().identity == crate::Identity::ClientId;
            let ids: Vec<_> = disk.values().filter_map(|l| l.client_id.clone()).collect();
            let different: HashSet<_> = ids.iter().collect();
            prop_assert!(!by_client_id || different.len() == ids.len(), "{:?}", disk);
            prop_assert_eq!(server.bindings(now).count(), server.used());
            match i % 50 {
                20 => {
                    let leases: Vec<_> = disk.values().cloned().collect();
                    server = Server::new(server.config().clone(), leases, 7, now).unwrap();
                    for (gone, _) in server.not_loaded() { disk.remove(&gone.address); }
                }
                30 | 45 if switches => {
                    let next = if i % 50 == 30 { &by_mac } else { &by_id };
                    let live = server.used();
                    // Refused where it would end a live lease.
                    let changed = server.reconfigure(next.clone(), now);
                    prop_assert_eq!(server.used(), live, "{:?}", changed);
                    if changed.is_ok() {
                        for (gone, _) in server.not_loaded() { disk.remove(&gone.address); }
                    }
                    let kept: HashSet<_> = server.records().map(|l| l.address).collect();
                    disk.retain(|address, _| kept.contains(address));
                }
                _ => {}
            }
            now += wait;
        }
    }

    #[test]
    fn random_bytes_behind_a_good_header_never_panic(
        kind in 0u8..10,
        tail in prop::collection::vec(any::<u8>(), 0..400),
        fields in prop::collection::vec((0usize..236, any::<u8>()), 0..8),
    ) {
        let mut server = server(config(9));
        let mut bytes = Message::new(kind, mac(1)).0;
        bytes.extend(&tail);
        server.handle(&bytes, sender(1, 1), T0);
        for (at, byte) in fields { bytes[at] = byte; }
        server.handle(&bytes, sender(1, 1), T0);
        server.handle(&tail, sender(1, 1), T0);
    }

    #[test]
    fn mutated_messages_never_panic_and_memory_stays_bounded(
        messages in prop::collection::vec(
            (1u8..9, any::<[u8; 5]>(), prop::collection::vec((0usize..320, any::<u8>()), 0..6)),
            1..60,
        ),
    ) {
        let mut config = config(254);
        config.max_leases = 10;
        let mut server = server(config);
        for (kind, tail, mutations) in messages {
            let [a, b, c, d, e] = tail;
            let client = MacAddr(2, a, b, c, d, e);
            let mut bytes = Message::new(kind, client)
                .requested(ip(a))
                .option(61, &tail)
                .option(12, b"db")
                .option(81, b"\x04\x00\x00\x02db\x00")
                .option(55, &[1, 3, 6])
                .option(57, &[2, 64])
                .bytes();
            for (at, byte) in mutations {
                if let Some(to) = bytes.get_mut(at) { *to = byte; }
            }
            let sender = Sender { origin: Origin(a.into()), mac: client, unicast: false };
            let outcome = server.handle(&bytes, sender, T0);
            if let Answer::Reply(reply) = &outcome.answer {
                prop_assert!((300..=1472).contains(&reply.message.len()));
            }
        }
        prop_assert!(server.leases(T0).count() <= 3 * 10);
    }
}
