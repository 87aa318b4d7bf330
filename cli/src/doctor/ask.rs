//! Asks servers on the network, as a guest would.

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use pnet_base::MacAddr;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UdpSocket, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a server may take. vmlan's own looks for 300 ms whether an address
/// is in use before it offers it; others do so for a second or two.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a name server may take. Its answer may come from a cache that is
/// empty, but any answer will do.
const RESOLVER: Duration = Duration::from_secs(1);

/// Servers that are told apart at most: anybody on the segment can answer.
const MOST: usize = 16;

/// The longest frame that a switch sends, in bytes: a packet of 64 KiB with its
/// headers.
const LONGEST: usize = (1 << 16) + 64;

/// Where a DHCP message has the transaction number (RFC 2131 §2), and from
/// where on options follow.
const XID: std::ops::Range<usize> = 4..8;
const OPTIONS: usize = 240;

/// An address that a DHCP server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// The server, as it calls itself (option 54).
    pub(super) server: Ipv4Addr,
    /// The name servers that its client is to ask (option 6).
    pub(super) name_servers: Vec<Ipv4Addr>,
}

/// How a server took a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// It answered.
    Answered,
    /// It did not, or nobody was there.
    Silent,
    /// It could not be asked; why.
    Failed(String),
}

/// Asks a name server for the root's name servers (RFC 1035 §4.1), which each
/// has or refuses to tell.
pub(super) async fn resolver(server: Ipv4Addr) -> Asked {
    const QUERY: [u8; 17] = [
        0x76, 0x6d, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, // one question, recursion desired
        0, 0, 2, 0, 1, // ".", NS, IN
    ];
    let asked = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect((server, 53)).await?;
        socket.send(&QUERY).await?;
        let mut answer = [0; 512];
        loop {
            let length = socket.recv(&mut answer).await?;
            // Any answer with the question's number.
            if length >= 12 && answer.starts_with(&[0x76, 0x6d]) {
                return Ok::<_, io::Error>(());
            }
        }
    };
    match timeout(RESOLVER, asked).await {
        Ok(Ok(())) => Asked::Answered,
        Err(_) => Asked::Silent,
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Asked::Silent,
            _ => Asked::Failed(error.to_string()),
        },
    }
}

/// What DHCP servers offer to a guest that connects to `socket`, the network's
/// `vm.sock`. Nothing is taken: an offer lapses by itself, and the guest's port
/// goes with the connection.
pub(super) async fn dhcp_servers(socket: &Path) -> io::Result<Vec<Offer>> {
    let mut stream = UnixStream::connect(socket).await?;
    let process = std::process::id();
    let [_, a, b, c] = process.to_be_bytes();
    // Locally administered (IEEE 802 §8.2), as that of a guest is.
    let mac = MacAddr::new(0x02, 0x76, 0x6d, a, b, c);
    let xid = process ^ 0x766d_6c61;
    send(&mut stream, &framed(&discover(xid, mac), mac)?).await?;
    let end = Instant::now() + PATIENCE;
    let mut offers: Vec<Offer> = Vec::new();
    while let Ok(received) = timeout_at(end, receive(&mut stream)).await {
        let frame = received?;
        let found = unframed(&frame).and_then(|(from, message)| offer(message, xid, from));
        let Some(found) = found else {
            continue;
        };
        if offers.iter().all(|offer| offer.server != found.server) && offers.len() < MOST {
            offers.push(found);
        }
    }
    Ok(offers)
}

/// Sends `frame` as qemu's `-netdev stream` does: behind its length.
async fn send(stream: &mut UnixStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(frame).await
}

async fn receive(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(io::Error::other("the switch sends what is no frame"));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// The Ethernet frame by which the station `mac` sends `message` to servers.
fn framed(message: &[u8], mac: MacAddr) -> io::Result<Vec<u8>> {
    let packet = PacketBuilder::ethernet2(mac.octets(), MacAddr::broadcast().octets())
        .ipv4([0; 4], [255; 4], 64)
        .udp(68, 67);
    let mut frame = Vec::new();
    packet
        .write(&mut frame, message)
        .map_err(io::Error::other)?;
    Ok(frame)
}

/// Whom the message to a DHCP client in `frame` comes from, and the message.
fn unframed(frame: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport)
    else {
        return None;
    };
    (udp.destination_port() == 68).then(|| (ip.header().source_addr(), udp.payload()))
}

/// A DISCOVER that asks for replies by broadcast (RFC 2131 §4.1): the
/// interface may have no address.
fn discover(xid: u32, mac: MacAddr) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0];
    message.extend(xid.to_be_bytes());
    message.extend([0, 0, 0x80, 0]);
    message.resize(28, 0);
    message.extend(mac.octets());
    message.resize(236, 0);
    message.extend([99, 130, 83, 99]);
    // What kind it is, and that it would like to know about name servers.
    message.extend([53, 1, 1, 55, 1, 6, 255]);
    message.resize(300, 0);
    message
}

/// What `message` offers, if it is an OFFER with the number `xid`; `from` is
/// whom it came from.
fn offer(message: &[u8], xid: u32, from: Ipv4Addr) -> Option<Offer> {
    if message.first() != Some(&2) || message.get(XID) != Some(&xid.to_be_bytes()[..]) {
        return None;
    }
    let mut rest = message.get(OPTIONS..)?;
    let mut is_offer = false;
    let mut offer = Offer {
        server: from,
        name_servers: Vec::new(),
    };
    loop {
        match rest {
            [0, after @ ..] => rest = after,
            [255, ..] | [] | [_] => break,
            [code, length, after @ ..] => {
                let (value, after) = after.split_at_checked((*length).into())?;
                let (addresses, _) = value.as_chunks::<4>();
                let mut addresses = addresses.iter().map(|octets| Ipv4Addr::from(*octets));
                match code {
                    53 => is_offer = value == [2],
                    54 => offer.server = addresses.next().unwrap_or(from),
                    6 => offer.name_servers = addresses.take(MOST).collect(),
                    _ => {}
                }
                rest = after;
            }
        }
    }
    is_offer.then_some(offer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(options: &[u8]) -> Vec<u8> {
        let mut message = discover(7, MacAddr::new(2, 2, 2, 2, 2, 2));
        message[0] = 2;
        message.truncate(OPTIONS);
        message.extend(options);
        message
    }

    const FROM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

    fn server(message: &[u8], xid: u32) -> Option<Ipv4Addr> {
        offer(message, xid, FROM).map(|offer| offer.server)
    }

    #[test]
    fn an_offer_names_its_server_and_name_servers() {
        let options = [
            0, 53, 1, 2, 54, 4, 10, 0, 0, 1, 6, 8, 9, 9, 9, 9, 1, 1, 1, 1, 255,
        ];
        let found = offer(&reply(&options), 7, FROM).unwrap();
        assert_eq!(found.server, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(
            found.name_servers,
            [Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(1, 1, 1, 1)]
        );
        assert_eq!(server(&reply(&[53, 1, 2, 255]), 7), Some(FROM));
    }

    #[test]
    fn a_message_comes_out_of_its_frame_as_it_went_in() {
        let mac = MacAddr::new(2, 2, 2, 2, 2, 2);
        let frame = framed(&discover(7, mac), mac).unwrap();
        assert_eq!(unframed(&frame), None, "it is for a server");
        let answer = PacketBuilder::ethernet2([2; 6], [255; 6])
            .ipv4(FROM.octets(), [255; 4], 64)
            .udp(67, 68);
        let mut frame = Vec::new();
        answer.write(&mut frame, b"message").unwrap();
        assert_eq!(unframed(&frame), Some((FROM, &b"message"[..])));
    }

    #[test]
    fn what_is_no_offer_of_ours_is_none() {
        assert_eq!(server(&reply(&[53, 1, 5, 255]), 7), None, "an ACK");
        assert_eq!(server(&reply(&[53, 1, 2, 255]), 8), None, "another's");
        assert_eq!(server(&reply(&[53, 1, 2, 54, 9, 1]), 7), None, "cut");
        assert_eq!(
            server(&discover(7, MacAddr::new(2, 2, 2, 2, 2, 2)), 7),
            None,
            "a request"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = server(&bytes, 7);
            let _ = unframed(&bytes);
            let _ = server(&reply(&bytes), 7);
        }
    }
}
