use super::*;
use crate::frame::Frame;
use crate::port::{Egress, Sent, Transmitter, TxFrame};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::thread;

fn pair() -> (Port, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    (open(ours).unwrap(), peer)
}

fn message(frame: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    message.extend(frame);
    message
}

/// The frames in what a peer has read, whole.
fn frames(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, more)) = stream.split_first_chunk::<4>() {
        let (frame, rest) = more.split_at(u32::from_be_bytes(*length) as usize);
        frames.push(frame);
        stream = rest;
    }
    frames
}

/// A frame of these bytes, ready to be sent.
fn send(port: &dyn Egress, bytes: &[u8], times: usize, sent: &mut Sent) {
    let frame = Frame::from_bytes(bytes);
    let frames = vec![TxFrame::whole(&frame); times];
    port.transmit(&mut Transmitter::new(0), &frames, sent);
}

#[test]
fn frames_are_taken_out_of_a_stream_however_it_is_cut() {
    let (mut port, mut peer) = pair();
    let mut burst = Burst::default();
    let bytes = [message(&[1; 60]), message(&[2; 1514])].concat();
    for (n, byte) in bytes.iter().enumerate() {
        peer.write_all(&[*byte]).unwrap();
        let received = port.ingress[0].receive(&mut burst);
        assert!(matches!(received, Received::Drained));
        if n % 100 == 99 {
            port.ingress[0].take_part().unwrap();
        }
    }
    let got: Vec<&[u8]> = burst.frames().iter().map(|f| f.bytes()).collect();
    assert_eq!(got, [&[1; 60][..], &[2; 1514][..]]);
}

#[test]
fn a_length_beyond_reason_closes_the_port() {
    let (mut port, mut peer) = pair();
    peer.write_all(&[0xff; 8]).unwrap();
    assert!(matches!(
        port.ingress[0].receive(&mut Burst::default()),
        Received::Closed(CloseReason::Protocol(_))
    ));
}

#[test]
fn a_peer_that_leaves_closes_the_port_after_its_last_frame() {
    let (mut port, mut peer) = pair();
    peer.write_all(&message(&[7; 60])).unwrap();
    drop(peer);
    let mut burst = Burst::default();
    assert!(matches!(
        port.ingress[0].receive(&mut burst),
        Received::Closed(CloseReason::Hangup)
    ));
    assert_eq!(burst.frames().len(), 1);
}

#[test]
fn a_slow_reader_gets_whole_frames_and_the_rest_are_counted_as_dropped() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let port = open(ours).unwrap();
    let body = [9; 1000];
    let mut sent = Sent::default();
    for n in 0..20_000u32 {
        let head = n.to_be_bytes();
        send(&*port.egress, &[&head[..], &body].concat(), 3, &mut sent);
    }
    let dropped = sent.drops.get(DropReason::EgressFull);
    assert!(dropped > 0 && sent.frames + dropped == 60_000);

    peer.set_nonblocking(true).unwrap();
    let mut stream = Vec::new();
    loop {
        // What was begun is sent on as soon as there is room.
        let before = stream.len();
        match peer.read_to_end(&mut stream) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{other:?}"),
        }
        if stream.len() == before {
            break;
        }
        port.egress.writable(&mut Sent::default());
    }
    let got = frames(&stream);
    assert!(
        got.iter()
            .all(|frame| frame.len() == 1004 && frame[4..] == body)
    );
    assert_eq!(got.len() as u64, sent.frames);
}

#[test]
fn workers_that_send_at_a_time_lose_no_frame_and_keep_the_order_of_each() {
    const WORKERS: u32 = 4;
    const FRAMES: u32 = 20_000;
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let port = open(ours).unwrap();
    let reader = thread::spawn(move || {
        let mut stream = Vec::new();
        peer.read_to_end(&mut stream).unwrap();
        stream
    });
    let senders: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let egress = Arc::clone(&port.egress);
            thread::spawn(move || {
                let mut sent = Sent::default();
                for n in 0..FRAMES {
                    let head = [worker.to_be_bytes(), n.to_be_bytes()].concat();
                    send(&*egress, &[&head[..], &[5; 100]].concat(), 1, &mut sent);
                }
                sent
            })
        })
        .collect();
    let (mut left, mut dropped) = (0, 0);
    for sender in senders {
        let sent = sender.join().unwrap();
        left += sent.frames;
        dropped += sent.drops.get(DropReason::EgressFull);
    }
    assert_eq!(
        left + dropped,
        u64::from(WORKERS * FRAMES),
        "none is forgotten"
    );
    port.egress.writable(&mut Sent::default());
    drop(port);

    let stream = reader.join().unwrap();
    let mut last = BTreeMap::new();
    let mut got = 0;
    for frame in frames(&stream) {
        let (worker, n) = (&frame[..4], &frame[4..8]);
        assert_eq!(frame[8..], [5; 100]);
        assert!(last.insert(worker, n).is_none_or(|before| before < n));
        got += 1;
    }
    assert_eq!(got, left);
}

#[test]
fn only_whole_frames_leave_the_socket() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let queue = ours.try_clone().unwrap();
    let mut port = open(ours).unwrap();
    let frame = message(&[3; 60]);
    peer.write_all(&frame).unwrap();
    peer.write_all(&frame[..20]).unwrap();
    let mut burst = Burst::default();
    let received = port.ingress[0].receive(&mut burst);
    assert!(matches!(received, Received::Drained));
    assert_eq!(burst.frames().len(), 1);
    // Another process goes on where this one was killed.
    drop(port);
    let mut port = open(queue).unwrap();
    peer.write_all(&frame[20..]).unwrap();
    assert!(matches!(
        port.ingress[0].receive(&mut burst),
        Received::Drained
    ));
    assert_eq!(burst.frames().len(), 2);
    assert_eq!(burst.frames()[1].bytes(), [3; 60]);
}

#[test]
fn a_peer_that_leaves_within_a_frame_closes_the_port() {
    let (mut port, mut peer) = pair();
    peer.write_all(&message(&[7; 60])[..10]).unwrap();
    let mut burst = Burst::default();
    let received = port.ingress[0].receive(&mut burst);
    assert!(matches!(received, Received::Drained));
    drop(peer);
    assert!(matches!(
        port.ingress[0].receive(&mut burst),
        Received::Closed(CloseReason::Hangup)
    ));
}

#[test]
fn a_peer_that_does_not_read_never_gets_a_part_of_a_frame() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let port = open(ours).unwrap();
    let mut sent = Sent::default();
    for len in (60..MAX_FRAME).step_by(997) {
        send(&*port.egress, &vec![1; len], 3, &mut sent);
    }
    assert!(sent.drops.get(DropReason::EgressFull) > 0);
    assert_eq!(port.egress.hand_over().unwrap().begun, []);
    drop(port);
    let mut stream = Vec::new();
    peer.read_to_end(&mut stream).unwrap();
    assert_eq!(frames(&stream).len() as u64, sent.frames);
}

#[test]
fn a_part_that_was_taken_out_goes_on_in_another_process() {
    let (mut port, mut peer) = pair();
    let frame = message(&[3; 60]);
    peer.write_all(&frame[..20]).unwrap();
    let mut burst = Burst::default();
    let received = port.ingress[0].receive(&mut burst);
    assert!(matches!(received, Received::Drained));
    assert!(port.ingress[0].has_part());
    port.ingress[0].take_part().unwrap();
    assert!(!port.ingress[0].has_part());
    let handed = port.egress.hand_over().unwrap();
    assert_eq!(handed.part, frame[..20]);
    drop(port);
    let [file] = <[_; 1]>::try_from(handed.files).unwrap();
    let mut port = adopt(file.into(), handed.begun, handed.part).unwrap();
    peer.write_all(&frame[20..]).unwrap();
    peer.write_all(&frame).unwrap();
    let received = port.ingress[0].receive(&mut burst);
    assert!(matches!(received, Received::Drained));
    let got: Vec<&[u8]> = burst.frames().iter().map(|f| f.bytes()).collect();
    assert_eq!(got, [[3; 60], [3; 60]]);
    assert_eq!(port.egress.hand_over().unwrap().part, []);
}
