use super::super::{Switch, Workers};
use crate::MacAddr;
use crate::forward::{Role, Settings};
use crate::port::stream;
use crate::table::PortId;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ONE: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const TWO: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);

fn switch() -> Switch {
    let settings = Settings {
        mac: MacAddr(2, 0, 0, 0, 0, 9),
        gateway: None,
        former_gateways: Vec::new(),
        mtu: 1500,
        dhcp: false,
        dns: false,
        ageing: None,
        fdb_size: 16,
    };
    let workers = Workers {
        count: 1,
        polling: Duration::ZERO,
    };
    Switch::start(&settings, workers, |_| None).unwrap().0
}

/// A port, and the other end of its socket.
fn port(switch: &Switch) -> (PortId, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let port = stream::open(ours).unwrap();
    theirs
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    (switch.add_port(port, Role::Station).unwrap(), theirs)
}

/// A frame of 60 bytes with its length before it.
fn frame(to: MacAddr, from: MacAddr, number: u32) -> Vec<u8> {
    let mut frame = [&60_u32.to_be_bytes()[..], &to.octets(), &from.octets()].concat();
    frame.extend(0x88b5_u16.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame.resize(64, 0);
    frame
}

fn number_of(peer: &mut UnixStream) -> u32 {
    let mut frame = [0; 64];
    peer.read_exact(&mut frame).unwrap();
    u32::from_be_bytes([frame[18], frame[19], frame[20], frame[21]])
}

/// Frames that the switch has received by `port`.
fn received(switch: &Switch, port: PortId) -> u64 {
    let counters = switch.counters().unwrap();
    let (_, counters) = counters.into_iter().find(|(id, _)| *id == port).unwrap();
    counters.rx.frames
}

#[test]
fn no_frame_is_lost_or_overtaken_while_workers_come_and_go() {
    const FRAMES: u32 = 40_000;
    let switch = switch();
    let (first, mut one) = port(&switch);
    let (_, mut two) = port(&switch);
    two.write_all(&frame(ONE, TWO, u32::MAX)).unwrap();
    assert_eq!(number_of(&mut one), u32::MAX);
    let mut last = received(&switch, first);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for number in 0..FRAMES {
                one.write_all(&frame(TWO, ONE, number)).unwrap();
                // One that cannot leave is dropped by design: wait for it.
                if number % 64 == 63 {
                    let mut ack = [0; 64];
                    one.read_exact(&mut ack).unwrap();
                }
            }
        });
        let receiver = scope.spawn(|| {
            for number in 0..FRAMES {
                assert_eq!(number_of(&mut two), number);
                if number % 64 == 63 {
                    two.write_all(&frame(ONE, TWO, number)).unwrap();
                }
            }
        });
        for round in 0.. {
            if sender.is_finished() || receiver.is_finished() {
                break;
            }
            switch.set_workers([3, 1, 2, 4][round % 4]).unwrap();
            switch.resize_fdb([1000, 16][round % 2]).unwrap();
            let now = received(&switch, first);
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    });
    assert_eq!(received(&switch, first), FRAMES.into());
    assert_eq!(switch.fdb().len(), 2);
}

#[test]
fn workers_that_come_and_go_send_to_every_port() {
    let switch = switch();
    switch.set_workers(3).unwrap();
    let (_, mut one) = port(&switch);
    let (_, mut two) = port(&switch);
    let (_, mut three) = port(&switch);
    one.write_all(&frame(MacAddr::broadcast(), ONE, 7)).unwrap();
    assert_eq!((number_of(&mut two), number_of(&mut three)), (7, 7));
    switch.set_workers(1).unwrap();
    three.write_all(&frame(ONE, TWO, 8)).unwrap();
    assert_eq!(number_of(&mut one), 8);
    switch.stop();
}
