//! Asks other name servers.
//!
//! Each question goes out by a socket of its own, so from a port that nobody else
//! knows, with a number that nobody knows either: an answer that somebody makes up
//! has to guess both. The servers are asked one after the other, each a moment
//! after the one before if that has not answered by then; the first good answer
//! counts. Who has not answered lately is asked last.

use super::server::Asked;
use crate::dns::message::{DATAGRAM, Request};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long all servers together have to answer. Askers wait 5 s as a rule
/// (resolv.conf(5), `timeout`).
const PATIENCE: Duration = Duration::from_millis(4500);

/// After this the next server is asked, or the same one again.
const NEXT: Duration = Duration::from_millis(750);

/// How often each is asked.
const ROUNDS: usize = 2;

/// Servers asked in a round, at most.
const MOST: usize = 8;

/// How long a server that has not answered is asked last.
const LAST: Duration = Duration::from_secs(30);

/// Who has not answered lately, and until when that counts.
#[derive(Debug, Default)]
pub(super) struct Health {
    silent: RefCell<HashMap<SocketAddr, Instant>>,
}

impl Health {
    /// `servers`, those that have not answered lately behind the others.
    fn sorted(&self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        let now = Instant::now();
        let mut silent = self.silent.borrow_mut();
        silent.retain(|_, until| *until > now);
        let mut sorted = servers.to_vec();
        sorted.sort_by_key(|server| silent.contains_key(server));
        sorted.truncate(MOST);
        sorted
    }

    fn note(&self, server: SocketAddr, answered: bool) {
        let mut silent = self.silent.borrow_mut();
        if answered {
            silent.remove(&server);
        } else {
            silent.insert(server, Instant::now() + LAST);
        }
    }
}

/// Asks `servers` what `request` asks; `None`: none has answered.
pub(super) async fn ask(
    request: &Request,
    servers: &[SocketAddr],
    health: &Health,
) -> Option<Rc<Asked>> {
    let question = Rc::new(question(request));
    let order = health.sorted(servers);
    let mut waiting = order.iter().copied().cycle().take(order.len() * ROUNDS);
    let mut tries = JoinSet::new();
    let mut asked: Vec<SocketAddr> = Vec::new();
    // An answer that helps nobody, in case there is no better one.
    let mut poor = None;
    let good = timeout(PATIENCE, async {
        let mut next = waiting.next();
        loop {
            if let Some(server) = next.take() {
                if !asked.contains(&server) {
                    asked.push(server);
                }
                let question = Rc::clone(&question);
                tries.spawn_local(async move { (server, exchange(server, &question).await) });
            }
            tokio::select! {
                Some(Ok((server, answer))) = tries.join_next() => match answer {
                    Ok(answer) => {
                        health.note(server, true);
                        let code = answer.message.metadata.response_code;
                        if matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
                            return Some(answer);
                        }
                        poor = Some(answer);
                        next = waiting.next();
                    }
                    Err(error) => {
                        tracing::debug!("DNS: {server}: {error}");
                        health.note(server, false);
                        next = waiting.next();
                    }
                },
                () = sleep(NEXT) => {
                    next = waiting.next();
                    if next.is_none() && tries.is_empty() {
                        return None;
                    }
                }
            }
            if next.is_none() && tries.is_empty() {
                return None;
            }
        }
    })
    .await;
    let answer = good.ok().flatten();
    if answer.is_none() && poor.is_none() {
        for server in asked {
            health.note(server, false);
        }
    }
    answer.or(poor).map(Rc::new)
}

/// What `request` asks, in our own words: nothing of it but the question goes
/// further. The number is to be filled in.
fn question(request: &Request) -> Message {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = request.checking_disabled();
    message.add_query(request.query.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM);
    edns.set_dnssec_ok(request.wants_dnssec());
    message.set_edns(edns);
    message
}

/// Asks one server, by TCP too where its answer is too long for a datagram.
async fn exchange(server: SocketAddr, question: &Message) -> io::Result<Asked> {
    let mut question = question.clone();
    question.metadata.id = number()?;
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        // What is no answer to this may have been made up: the real one comes.
        let Some(answer) = answered(&question, answer) else {
            continue;
        };
        if answer.message.metadata.truncation {
            return by_tcp(server, &question, &bytes).await;
        }
        return Ok(answer);
    }
}

async fn by_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Asked> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), bytes].concat();
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    answered(question, &answer).ok_or_else(|| io::Error::other("it answers something else"))
}

/// `bytes` as an answer to `question`, if they are one.
fn answered(question: &Message, bytes: &[u8]) -> Option<Asked> {
    let message = Message::from_vec(bytes).ok()?;
    let is_answer = message.metadata.message_type == MessageType::Response
        && message.metadata.id == question.metadata.id
        && message.metadata.op_code == OpCode::Query
        && message.queries == question.queries;
    is_answer.then(|| Asked {
        message,
        bytes: bytes.into(),
    })
}

/// A number that nobody can guess.
fn number() -> io::Result<u16> {
    let mut bytes = [0; 2];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(u16::from_be_bytes(bytes))
}
