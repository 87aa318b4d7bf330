//! From a question to its answer, wherever it came by. All of it runs on one
//! thread.

use super::Settings;
use super::ask::{self, Health};
use super::counters::{Answered, Counters};
use super::host_servers::HostServers;
use super::names::Names;
use crate::dns::cache::{Cache, Key};
use crate::dns::message::{self, Answer, Parsed, Request};
use crate::dns::refusal::Refusal;
use crate::dns::routes::Route;
use crate::dns::zone::{Found, Zone};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::LowerName;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OnceCell, watch};

/// Questions of clients that wait for others, at most.
const MOST_WAITING: usize = 512;
/// Those of one client.
const MOST_OF_ONE: usize = 64;

/// What another server has answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) message: Message,
    /// As it came.
    pub(super) bytes: Box<[u8]>,
}

/// Whom a question is put to, and by which answer all who ask the same are
/// served.
type Asking = Rc<OnceCell<Option<Rc<Asked>>>>;

/// What the sockets share.
#[derive(Debug)]
pub(super) struct Server {
    settings: watch::Receiver<Arc<Settings>>,
    names: Names,
    counters: Arc<Counters>,
    cache: RefCell<Cache>,
    health: Health,
    host: HostServers,
    /// Questions to others that are under way.
    asking: RefCell<HashMap<Key, Asking>>,
    /// How many questions of each client wait for others.
    waiting: RefCell<HashMap<IpAddr, usize>>,
}

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Step {
    /// This is sent back.
    Reply(Vec<u8>),
    /// Others have to be asked.
    Ask(Box<Waiting>),
    /// Nothing is sent back.
    Silence,
}

/// A question that waits for others. When it is dropped, its client may ask
/// another one.
#[derive(Debug)]
pub(super) struct Waiting {
    server: Rc<Server>,
    request: Request,
    route: Route,
    most: u16,
    client: IpAddr,
}

/// What a message came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// An answer is as long as the asker takes.
    Datagram,
    /// Of any length.
    Stream,
}

impl Server {
    pub(super) fn new(
        settings: watch::Receiver<Arc<Settings>>,
        names: Names,
        counters: Arc<Counters>,
        own: Ipv4Addr,
    ) -> Self {
        Self {
            settings,
            names,
            counters,
            cache: RefCell::default(),
            health: Health::default(),
            host: HostServers::new(own),
            asking: RefCell::default(),
            waiting: RefCell::default(),
        }
    }

    /// Other settings hold: what was answered under the old ones may be wrong.
    pub(super) fn settings_changed(&self) {
        self.cache.borrow_mut().clear();
        self.counters.kept(0);
    }

    /// Counts that something was passed over.
    pub(super) fn refused(&self, refusal: Refusal) {
        self.counters.refused(refusal);
    }

    /// Whether a client at `address` is of the network.
    pub(super) fn serves(&self, address: IpAddr) -> bool {
        let serves = match address {
            IpAddr::V4(address) => self.settings.borrow().zone.serves(address),
            IpAddr::V6(_) => false,
        };
        if !serves {
            self.refused(Refusal::Source);
        }
        serves
    }

    /// Takes a message of `client`, who may ask.
    pub(super) fn received(self: &Rc<Self>, bytes: &[u8], client: IpAddr, by: Carrier) -> Step {
        let request = match message::parse(bytes) {
            Parsed::Request(request) => request,
            Parsed::Refused(refusal, reply) => {
                self.refused(refusal);
                return Step::Reply(reply);
            }
            Parsed::Ignored(refusal) => {
                self.refused(refusal);
                return Step::Silence;
            }
        };
        let most = match by {
            Carrier::Datagram => request.datagram(),
            Carrier::Stream => u16::MAX,
        };
        let now = Instant::now();
        let found = own(&self.settings.borrow().zone, &self.names, &request, now);
        let route = match found {
            Ok(answer) => {
                self.counters.answered(Answered::Own);
                return Step::Reply(request.respond(&answer, most));
            }
            Err(route) => route,
        };
        if let Some(kept) = self.cache.borrow().get(&key(&request), now) {
            self.counters.answered(Answered::Cached);
            return Step::Reply(request.respond(&passed_on(kept), most));
        }
        let refusal = if !request.wants_recursion() {
            Refusal::NoRecursion
        } else if route == Route::Closed {
            Refusal::Closed
        } else {
            match self.admit(client) {
                Ok(()) => {
                    return Step::Ask(Box::new(Waiting {
                        server: Rc::clone(self),
                        request,
                        route,
                        most,
                        client,
                    }));
                }
                Err(refusal) => refusal,
            }
        };
        self.refused(refusal);
        Step::Reply(request.respond(&Answer::error(ResponseCode::Refused), most))
    }

    /// Whether one more question of `client` may wait for others.
    fn admit(&self, client: IpAddr) -> Result<(), Refusal> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.values().sum::<usize>() >= MOST_WAITING {
            return Err(Refusal::Busy);
        }
        let of_client = waiting.entry(client).or_default();
        if *of_client >= MOST_OF_ONE {
            return Err(Refusal::ClientBusy);
        }
        *of_client += 1;
        Ok(())
    }

    /// Asks by `route`, or waits for the answer where the same is being asked.
    async fn asked(&self, request: &Request, route: &Route) -> Option<Rc<Asked>> {
        let key = key(request);
        let asking = Rc::clone(self.asking.borrow_mut().entry(key.clone()).or_default());
        self.counters.asking(self.asking.borrow().len());
        let asked = asking
            .get_or_init(|| async {
                let servers = match route {
                    Route::Servers(servers) => Arc::clone(servers),
                    Route::Host => self.host.get(),
                    Route::Nobody | Route::Closed => Arc::default(),
                };
                let asked = ask::ask(request, &servers, &self.health).await;
                let most = self.settings.borrow().cache;
                if let Some(asked) = &asked {
                    let mut cache = self.cache.borrow_mut();
                    cache.keep(
                        key.clone(),
                        &asked.message,
                        &asked.bytes,
                        most,
                        Instant::now(),
                    );
                    self.counters.kept(cache.len());
                }
                asked
            })
            .await
            .clone();
        let mut all = self.asking.borrow_mut();
        if all.get(&key).is_some_and(|it| Rc::ptr_eq(it, &asking)) {
            all.remove(&key);
        }
        self.counters.asking(all.len());
        asked
    }
}

impl Waiting {
    /// The answer, once others have given one, or have not.
    pub(super) async fn reply(self) -> Vec<u8> {
        let server = &self.server;
        let answer = match server.asked(&self.request, &self.route).await {
            Some(asked) => {
                server.counters.answered(Answered::Forwarded);
                passed_on(asked.message.clone())
            }
            None => {
                server.refused(Refusal::Upstream);
                Answer::error(ResponseCode::ServFail)
            }
        };
        self.request.respond(&answer, self.most)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.server.waiting.borrow_mut();
        if let Some(of_client) = waiting.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                waiting.remove(&self.client);
            }
        }
    }
}

/// What `zone` and the leases answer, or who else may know.
pub(super) fn own(
    zone: &Zone,
    names: &Names,
    request: &Request,
    now: Instant,
) -> Result<Answer, Route> {
    let answer = match zone.look_up(&request.query, &names.read(), now) {
        Found::Records(answers, additionals) => Answer {
            answers,
            additionals,
            ..Answer::error(ResponseCode::NoError)
        },
        Found::Nothing(exists, soa) => Answer {
            authorities: vec![*soa],
            ..Answer::error(match exists {
                true => ResponseCode::NoError,
                false => ResponseCode::NXDomain,
            })
        },
        Found::Ask(route) => return Err(route),
    };
    Ok(Answer {
        authoritative: true,
        ..answer
    })
}

/// What others have answered, to be told on. That they have checked signatures
/// is not: nobody has checked that it was them.
fn passed_on(message: Message) -> Answer {
    Answer {
        code: message.metadata.response_code,
        authoritative: false,
        answers: message.answers,
        authorities: message.authorities,
        additionals: message.additionals,
    }
}

fn key(request: &Request) -> Key {
    Key {
        name: LowerName::new(request.query.name()),
        kind: request.query.query_type(),
        dnssec: request.wants_dnssec(),
        unchecked: request.checking_disabled(),
    }
}
