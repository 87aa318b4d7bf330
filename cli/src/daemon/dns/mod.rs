//! The name server's sockets: a thread of its own, so that neither a slow name
//! server elsewhere nor a flood of questions delays anything else.
//!
//! Questions come by [`sockets`] to [`server`], which answers at once what the
//! network's own names ([`names`]) or the cache can, and has others asked ([`ask`])
//! for the rest. Without a host interface the switch answers ([`segment`]). A change of the settings, or of a lease, is for the questions that
//! come then; sockets and questions under way stay.

mod ask;
mod counters;
mod host_servers;
mod names;
mod resolved;
mod segment;
mod server;
mod sockets;

pub(super) use counters::Tally;
pub(super) use names::Names;

use super::dhcp::DhcpService;
use crate::config::{Config, Forward};
use crate::dns::zone::{Contents, Zone};
use crossbeam_channel::RecvTimeoutError;
use ipnet::Ipv4Net;
use segment::{Segment, SegmentResponder};
use server::Server;
use sockets::Sockets;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::LocalSet;
use vmlan_dataplane::hairpin::Responder;

/// How long the end of the thread is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The name server of a network.
#[derive(Debug)]
pub(super) struct DnsService {
    running: Option<Running>,
    /// Answers where the host has no interface; the sockets share its parts.
    segment: Segment,
    /// What systemd-resolved has been told.
    told: Option<resolved::Link>,
}

#[derive(Debug)]
struct Running {
    settings: watch::Sender<Arc<Settings>>,
    place: Place,
    thread: JoinHandle<()>,
    /// Closed when the thread ends.
    ended: crossbeam_channel::Receiver<()>,
}

/// What questions are answered by.
#[derive(Debug)]
pub(super) struct Settings {
    /// The names that the configuration gives.
    pub(super) zone: Zone,
    /// Answers of others that are kept, at most.
    pub(super) cache: usize,
}

impl Settings {
    /// Those of the network of `config`, with its gateway's address and what its
    /// DHCP server serves; `None` where names are not served.
    pub(super) fn of(
        config: &Config,
        gateway: Option<Ipv4Net>,
        served: Option<&vmlan_dhcp::Config>,
    ) -> Option<Self> {
        let gateway = gateway.filter(|_| config.dns.enabled)?;
        let ranges = served.into_iter().flat_map(|served| &served.ranges);
        let former = served.into_iter().flat_map(|served| &served.former);
        let hosts = served.map_or(&config.dhcp.hosts, |served| &served.hosts);
        Some(Self {
            zone: Zone::new(&Contents {
                dns: &config.dns,
                domain: config.domain.as_deref(),
                gateway,
                subnets: ranges
                    .filter_map(|range| range.subnet)
                    .chain(former.map(Ipv4Net::trunc))
                    .collect(),
                hosts,
                // As with libvirt: what guests ask would get out of the network.
                closed: config.forward == Forward::Isolated,
            }),
            cache: config.dns.cache,
        })
    }
}

/// Where the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The host's own interface.
    pub(super) interface: String,
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// Addresses that it had before and that guests may still ask at.
    pub(super) former: Vec<Ipv4Addr>,
}

/// The server cannot be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum DnsError {
    /// A socket cannot be had.
    #[error(
        "the name server cannot listen on {address}:{} of {interface}: does another program \
         serve DNS on all addresses? (`ss -lnp sport = 53`; `enabled = false` under [dns] does \
         without)",
        sockets::PORT
    )]
    Listen {
        /// Where.
        address: Ipv4Addr,
        /// On which interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No thread can be had.
    #[error("cannot start the name server's thread")]
    Thread(#[source] io::Error),
}

impl DnsService {
    /// One that is off, and answers with the names of leases that `names` has.
    pub(super) fn new(names: Names) -> Self {
        Self {
            running: None,
            segment: Segment {
                names,
                ..Segment::default()
            },
            told: None,
        }
    }

    /// The part that answers on the segment, beside `dhcp`.
    pub(super) fn responder(&self, dhcp: DhcpService) -> Box<dyn Responder> {
        let segment = self.segment.clone();
        Box::new(SegmentResponder { segment, dhcp })
    }

    /// Serves by `settings` from now on, at `place`, or on the segment itself where
    /// there is none; without settings, nobody. At another place, questions under
    /// way get no answer.
    ///
    /// # Errors
    /// It is not served.
    pub(super) fn configure(
        &mut self,
        settings: Option<Settings>,
        place: Option<Place>,
    ) -> Result<(), DnsError> {
        let settings = settings.map(Arc::new);
        let on_segment = settings.clone().filter(|_| place.is_none());
        self.segment.set(on_segment);
        let (Some(settings), Some(place)) = (settings, place) else {
            self.stop();
            return Ok(());
        };
        if self.running.as_ref().is_some_and(|it| it.place != place) {
            self.stop();
        }
        if let Some(running) = &self.running
            && running.settings.send(Arc::clone(&settings)).is_ok()
        {
            return Ok(());
        }
        self.running = Some(self.start(settings, place)?);
        Ok(())
    }

    /// Has the host ask at `place` for names in `domain`, where systemd-resolved
    /// asks for it; without a domain, no more.
    pub(super) fn tell_host(&mut self, place: Option<Place>, domain: Option<&str>) {
        let Some(place) = place else {
            return;
        };
        let link = resolved::Link {
            interface: place.interface,
            server: place.address,
            domain: domain.map(str::to_owned),
        };
        let is_news = match &self.told {
            Some(told) => *told != link,
            None => domain.is_some(),
        };
        if is_news {
            link.clone().tell();
            self.told = Some(link);
        }
    }

    /// Ends it, with the questions that are under way.
    pub(super) fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        drop(running.settings);
        if running.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the name server hangs");
        } else if running.thread.join().is_err() {
            tracing::error!("the name server has failed");
        }
    }

    /// What it has done since the start; `None` while it is off.
    pub(super) fn tally(&self) -> Option<Tally> {
        let on = self.running.is_some() || self.segment.is_on();
        on.then(|| self.segment.counters.tally())
    }

    fn start(&self, settings: Arc<Settings>, place: Place) -> Result<Running, DnsError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DnsError::Thread)?;
        let sockets = {
            let _inside = runtime.enter();
            Sockets::open(&place)
        };
        let sockets = match sockets {
            Ok(sockets) => sockets,
            Err(source) => {
                // Dropped here, inside another runtime, it would panic.
                runtime.shutdown_background();
                return Err(DnsError::Listen {
                    address: place.address,
                    interface: place.interface,
                    source,
                });
            }
        };
        let (sender, mut receiver) = watch::channel(settings);
        let (alive, ended) = crossbeam_channel::bounded(0);
        let Segment {
            names, counters, ..
        } = self.segment.clone();
        let address = place.address;
        let thread = std::thread::Builder::new()
            .name("dns".into())
            .spawn(move || {
                let _alive: crossbeam_channel::Sender<()> = alive;
                let server = Server::new(receiver.clone(), names, counters, address);
                let server = Rc::new(server);
                let serving = sockets.serve(Rc::clone(&server));
                let settings_change = async {
                    while receiver.changed().await.is_ok() {
                        server.settings_changed();
                    }
                };
                LocalSet::new().block_on(&runtime, async {
                    tokio::select! {
                        () = serving => {}
                        () = settings_change => {}
                    }
                });
                drop(server);
                // With the sockets, before it counts as ended.
                drop(runtime);
            })
            .map_err(DnsError::Thread)?;
        Ok(Running {
            settings: sender,
            place,
            thread,
            ended,
        })
    }
}

impl Drop for DnsService {
    fn drop(&mut self) {
        self.stop();
    }
}
