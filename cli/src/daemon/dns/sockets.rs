//! The sockets: UDP and TCP on the host's own interface, where guests ask, and on
//! `lo`, by which the host's own questions to the gateway's address come. They are
//! bound to these devices before they have an address, so that nothing from
//! elsewhere is ever in them: whoever reaches the host by another way does not
//! reach the name server.

use super::Place;
use super::server::{Carrier, Server, Step};
use crate::dns::refusal::Refusal;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket as StdSocket};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

/// Where name servers listen (RFC 1035 §4.2).
pub(super) const PORT: u16 = 53;

/// The host's own questions come by this.
const LOOPBACK: &str = "lo";

/// The longest question in a datagram that is looked at, in bytes; one longer
/// than that is cut, and so malformed.
const LONGEST: usize = 4096;

/// Bytes that the kernel keeps for us of what has come: a burst of some thousand
/// questions.
const BUFFER: usize = 1 << 20;

/// Datagrams that are taken before other tasks have their turn.
const BURST: usize = 64;

/// Connections that wait to be accepted, at most.
const BACKLOG: u32 = 64;

/// TCP connections, at most, and those of one client.
const MOST_CONNECTIONS: usize = 128;
const MOST_OF_ONE: usize = 16;

/// How long a connection may say nothing (RFC 7766 §6.2.3), or not take what we
/// say.
const IDLE: Duration = Duration::from_secs(10);

/// The pause after an error of a socket.
const PAUSE: Duration = Duration::from_millis(100);

/// The sockets of both devices, for each address.
#[derive(Debug)]
pub(super) struct Sockets(Vec<(Whose, UdpSocket, TcpListener)>);

impl Sockets {
    /// Those of `place`.
    ///
    /// # Errors
    /// Somebody has the address and port already, as a rule.
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        let devices = [(Whose::Guests, &*place.interface), (Whose::Host, LOOPBACK)];
        let mut sockets = Vec::new();
        for address in std::iter::once(&place.address).chain(&place.former) {
            for (whose, device) in devices {
                let at = SocketAddrV4::new(*address, PORT);
                sockets.push((whose, datagrams(at, device)?, streams(at, device)?));
            }
        }
        Ok(Self(sockets))
    }

    /// Answers by `server` for as long as it is polled, inside a `LocalSet`.
    pub(super) async fn serve(self, server: Rc<Server>) {
        let connections = Rc::new(Connections::default());
        for (whose, datagrams, streams) in self.0 {
            let (server, connections) = (Rc::clone(&server), Rc::clone(&connections));
            spawn_local(async move {
                tokio::join!(
                    answer_datagrams(datagrams, &server, whose),
                    answer_streams(streams, &server, &connections, whose),
                )
            });
        }
        // The tasks end with the `LocalSet`.
        std::future::pending::<()>().await;
    }
}

/// Whose questions come by a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those of whoever is on the segment: only the network's own may ask.
    Guests,
    /// The host's.
    Host,
}

/// A socket for datagrams to `at` on `device`.
fn datagrams(at: SocketAddrV4, device: &str) -> io::Result<UdpSocket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    // With less, more is lost in a burst; that is no reason not to serve.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, BUFFER);
    let socket = UdpSocket::from_std(StdSocket::from(socket))?;
    socket.bind_device(Some(device.as_bytes()))?;
    rustix::net::bind(&socket, &at)?;
    Ok(socket)
}

/// A socket for connections to `at` on `device`.
fn streams(at: SocketAddrV4, device: &str) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the last run may still be closing.
    socket.set_reuseaddr(true)?;
    socket.bind_device(Some(device.as_bytes()))?;
    socket.bind(at.into())?;
    socket.listen(BACKLOG)
}

/// Whether the client at `address` may ask.
fn may_ask(server: &Server, whose: Whose, address: SocketAddr) -> bool {
    address.port() != 0 && (whose == Whose::Host || server.serves(address.ip()))
}

async fn answer_datagrams(socket: UdpSocket, server: &Rc<Server>, whose: Whose) {
    let socket = Rc::new(socket);
    let mut buffer = [0; LONGEST];
    loop {
        // What does not fit in the socket's buffer is lost, as on the wire.
        if let Err(error) = socket.readable().await {
            tracing::debug!("DNS: {error}");
            sleep(PAUSE).await;
            continue;
        }
        for _ in 0..BURST {
            let (length, client) = match socket.try_recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::debug!("DNS: {error}");
                    sleep(PAUSE).await;
                    break;
                }
            };
            if !may_ask(server, whose, client) {
                continue;
            }
            let bytes = buffer.get(..length).unwrap_or_default();
            match server.received(bytes, client.ip(), Carrier::Datagram) {
                Step::Reply(reply) => drop(socket.try_send_to(&reply, client)),
                Step::Ask(waiting) => {
                    let socket = Rc::clone(&socket);
                    spawn_local(async move {
                        let reply = waiting.reply().await;
                        let _ = socket.try_send_to(&reply, client);
                    });
                }
                Step::Silence => {}
            }
        }
        // Those who wait for others have their turn, and other sockets.
        tokio::task::yield_now().await;
    }
}

async fn answer_streams(
    listener: TcpListener,
    server: &Rc<Server>,
    connections: &Rc<Connections>,
    whose: Whose,
) {
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("DNS: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        if !may_ask(server, whose, client) {
            continue;
        }
        let Some(place) = connections.admit(client.ip()) else {
            server.refused(Refusal::Connections);
            continue;
        };
        let server = Rc::clone(server);
        spawn_local(async move {
            if let Err(error) = converse(stream, &server, client.ip()).await {
                tracing::debug!("DNS: {client}: {error}");
            }
            drop(place);
        });
    }
}

/// Answers what comes by `stream`, one question after the other, until its client
/// has no more.
async fn converse(mut stream: TcpStream, server: &Rc<Server>, client: IpAddr) -> io::Result<()> {
    // An answer is not to wait for the next one.
    stream.set_nodelay(true)?;
    let mut buffer = [0; LONGEST];
    loop {
        let read = async {
            let length = usize::from(stream.read_u16().await?);
            let question = buffer.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
            stream.read_exact(question).await?;
            io::Result::Ok(length)
        };
        let length = match timeout(IDLE, read).await {
            Ok(Ok(length)) => length,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        let reply = match server.received(bytes, client, Carrier::Stream) {
            Step::Reply(reply) => reply,
            Step::Ask(waiting) => waiting.reply().await,
            Step::Silence => return Ok(()),
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes(), reply.as_slice()].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

/// The connections that are open, by their clients.
#[derive(Debug, Default)]
struct Connections {
    open: RefCell<HashMap<IpAddr, usize>>,
}

/// A connection's place among those; given back when it is dropped.
struct Admitted {
    connections: Rc<Connections>,
    client: IpAddr,
}

impl Connections {
    fn admit(self: &Rc<Self>, client: IpAddr) -> Option<Admitted> {
        let mut open = self.open.borrow_mut();
        if open.values().sum::<usize>() >= MOST_CONNECTIONS {
            return None;
        }
        let of_client = open.entry(client).or_default();
        if *of_client >= MOST_OF_ONE {
            return None;
        }
        *of_client += 1;
        Some(Admitted {
            connections: Rc::clone(self),
            client,
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.open.borrow_mut();
        if let Some(of_client) = open.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_bounded_by_client_and_in_all() {
        let connections = Rc::new(Connections::default());
        let client = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]);
        let of_one: Vec<_> = (0..MOST_OF_ONE)
            .map(|_| connections.admit(client(1)))
            .collect();
        assert!(of_one.iter().all(Option::is_some));
        assert!(connections.admit(client(1)).is_none());
        let others = MOST_OF_ONE..MOST_CONNECTIONS;
        let others: Vec<_> = others.map(|n| connections.admit(client(n))).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(connections.admit(client(2)).is_none());
        drop(of_one);
        assert!(connections.admit(client(1)).is_some());
    }
}
