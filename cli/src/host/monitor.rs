//! Follows the netdevs of the host: which there are, what changes on them,
//! which go away.
//!
//! The kernel sends each change to the multicast group `RTNLGRP_LINK`. When
//! its messages come faster than they are read, it drops some and says so once
//! by ENOBUFS. It then drops all further ones until the socket has been read
//! empty, and what still waits in the socket is older than what was lost. So
//! the monitor throws away what waits, asks for all netdevs, and reports how
//! they differ from those it knew. It starts in the same way.
//!
//! The socket is the monitor's own, since an `rtnetlink` connection forwards
//! messages through an unbounded queue, where "read empty" cannot be told.
//!
//! Beside, it hears when the sysctls of netdevs may have been written by
//! others, of which the kernel tells by `RTNLGRP_IPV4_NETCONF` (forwarding) and
//! by `RTNLGRP_IPV6_IFADDR` (a netdev that gets IPv6 gets an address).

use super::link::{Link, LinkError, Links};
use rtnetlink::packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use rtnetlink::{MulticastGroup, packet_route::AddressFamily};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// The pause after an error, which as a rule comes again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// `RTM_NEWADDR`, `RTM_NEWNETCONF` and `RTM_DELNETCONF` (linux/rtnetlink.h).
const NEW_ADDRESS: u16 = 20;
const NEW_NETCONF: u16 = 80;
const DEL_NETCONF: u16 = 81;

/// Receive buffer in bytes, of which the kernel grants as much as
/// net.core.rmem_max allows: some hundred netdevs may change at once.
const BUFFER: i32 = 1 << 20;

/// What happened to a netdev.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// It is new, or something that a [`Link`] tells is different. By the time
    /// this is read it may be gone already; that is an event of its own.
    Changed(Link),
    /// It was removed, or moved to another network namespace.
    Gone {
        /// The number that it had.
        index: u32,
        /// The name that it had last.
        name: String,
    },
    /// Somebody may have written the sysctls of netdevs: forwarding, IPv6.
    Sysctls,
}

/// The netdevs cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MonitorError {
    /// The netlink socket cannot be opened or read.
    #[error("cannot follow the host's netdevs over netlink")]
    Socket(#[from] io::Error),
    /// The netdevs cannot be listed.
    #[error("cannot follow the host's netdevs")]
    List(#[from] LinkError),
}

/// A stream of [`LinkEvent`]s.
pub(crate) struct Monitor {
    socket: TokioSocket,
    links: Links,
    known: BTreeMap<u32, Link>,
    events: VecDeque<LinkEvent>,
    /// Messages were lost, or none was read yet.
    stale: bool,
    /// When to go on after an error.
    resume: Option<Instant>,
}

impl Monitor {
    /// Subscribes to the netdevs of the calling thread's network namespace,
    /// which must be that of `links`. The first events are the netdevs that
    /// are there.
    ///
    /// # Errors
    /// [`MonitorError::Socket`].
    pub(crate) fn new(links: Links) -> Result<Self, MonitorError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let netlink = socket.socket_mut();
        netlink.set_rx_buf_sz(BUFFER)?;
        netlink.bind(&SocketAddr::new(0, 0))?;
        for group in [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Netconf,
            MulticastGroup::Ipv6Ifaddr,
        ] {
            netlink.add_membership(group as u32)?;
        }
        Ok(Self {
            socket,
            links,
            known: BTreeMap::new(),
            events: VecDeque::new(),
            stale: true,
            resume: None,
        })
    }

    /// Waits for the next event. May be dropped while it waits; nothing is
    /// lost.
    ///
    /// # Errors
    /// [`MonitorError`]; the next call tries again, after a pause.
    pub(crate) async fn next(&mut self) -> Result<LinkEvent, MonitorError> {
        if let Some(resume) = self.resume {
            tokio::time::sleep_until(resume).await;
            self.resume = None;
        }
        let next = self.read().await;
        if next.is_err() {
            self.resume = Some(Instant::now() + PAUSE);
        }
        next
    }

    async fn read(&mut self) -> Result<LinkEvent, MonitorError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if self.stale {
                self.discard_waiting()?;
                let links = self.links.all().await?;
                self.stale = false;
                self.resync(links);
                continue;
            }
            match self.socket.recv_from_full().await {
                Ok((datagram, sender)) if sender.port_number() == 0 => self.take(&datagram),
                Ok(_not_from_the_kernel) => {}
                Err(error) if is(&error, Errno::NOBUFS) => {
                    tracing::debug!("netlink messages were lost: asking for all netdevs");
                    self.stale = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads the socket empty, which ends the kernel's congestion. Not through
    /// tokio, which may say "nothing there" only to let another task run.
    fn discard_waiting(&self) -> io::Result<()> {
        loop {
            match self.socket.socket_ref().recv_from_full() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is(&error, Errno::NOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Turns how `links` differ from the known ones into events.
    fn resync(&mut self, links: Vec<Link>) {
        let gone: Vec<u32> = self
            .known
            .keys()
            .filter(|index| !links.iter().any(|link| link.index == **index))
            .copied()
            .collect();
        for index in gone {
            self.gone(index);
        }
        for link in links {
            self.changed(link);
        }
        self.events.push_back(LinkEvent::Sysctls);
    }

    fn take(&mut self, datagram: &[u8]) {
        // A multicast datagram holds one message.
        let kind = NetlinkBuffer::new_checked(datagram).map(|message| message.message_type());
        if let Ok(NEW_ADDRESS | NEW_NETCONF) = kind {
            // One for each netdev comes at once; asking once is enough.
            if self.events.back() != Some(&LinkEvent::Sysctls) {
                self.events.push_back(LinkEvent::Sysctls);
            }
            return;
        }
        if let Ok(DEL_NETCONF) = kind {
            // It comes with the end of a netdev, which is told of beside.
            return;
        }
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram) {
            Ok(message) => match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
                    if let Some(mut link) = Link::from_message(&message) {
                        if let Some(master) = &mut link.master {
                            let known = self.known.get(&master.index);
                            master.name = known.map(|link| link.name.clone());
                        }
                        self.changed(link);
                    }
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message))
                    if is_about_a_netdev(&message) =>
                {
                    self.gone(message.header.index);
                }
                _ => {}
            },
            Err(error) => {
                tracing::warn!("a netlink message about a netdev cannot be read: {error}");
            }
        }
    }

    fn changed(&mut self, link: Link) {
        if self.known.get(&link.index) != Some(&link) {
            self.known.insert(link.index, link.clone());
            self.events.push_back(LinkEvent::Changed(link));
        }
    }

    fn gone(&mut self, index: u32) {
        if let Some(Link { name, .. }) = self.known.remove(&index) {
            self.events.push_back(LinkEvent::Gone { index, name });
        }
    }
}

/// Not about a bridge's port: one that leaves its bridge is a `DELLINK` too,
/// of the family AF_BRIDGE.
fn is_about_a_netdev(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::super::netns::{block_on_in_new_netns, in_new_netns, ip};
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Reads events until one fits.
    async fn until(monitor: &mut Monitor, fits: impl Fn(&LinkEvent) -> bool) -> LinkEvent {
        let wait = async {
            loop {
                let event = monitor.next().await.unwrap();
                if fits(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("the event should have come")
    }

    fn changed(name: &str, fits: impl Fn(&Link) -> bool) -> impl Fn(&LinkEvent) -> bool {
        move |event| matches!(event, LinkEvent::Changed(link) if link.name == name && fits(link))
    }

    fn gone(wanted: &str) -> impl Fn(&LinkEvent) -> bool {
        move |event| matches!(event, LinkEvent::Gone { name, .. } if name == wanted)
    }

    #[test]
    fn what_is_there_comes_first_then_what_changes() {
        block_on_in_new_netns(|| async {
            ip("link add one type veth peer name two");
            let mut monitor = Monitor::new(Links::new().unwrap()).unwrap();
            until(&mut monitor, changed("one", |link| !link.up)).await;
            ip("link set one up");
            until(
                &mut monitor,
                changed("one", |link| link.up && !link.carrier),
            )
            .await;
            ip("link set two up");
            until(&mut monitor, changed("one", |link| link.carrier)).await;
            ip("link set one down");
            ip("link set one name eth7.5");
            until(&mut monitor, changed("eth7.5", |_| true)).await;
            ip("link del two");
            until(&mut monitor, gone("eth7.5")).await;
        });
    }

    #[test]
    fn a_master_comes_and_goes_and_the_netdev_stays() {
        block_on_in_new_netns(|| async {
            ip("link add br0 type bridge");
            ip("link add one type veth peer name two");
            let mut monitor = Monitor::new(Links::new().unwrap()).unwrap();
            until(&mut monitor, changed("one", |_| true)).await;
            ip("link set one master br0");
            let named =
                |link: &Link| link.master.as_ref().and_then(|m| m.name.as_deref()) == Some("br0");
            until(&mut monitor, changed("one", named)).await;
            ip("link set one nomaster");
            ip("link set one mtu 1400");
            // A bridge speaks of its ports too, in messages that hold less.
            let told = until(&mut monitor, |event| match event {
                LinkEvent::Changed(link) if link.name == "one" => {
                    assert_eq!(link.kind.as_deref(), Some("veth"));
                    link.mtu == 1400
                }
                event => gone("one")(event),
            })
            .await;
            assert!(
                matches!(told, LinkEvent::Changed(link) if link.master.is_none()),
                "leaving a bridge is not going away"
            );
        });
    }

    #[test]
    fn a_netdev_moved_to_another_namespace_is_gone() {
        let (tell, other) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                in_new_netns(move || {
                    tell.send(rustix::thread::gettid().as_raw_nonzero())
                        .unwrap();
                    // Ends when the test's end drops the sender.
                    ended.recv().unwrap_err();
                });
            });
            let _end = end;
            let other = other.recv().unwrap();
            block_on_in_new_netns(|| async move {
                ip("link add one type veth peer name two");
                let mut monitor = Monitor::new(Links::new().unwrap()).unwrap();
                until(&mut monitor, changed("one", |_| true)).await;
                ip(&format!("link set one netns {other}"));
                until(&mut monitor, gone("one")).await;
            });
        });
    }

    #[test]
    fn sysctls_written_by_others_are_told_of() {
        block_on_in_new_netns(|| async {
            let write = |path: &str, value: &str| {
                std::fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
            };
            ip("link add one type veth peer name two");
            ip("link set one up");
            ip("link set two up");
            write("ipv6/conf/all/disable_ipv6", "1");
            let mut monitor = Monitor::new(Links::new().unwrap()).unwrap();
            // Comes once at the start as well, after all netdevs.
            let told = |event: &LinkEvent| *event == LinkEvent::Sysctls;
            until(&mut monitor, told).await;
            write("ipv4/ip_forward", "1");
            until(&mut monitor, told).await;
            write("ipv6/conf/all/disable_ipv6", "0");
            until(&mut monitor, told).await;
        });
    }

    #[test]
    fn after_an_error_it_pauses_and_keeps_nobody_waiting_meanwhile() {
        in_new_netns(|| {
            let runtime = || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
            };
            let ended = runtime();
            let links = ended.block_on(async { Links::new().unwrap() });
            drop(ended);
            runtime().block_on(async {
                let mut monitor = Monitor::new(links).unwrap();
                assert!(monitor.next().await.is_err());
                tokio::select! {
                    biased;
                    _ = monitor.next() => panic!("no pause"),
                    () = std::future::ready(()) => {}
                }
                let again = tokio::time::timeout(PAUSE * 10, monitor.next());
                assert!(again.await.unwrap().is_err());
            });
        });
    }

    #[test]
    fn an_overrun_loses_no_netdev() {
        block_on_in_new_netns(|| async {
            let mut monitor = Monitor::new(Links::new().unwrap()).unwrap();
            ip("link add kept type veth peer name lost");
            ip("link add other type veth peer name peer");
            until(&mut monitor, changed("peer", |_| true)).await;

            // The least that the kernel grants holds a few messages.
            let least: i32 = 1;
            monitor.socket.socket_ref().set_rx_buf_sz(least).unwrap();
            for mtu in 1000..1020 {
                ip(&format!("link set other mtu {mtu}"));
            }
            ip("link del kept");
            ip("link add new type veth peer name newer");

            let mut seen = Vec::new();
            while !seen.iter().any(changed("newer", |_| true)) {
                seen.push(until(&mut monitor, |_| true).await);
            }
            assert!(seen.iter().any(gone("kept")), "{seen:?}");
            assert!(seen.iter().any(gone("lost")), "{seen:?}");
            assert!(seen.iter().any(changed("other", |link| link.mtu == 1019)));
            assert!(
                !seen.iter().any(changed("other", |link| link.mtu == 1018)),
                "the test should have overrun the socket"
            );
            ip("link del new");
            until(&mut monitor, gone("newer")).await;
        });
    }
}
