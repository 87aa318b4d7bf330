//! Runs one transfer on its socket.

use super::counters::Counters;
use super::listen::Log;
use super::slots::Heard;
use crate::tftp::content::Content;
use crate::tftp::options::Agreed;
use crate::tftp::packet::{self, DATA_HEADER, ErrorCode, Mode, Packet, begin_data};
use crate::tftp::root::Opened;
use crate::tftp::transfer::{End, Step, Transfer};
use std::fs::File;
use std::io;
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;
use std::time::Instant;
use tokio::net::UdpSocket;

/// A transfer to run.
#[derive(Debug)]
pub(super) struct Order {
    /// Connected to the client.
    pub(super) socket: UdpSocket,
    pub(super) client: SocketAddrV4,
    /// The name of the file, for the log.
    pub(super) shown: String,
    pub(super) mode: Mode,
    pub(super) agreed: Agreed,
    pub(super) opened: Opened,
    /// Told when the client acknowledges anything.
    pub(super) heard: Heard,
}

/// How a transfer ended, or what kept it from going on.
type Outcome = Result<End, io::Error>;

/// Runs `order` to its end, counts it and says in one line how it went.
pub(super) async fn serve(order: Order, counters: &Counters, log: &Log) {
    let started = Instant::now();
    let (size, client, shown) = (order.opened.size, order.client, order.shown.clone());
    let outcome = run(order, counters).await;
    let whole = matches!(outcome, Ok(End::Complete | End::Unconfirmed));
    counters.ended(whole);
    let time = started.elapsed().as_secs_f64();
    log.borrow_mut()
        .say(Instant::now(), |unsaid| match outcome {
            Ok(End::Complete | End::Unconfirmed) => {
                tracing::info!(
                    "TFTP: {client} has got {shown}, {size} bytes in {time:.1} s{unsaid}"
                );
            }
            Ok(End::Aborted { code, message }) => {
                // As a boot ROM does that only wants to know the size.
                let message = String::from_utf8_lossy(&message).into_owned();
                tracing::info!("TFTP: {client} ends {shown}: error {code}, {message:?}{unsaid}");
            }
            Ok(End::TimedOut) => {
                tracing::info!("TFTP: {client} is silent: {shown} is given up{unsaid}");
            }
            Ok(End::Illegal) => {
                tracing::info!(
                    "TFTP: {client} breaks {shown} off by a packet out of place{unsaid}"
                );
            }
            Err(error) => tracing::warn!("TFTP: {client} does not get {shown}: {error}{unsaid}"),
        });
}

async fn run(order: Order, counters: &Counters) -> Outcome {
    let (mut transfer, first) = Transfer::begin(&order.agreed, Instant::now());
    match go_on(order, &mut transfer, first, counters).await {
        // Nobody is there any more (ICMP).
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(transfer.give_up()),
        outcome => outcome,
    }
}

async fn go_on(
    order: Order,
    transfer: &mut Transfer,
    mut step: Step,
    counters: &Counters,
) -> Outcome {
    let Order {
        socket,
        mode,
        agreed,
        opened: Opened { file, size },
        heard,
        ..
    } = order;
    let mut content = Content::new(file, size, mode, agreed.block);
    let mut buffer = [0; packet::LONGEST];
    let mut block = Vec::with_capacity(DATA_HEADER + usize::from(agreed.block));
    loop {
        match step {
            Step::End(end) => {
                if end == End::Illegal {
                    tell(&socket, ErrorCode::IllegalOperation, "out of place");
                }
                return Ok(end);
            }
            Step::Wait => {}
            Step::Options => lossy(&socket, agreed.packet.as_deref().unwrap_or_default()).await?,
            Step::Blocks(blocks) => {
                let sent = send(&socket, &mut content, blocks, &mut block, counters).await;
                match sent {
                    Ok(Some(last)) => transfer.ends_with(last),
                    Ok(None) => {}
                    Err(error) => {
                        tell(&socket, ErrorCode::Undefined, "cannot read the file");
                        return Err(error);
                    }
                }
            }
        }
        let deadline = transfer.deadline().into();
        step = match tokio::time::timeout_at(deadline, socket.recv(&mut buffer)).await {
            Err(_) => transfer.expired(Instant::now()),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(length)) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                match Packet::parse(bytes) {
                    Ok(packet) => transfer.receive(&packet, Instant::now()),
                    Err(_) => Step::Wait,
                }
            }
        };
        if transfer.is_heard() {
            heard.set();
        }
    }
}

/// Sends `blocks` as far as there are any; gives the last block of the file
/// if that is among them.
async fn send(
    socket: &UdpSocket,
    content: &mut Content<File>,
    blocks: RangeInclusive<u64>,
    packet: &mut Vec<u8>,
    counters: &Counters,
) -> io::Result<Option<u64>> {
    for number in blocks {
        begin_data(packet, number);
        let last = content.block(number, packet)?;
        lossy(socket, packet).await?;
        counters.bytes(packet.len() - DATA_HEADER);
        if last {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Sends a packet, which may be lost on the way: what the network does not
/// take now is sent again when its time has come.
async fn lossy(socket: &UdpSocket, packet: &[u8]) -> io::Result<()> {
    match socket.send(packet).await {
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
            tracing::debug!("TFTP: a packet is lost: {error}");
            Ok(())
        }
        result => result.map(drop),
    }
}

/// Tells the client that it is over, if the socket takes it at once.
fn tell(socket: &UdpSocket, code: ErrorCode, message: &str) {
    let _ = socket.try_send(&packet::error(code, message));
}
