//! Many clients behind one netdev, each of which takes a lease and notes it.

use crate::namespace::Namespace;
use anyhow::{Context, Result, anyhow};
use rustix::net::sockopt;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A MAC.
pub type Mac = [u8; 6];

/// Clients that are under way at a time.
const WINDOW: usize = 64;
/// After this time, a client that got no answer gives up.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long answers are waited for once vmlan is gone: they are in the socket.
const LAST: Duration = Duration::from_millis(5);

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// Clients at work, on a thread of their own.
#[derive(Debug)]
pub struct Crowd {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<HashMap<Mac, Ipv4Addr>>>,
}

impl Crowd {
    /// Starts clients on `eth0` of `namespace`, which gets an address of no
    /// network here, the first with the number `first`.
    ///
    /// # Errors
    /// There is no such netdev.
    pub fn start(namespace: &Namespace, first: u32) -> Result<Self> {
        let socket = namespace.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 68))?;
            socket.set_broadcast(true)?;
            sockopt::set_socket_recv_buffer_size(&socket, 1 << 20)?;
            Ok(socket)
        })?;
        // Where the broadcasts go; nobody else has it.
        crate::station::Station::run(
            namespace,
            "ip addr add 192.0.2.1/32 dev eth0; ip route add 255.255.255.255 dev eth0",
        )?;
        let ends = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ends);
        let thread = thread::spawn(move || work(&socket, first, &end));
        Ok(Self { ends, thread })
    }

    /// Has them end, and gives what each was told last.
    ///
    /// # Errors
    /// Their socket failed.
    pub fn stop(self) -> Result<HashMap<Mac, Ipv4Addr>> {
        self.ends.store(true, Ordering::Release);
        let result = self.thread.join();
        result.map_err(|_| anyhow!("the clients' thread panicked"))?
    }
}

fn work(socket: &UdpSocket, first: u32, ends: &AtomicBool) -> Result<HashMap<Mac, Ipv4Addr>> {
    let mut next = first;
    let mut waiting: HashMap<Mac, Instant> = HashMap::new();
    let mut told = HashMap::new();
    let mut buffer = [0; 1500];
    loop {
        let end = ends.load(Ordering::Acquire);
        socket.set_read_timeout(Some(LAST))?;
        while !end && waiting.len() < WINDOW {
            let mac = mac(next);
            next = next.wrapping_add(1);
            waiting.insert(mac, Instant::now());
            send(socket, &message(mac, DISCOVER, &[]));
        }
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let reply = buffer.get(..len).unwrap_or_default();
                let Some(reply) = Reply::read(reply) else {
                    continue;
                };
                if reply.kind == OFFER && !end && waiting.contains_key(&reply.mac) {
                    send(socket, &reply.accepted());
                } else if reply.kind == ACK {
                    waiting.remove(&reply.mac);
                    told.insert(reply.mac, reply.address.into());
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if end {
                    return Ok(told);
                }
            }
            Err(error) => return Err(error).context("the clients' socket"),
        }
        waiting.retain(|_, since| since.elapsed() < PATIENCE);
    }
}

/// Sends to all. While vmlan is down, there is no netdev: then nobody hears it.
fn send(socket: &UdpSocket, message: &[u8]) {
    if socket.send_to(message, (Ipv4Addr::BROADCAST, 67)).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The MAC of client `number`: locally administered.
fn mac(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    [0x02, 0x99, a, b, c, d]
}

/// A message of `mac` that wants its answer broadcast (RFC 2131 §2), with
/// further `options`.
fn message(mac: Mac, kind: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0];
    bytes.extend(mac.iter().skip(2));
    bytes.extend([0, 0, 0x80, 0]);
    bytes.resize(28, 0);
    bytes.extend(mac);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99, 53, 1, kind]);
    bytes.extend(options);
    bytes.extend([55, 3, 1, 3, 6, 255]);
    bytes.resize(300, 0);
    bytes
}

/// What stands in a reply.
#[derive(Debug, Default)]
struct Reply {
    kind: u8,
    mac: Mac,
    address: [u8; 4],
    server: [u8; 4],
}

impl Reply {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reply = Self {
            mac: bytes.get(28..34)?.try_into().ok()?,
            address: bytes.get(16..20)?.try_into().ok()?,
            ..Self::default()
        };
        let mut options = bytes.get(240..)?;
        while let [code, len, rest @ ..] = options {
            if *code == 255 {
                break;
            }
            let (value, further) = rest.split_at_checked((*len).into())?;
            match code {
                53 => reply.kind = *value.first()?,
                54 => reply.server = value.try_into().ok()?,
                _ => {}
            }
            options = further;
        }
        Some(reply)
    }

    /// The REQUEST for what this OFFER offers.
    fn accepted(&self) -> Vec<u8> {
        let ([a, b, c, d], [e, f, g, h]) = (self.address, self.server);
        message(self.mac, REQUEST, &[50, 4, a, b, c, d, 54, 4, e, f, g, h])
    }
}
