use super::*;
use crate::MacAddr;
use crate::control::Workers;
use crate::forward::{Role, Settings};
use crate::port::stream;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn switch() -> Switch {
    let settings = Settings {
        mac: MacAddr(2, 0, 0, 0, 0, 1),
        gateway: None,
        former_gateways: Vec::new(),
        mtu: 1500,
        dhcp: false,
        dns: false,
        ageing: Some(3000),
        fdb_size: 64,
    };
    let workers = Workers {
        count: 2,
        polling: Duration::ZERO,
    };
    Switch::start(&settings, workers, |_| None).unwrap().0
}

/// A port, and its peer's end, which does not wait for ever.
fn port(switch: &Switch) -> (PortId, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let id = switch.add_port(stream::open(ours).unwrap(), Role::Station);
    (id.unwrap(), peer)
}

/// A broadcast of the station `n`, as a stream has it.
fn message(n: u8) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 60];
    message.extend([0xff; 6]);
    message.extend([2, 0, 0, 0, 1, n]);
    message.resize(64, n);
    message
}

fn next(peer: &mut UnixStream) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_port_goes_on_in_another_switch_with_its_frames_stations_and_counters() {
    let old = switch();
    let (a, mut guest_a) = port(&old);
    let (b, mut guest_b) = port(&old);
    guest_a.write_all(&message(1)).unwrap();
    assert_eq!(next(&mut guest_b), message(1));

    let paused = old.pause().unwrap();
    // What comes while nobody forwards, cut in the middle of a frame.
    guest_a.write_all(&message(2)).unwrap();
    guest_a.write_all(&message(3)[..30]).unwrap();

    let new = switch();
    let mut stations = old.fdb();
    let mut unread = Vec::new();
    for id in [a, b] {
        let handed = old.hand_over(id).unwrap();
        let [file] = <[_; 1]>::try_from(handed.files).unwrap();
        let adopted = stream::adopt(file.into(), handed.begun, handed.part).unwrap();
        unread.push(new.add_unread(adopted, Role::Station).unwrap());
        let same = unread.last().unwrap().id;
        assert_eq!(same, id, "numbers go round alike");
        let counted = paused.counters.iter().find(|(of, _)| *of == id).unwrap();
        new.count_from(id, counted.1);
    }
    stations.sort_by_key(|station| station.mac);
    new.remember(&stations);
    for port in unread {
        new.read(port).unwrap();
    }
    assert_eq!(next(&mut guest_b), message(2));
    guest_a.write_all(&message(3)[30..]).unwrap();
    assert_eq!(next(&mut guest_b), message(3));

    let counters: HashMap<_, _> = new.counters().unwrap().into_iter().collect();
    assert_eq!(counters[&a].rx.frames, 3);
    assert_eq!(counters[&b].tx.frames, 3);
    let known: Vec<_> = new.fdb().iter().map(|it| (it.mac, it.port)).collect();
    assert!(known.contains(&(MacAddr(2, 0, 0, 0, 1, 1), a)), "{known:?}");
}

#[test]
fn workers_that_rested_go_on_with_what_came_meanwhile() {
    let switch = switch();
    let (_, mut guest_a) = port(&switch);
    let (_, mut guest_b) = port(&switch);
    let paused = switch.pause().unwrap();
    guest_a.write_all(&message(1)).unwrap();
    guest_b.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let early = guest_b.read(&mut [0; 64]).unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
    drop(paused);
    guest_b.set_nonblocking(false).unwrap();
    assert_eq!(next(&mut guest_b), message(1));
    switch.check_in().unwrap();
}

#[test]
fn the_age_of_a_station_is_handed_over() {
    let new = switch();
    let (id, _peer) = port(&new);
    let mac = MacAddr(2, 0, 0, 0, 1, 9);
    let entry = |age, is_static| Entry {
        mac,
        vlan: 0,
        port: id,
        is_static,
        age,
    };
    new.remember(&[entry(1234, false)]);
    let age = new.fdb()[0].age;
    assert!((1234..1300).contains(&age), "{age}");
    new.remember(&[entry(0, true)]);
    assert!(new.fdb()[0].is_static);
}

#[test]
fn a_peer_with_less_room_than_its_frame_gets_it_through() {
    let switch = switch();
    let (_, mut guest_a) = port(&switch);
    let (_, mut guest_b) = port(&switch);
    let mut frame = message(1);
    frame.resize(4 + 1514, 1);
    frame[..4].copy_from_slice(&1514u32.to_be_bytes());
    // The kernel has room for some 300 of such writes.
    for byte in &frame {
        guest_a.write_all(&[*byte]).unwrap();
    }
    let mut got = vec![0; frame.len()];
    guest_b.read_exact(&mut got).unwrap();
    assert_eq!(got, frame);
}
