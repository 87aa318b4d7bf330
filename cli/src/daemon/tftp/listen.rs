//! Takes requests on port 69 and starts a transfer for each that is served.

use super::counters::Counters;
use super::serve::{Order, serve};
use super::slots::{Admission, Slots};
use super::{Place, Settings};
use crate::daemon::allowance::Allowance;
use crate::tftp::packet::{self, ErrorCode, Packet, Request};
use crate::tftp::{name, options, root};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket as StdSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

/// Where requests come to (RFC 1350 §4).
pub(super) const PORT: u16 = 69;

/// The pause after an error of the socket.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest name that the log shows, in characters.
const SHOWN: usize = 200;

/// A socket on port 69 of `place`. It belongs to the interface before it has
/// an address, so nothing from elsewhere is ever in it.
pub(super) fn socket(place: &Place) -> io::Result<UdpSocket> {
    let socket = unbound(place)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(place.address, PORT))?;
    Ok(socket)
}

/// A socket on a free port of `place` that hears `client` alone.
fn transfer_socket(place: &Place, client: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = unbound(place)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(place.address, 0))?;
    rustix::net::connect(&socket, &client)?;
    Ok(socket)
}

fn unbound(place: &Place) -> io::Result<UdpSocket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    let socket = UdpSocket::from_std(StdSocket::from(socket))?;
    socket.bind_device(Some(place.interface.as_bytes()))?;
    Ok(socket)
}

/// The lines of the log. Guests cause them.
pub(super) type Log = Rc<RefCell<Allowance>>;

/// Serves until the sender of `settings` is gone.
pub(super) async fn listen(
    socket: UdpSocket,
    place: Place,
    mut settings: watch::Receiver<Settings>,
    counters: Arc<Counters>,
) {
    let tasks = LocalSet::new();
    let log = Rc::new(RefCell::new(Allowance::new(Instant::now())));
    let mut listener = Listener {
        socket,
        place,
        slots: Slots::default(),
        transfers: JoinSet::new(),
        counters,
        log,
    };
    tasks
        .run_until(async {
            let mut buffer = [0; packet::LONGEST];
            loop {
                tokio::select! {
                    received = listener.socket.recv_from(&mut buffer) => {
                        let settings = settings.borrow().clone();
                        listener.received(received, &buffer, &settings).await;
                    }
                    Some(ended) = listener.transfers.join_next() => {
                        match ended {
                            Ok(id) => listener.slots.free(id),
                            // It has given its place away.
                            Err(_) => listener.counters.ended(false),
                        }
                    }
                    changed = settings.changed() => if changed.is_err() { break },
                }
                listener.counters.running(listener.slots.len());
            }
        })
        .await;
    listener.counters.running(0);
}

struct Listener {
    socket: UdpSocket,
    place: Place,
    slots: Slots,
    /// Each gives its slot when it ends.
    transfers: JoinSet<u64>,
    counters: Arc<Counters>,
    log: Log,
}

impl Listener {
    async fn received(
        &mut self,
        received: io::Result<(usize, SocketAddr)>,
        buffer: &[u8],
        settings: &Settings,
    ) {
        let (bytes, client) = match received {
            Ok((length, SocketAddr::V4(client))) => (buffer.get(..length), client),
            Ok((_, SocketAddr::V6(_))) => return,
            Err(error) => {
                // As a rule a client that is gone (ECONNREFUSED).
                tracing::debug!("TFTP: {error}");
                return tokio::time::sleep(PAUSE).await;
            }
        };
        let bytes = bytes.unwrap_or_default();
        let (ip, broadcast) = (client.ip(), Ipv4Addr::BROADCAST);
        if client.port() == 0 || ip.is_unspecified() || ip.is_multicast() || *ip == broadcast {
            return;
        }
        let refused = match Packet::parse(bytes) {
            Ok(Packet::Read(request)) => return self.requested(client, &request, bytes, settings),
            Ok(Packet::Write) => "it wants to write, and this server is read-only".to_owned(),
            // Never answered by an error: that would go on for ever between two
            // servers.
            Ok(Packet::Error { .. }) => return,
            Ok(_) => "it belongs to no transfer".to_owned(),
            Err(malformed) => malformed.to_string(),
        };
        self.refuse(
            client,
            ErrorCode::IllegalOperation,
            "not a request that is served",
        );
        self.say(|unsaid| {
            tracing::info!("TFTP: a packet of {client} is refused: {refused}{unsaid}");
        });
    }

    /// Starts the transfer of a file, or says why not. `request` came as
    /// `packet`.
    fn requested(
        &mut self,
        client: SocketAddrV4,
        request: &Request<'_>,
        packet: &[u8],
        settings: &Settings,
    ) {
        let shown = shown(request.file);
        let path = name::path(request.file, &settings.root, settings.lowercase);
        let opened = path
            .ok_or(root::Refusal::NotRegular)
            .and_then(|path| root::open(&settings.root, &path));
        let opened = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                let (code, message) = refusal.answer();
                self.refuse(client, code, message);
                return self.say(|unsaid| {
                    tracing::info!("TFTP: {client} does not get {shown}: {refusal}{unsaid}");
                });
            }
        };
        let (slot, heard) = match self.slots.admit(client, packet) {
            Admission::Slot(slot, heard) => (slot, heard),
            Admission::Repeated => return,
            Admission::Full => {
                self.refuse(
                    client,
                    ErrorCode::Undefined,
                    "too many transfers, try again later",
                );
                return self.say(|unsaid| {
                    tracing::warn!(
                        "TFTP: {client} does not get {shown}: too many transfers run{unsaid}"
                    );
                });
            }
        };
        let socket = match transfer_socket(&self.place, client) {
            Ok(socket) => socket,
            Err(error) => {
                self.slots.free(slot);
                self.counters.refused();
                return self.say(|unsaid| {
                    tracing::warn!("TFTP: {client} does not get {shown}: {error}{unsaid}");
                });
            }
        };
        let order = Order {
            socket,
            client,
            shown,
            mode: request.mode,
            agreed: options::agree(request, opened.size, settings.block),
            opened,
            heard,
        };
        let (counters, log) = (Arc::clone(&self.counters), Rc::clone(&self.log));
        let task = self.transfers.spawn_local(async move {
            serve(order, &counters, &log).await;
            slot
        });
        self.slots.run_by(slot, task);
    }

    fn refuse(&self, client: SocketAddrV4, code: ErrorCode, message: &str) {
        self.counters.refused();
        // What does not fit in the socket's buffer is lost, as on the wire.
        let _ = self
            .socket
            .try_send_to(&packet::error(code, message), client.into());
    }

    fn say(&self, line: impl FnOnce(&str)) {
        self.log.borrow_mut().say(Instant::now(), line);
    }
}

/// A name as the log shows it: in quotes, nothing in it that a terminal heeds.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_short_and_harmless() {
        assert_eq!(shown(b"a\x1b[31m\xff\n"), "\"a\\u{1b}[31m\u{fffd}\\n\"");
        assert!(shown(&[b'x'; 1400]).len() < 210);
    }
}
