//! The host's netdevs, asked for and changed over rtnetlink (rtnetlink(7)).

use futures_util::TryStreamExt;
use pnet_base::MacAddr;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

/// The longest name of a netdev in bytes (`IFNAMSIZ` less the NUL,
/// linux/if.h).
pub(crate) const MAX_NAME: usize = 15;

/// An answer of the kernel that cannot be decoded is passed over by the
/// netlink crates, so that the request would wait for ever.
const ANSWER: Duration = Duration::from_secs(10);

/// The kinds of netdevs that get their frames from another netdev, to which
/// they do not belong.
const STACKED: [&str; 6] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"];

/// A netdev as the kernel described it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The number that stays with it, also over a change of its name.
    pub(crate) index: u32,
    /// Its name, without its alternative names.
    pub(crate) name: String,
    /// Its Ethernet address; [`None`] if it has none of 6 bytes.
    pub(crate) mac: Option<MacAddr>,
    /// The longest packet in bytes, without the Ethernet header.
    pub(crate) mtu: u32,
    /// Whether it carries Ethernet frames (`ARPHRD_ETHER`), as a port must.
    pub(crate) ethernet: bool,
    /// Whether it was set up (`IFF_UP`).
    pub(crate) up: bool,
    /// Whether it is up and there is someone at the other end
    /// (`IFF_LOWER_UP`).
    pub(crate) carrier: bool,
    /// The bridge, bond, … that it belongs to.
    pub(crate) master: Option<Master>,
    /// The number of the netdev that it stands on, as a VLAN stands on a NIC.
    pub(crate) base: Option<u32>,
    /// The kernel's word for its kind, such as `tun`, `veth`, `bridge`;
    /// [`None`] for a NIC.
    pub(crate) kind: Option<String>,
}

/// The netdev that another one belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    /// Its number.
    pub(crate) index: u32,
    /// Its name, if it could be found out.
    pub(crate) name: Option<String>,
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "netdev number {}", self.index),
        }
    }
}

/// A netdev cannot be found, listed or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// No netdev goes by this name.
    #[error("there is no netdev {0:?}: `ip link` lists those that there are")]
    NoSuchName(String),
    /// No netdev has this number any more.
    #[error("there is no netdev with number {0}: it was removed or moved to another namespace")]
    NoSuchIndex(u32),
    /// The kernel refused a change.
    #[error("cannot {change} of netdev {netdev}{}", mend(.source))]
    Change {
        /// The netdev's name.
        netdev: String,
        /// What was to be changed.
        change: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel did not answer a question.
    #[error("cannot ask the kernel for {question}")]
    Ask {
        /// What was asked for.
        question: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What to do about an error, where that is known, as the end of a message.
fn mend(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM | Errno::ACCESS) => " (run vmlan as root or with CAP_NET_ADMIN)",
        Some(Errno::NODEV) => " (it was removed or moved to another namespace)",
        Some(Errno::INVAL | Errno::RANGE) => {
            " (its driver does not take this value: `ip -details link show` has the limits)"
        }
        Some(Errno::OPNOTSUPP) => " (its driver cannot do it)",
        Some(Errno::BUSY) => " (its driver wants it down first: `ip link set … down`)",
        _ => "",
    }
}

/// Asks for and changes the netdevs of the network namespace in which it was
/// made. Clones share one netlink socket.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    pub(super) handle: Handle,
}

impl Links {
    /// Opens a netlink socket in the namespace of the calling thread and
    /// spawns the task that serves it, which ends with the last clone. Needs a
    /// tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn new() -> Result<Self, LinkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| ask("a netlink socket", source))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Every netdev, in the order of their numbers.
    ///
    /// # Errors
    /// [`LinkError::Ask`].
    pub(crate) async fn all(&self) -> Result<Vec<Link>, LinkError> {
        let request = self.handle.link().get().execute();
        let messages: Vec<LinkMessage> = answer(request.try_collect())
            .await
            .map_err(|source| ask("its netdevs", source))?;
        let mut links: Vec<Link> = messages.iter().filter_map(Link::from_message).collect();
        let names: HashMap<u32, String> = links.iter().map(|l| (l.index, l.name.clone())).collect();
        for master in links.iter_mut().filter_map(|link| link.master.as_mut()) {
            master.name = names.get(&master.index).cloned();
        }
        links.sort_unstable_by_key(|link| link.index);
        Ok(links)
    }

    /// The netdev `name`, which may be an alternative name of up to 15 bytes.
    ///
    /// # Errors
    /// [`LinkError::NoSuchName`], [`LinkError::Ask`].
    pub(crate) async fn by_name(&self, name: &str) -> Result<Link, LinkError> {
        // The kernel refuses or cuts these instead of saying that there is none.
        if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
            return Err(LinkError::NoSuchName(name.to_owned()));
        }
        let request = self.handle.link().get().match_name(name);
        self.one(request)
            .await?
            .ok_or_else(|| LinkError::NoSuchName(name.to_owned()))
    }

    /// The netdev with number `index`.
    ///
    /// # Errors
    /// [`LinkError::NoSuchIndex`], [`LinkError::Ask`].
    pub(crate) async fn by_index(&self, index: u32) -> Result<Link, LinkError> {
        let request = self.handle.link().get().match_index(index);
        self.one(request)
            .await?
            .ok_or(LinkError::NoSuchIndex(index))
    }

    /// The name of a netdev of this namespace that stands on `link`, if there
    /// is one.
    ///
    /// # Errors
    /// [`LinkError::Ask`].
    pub(crate) async fn standing_on(&self, link: &Link) -> Result<Option<String>, LinkError> {
        let all = self.all().await?;
        let standing = all.into_iter().find(|it| it.base == Some(link.index));
        Ok(standing.map(|it| it.name))
    }

    async fn one(&self, request: rtnetlink::LinkGetRequest) -> Result<Option<Link>, LinkError> {
        let messages: Vec<LinkMessage> = match answer(request.execute().try_collect()).await {
            Ok(messages) => messages,
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {
                return Ok(None);
            }
            Err(source) => return Err(ask("a netdev", source)),
        };
        let Some(mut link) = messages.iter().find_map(Link::from_message) else {
            return Ok(None);
        };
        if let Some(master) = &mut link.master {
            // It may vanish between the two questions; its number remains.
            let request = self.handle.link().get().match_index(master.index);
            let messages: Result<Vec<LinkMessage>, _> =
                answer(request.execute().try_collect()).await;
            master.name = messages
                .ok()
                .and_then(|messages| messages.iter().find_map(Link::from_message))
                .map(|link| link.name);
        }
        Ok(Some(link))
    }

    /// Sets a netdev up or down.
    ///
    /// # Errors
    /// [`LinkError::Change`], as with every change below.
    pub(crate) async fn set_up(&self, link: &Link, up: bool) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(link.index);
        let (message, change) = if up {
            (message.up(), "change the state to up")
        } else {
            (message.down(), "change the state to down")
        };
        self.change(link, message, change.to_owned()).await
    }

    /// Gives a netdev another Ethernet address.
    ///
    /// # Errors
    /// [`LinkError::Change`].
    pub(crate) async fn set_mac(&self, link: &Link, mac: MacAddr) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(link.index).address(mac.octets().to_vec());
        self.change(link, message, format!("change the MAC address to {mac}"))
            .await
    }

    /// Gives a netdev another name. One that is up takes it from Linux 6.2 on.
    ///
    /// # Errors
    /// [`LinkError::Change`].
    pub(crate) async fn set_name(&self, link: &Link, name: &str) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(link.index).name(name.to_owned());
        self.change(link, message, format!("change the name to {name}"))
            .await
    }

    /// Gives a netdev another MTU, in bytes without the Ethernet header.
    ///
    /// # Errors
    /// [`LinkError::Change`].
    pub(crate) async fn set_mtu(&self, link: &Link, mtu: u32) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(link.index).mtu(mtu);
        self.change(link, message, format!("change the MTU to {mtu}"))
            .await
    }

    /// Gives a netdev another length of its transmit queue, in frames; for a
    /// TAP that is what may wait until the switch reads it.
    ///
    /// # Errors
    /// [`LinkError::Change`].
    pub(crate) async fn set_queue_length(&self, link: &Link, frames: u32) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(link.index)
            .append_extra_attribute(LinkAttribute::TxQueueLen(frames));
        let change = format!("change the transmit queue length to {frames}");
        self.change(link, message, change).await
    }

    /// Takes a netdev away, whoever holds its file.
    ///
    /// # Errors
    /// [`LinkError::Change`].
    pub(crate) async fn delete(&self, link: &Link) -> Result<(), LinkError> {
        let deleted = answer(self.handle.link().del(link.index).execute()).await;
        deleted.map_err(|source| LinkError::Change {
            netdev: link.name.clone(),
            change: "delete it".to_owned(),
            source,
        })
    }

    /// Makes a netdev belong to `master`, such as a bridge.
    ///
    /// # Errors
    /// [`LinkError::Change`].
    pub(crate) async fn set_master(&self, link: &Link, master: &Link) -> Result<(), LinkError> {
        let message = LinkUnspec::new_with_index(link.index).controller(master.index);
        let change = format!("change the master to {}", master.name);
        self.change(link, message, change).await
    }

    async fn change(
        &self,
        link: &Link,
        message: LinkMessageBuilder<LinkUnspec>,
        change: String,
    ) -> Result<(), LinkError> {
        answer(self.handle.link().set(message.build()).execute())
            .await
            .map_err(|source| LinkError::Change {
                netdev: link.name.clone(),
                change,
                source,
            })
    }
}

impl Link {
    /// Reads a netdev out of a message; [`None`] if that is about something
    /// else. The name of the master is not in it.
    pub(super) fn from_message(message: &LinkMessage) -> Option<Self> {
        let header = &message.header;
        // A bridge speaks of its ports in messages of its own family.
        if header.interface_family != AddressFamily::Unspec || header.index == 0 {
            return None;
        }
        let mut link = Self {
            index: header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            ethernet: header.link_layer_type == LinkLayerType::Ether,
            up: header.flags.contains(LinkFlags::Up),
            carrier: header.flags.contains(LinkFlags::LowerUp),
            master: None,
            base: None,
            kind: None,
        };
        let mut lower = None;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) => {
                    link.mac = <[u8; 6]>::try_from(bytes.as_slice())
                        .ok()
                        .map(MacAddr::from);
                }
                LinkAttribute::Controller(index) => {
                    link.master = Some(Master {
                        index: *index,
                        name: None,
                    });
                }
                LinkAttribute::Link(index) => lower = Some(*index),
                LinkAttribute::LinkInfo(infos) => {
                    link.kind = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.to_string()),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        // That of others says something else, such as a veth's other end.
        let stands = link.kind.as_deref().is_some_and(|k| STACKED.contains(&k));
        link.base = lower.filter(|_| stands);
        (!link.name.is_empty()).then_some(link)
    }
}

/// Waits for the kernel's answer, but not for ever.
pub(super) async fn answer<T>(
    request: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, io::Error> {
    match tokio::time::timeout(ANSWER, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(rtnetlink::Error::NetlinkError(error))) => Err(error.to_io()),
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the kernel gave no answer that could be read within 10 s",
        )),
    }
}

pub(super) fn ask(question: &str, source: io::Error) -> LinkError {
    LinkError::Ask {
        question: question.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::super::netns::{block_on_in_new_netns, ip};
    use super::*;

    #[test]
    fn a_veth_is_described_and_changed() {
        block_on_in_new_netns(|| async {
            ip("link add one type veth peer name two");
            let links = Links::new().unwrap();
            let one = links.by_name("one").await.unwrap();
            assert_eq!(one.kind.as_deref(), Some("veth"));
            assert!(one.ethernet && !one.up && !one.carrier && one.master.is_none());

            let mac = MacAddr::new(0x52, 0x54, 0, 1, 2, 3);
            links.set_mac(&one, mac).await.unwrap();
            links.set_mtu(&one, 9000).await.unwrap();
            links.set_queue_length(&one, 7777).await.unwrap();
            links.set_up(&one, true).await.unwrap();
            let two = links.by_name("two").await.unwrap();
            links.set_up(&two, true).await.unwrap();
            let one = links.by_index(one.index).await.unwrap();
            assert_eq!((one.mac, one.mtu), (Some(mac), 9000));
            assert!(one.up && one.carrier);
            let shown = std::process::Command::new("ip")
                .args(["link", "show", "one"])
                .output()
                .unwrap();
            assert!(String::from_utf8_lossy(&shown.stdout).contains("qlen 7777"));

            links.set_up(&one, false).await.unwrap();
            assert!(!links.by_name("one").await.unwrap().up);
            assert!(!links.by_name("lo").await.unwrap().ethernet);
        });
    }

    #[test]
    fn a_master_is_named() {
        block_on_in_new_netns(|| async {
            ip("link add br0 type bridge");
            ip("link add one type veth peer name two");
            ip("link set one master br0");
            let links = Links::new().unwrap();
            let bridge = links.by_name("br0").await.unwrap();
            let master = links.by_name("one").await.unwrap().master.unwrap();
            assert_eq!(
                (master.index, master.to_string()),
                (bridge.index, "br0".into())
            );
            let all = links.all().await.unwrap();
            let one = all.iter().find(|link| link.name == "one").unwrap();
            assert_eq!(one.master.as_ref(), Some(&master));
        });
    }

    #[test]
    fn what_stands_on_a_netdev_is_found_and_the_end_of_a_veth_is_not() {
        block_on_in_new_netns(|| async {
            ip("link add one type veth peer name two");
            let links = Links::new().unwrap();
            let one = links.by_name("one").await.unwrap();
            assert_eq!(links.standing_on(&one).await.unwrap(), None);
            ip("link add link one name upper type macvlan");
            let found = links.standing_on(&one).await.unwrap();
            assert_eq!(found.as_deref(), Some("upper"));
        });
    }

    #[test]
    fn what_is_not_there_is_named() {
        block_on_in_new_netns(|| async {
            let links = Links::new().unwrap();
            for name in ["vnet0", "", "a\0b", "longer-than-15-bytes"] {
                let error = links.by_name(name).await.unwrap_err();
                assert!(
                    error.to_string().contains(&format!("no netdev {name:?}")),
                    "{error}"
                );
            }
            let error = links.by_index(4711).await.unwrap_err();
            assert!(error.to_string().contains("4711"), "{error}");
        });
    }

    #[test]
    fn a_refused_change_names_the_netdev_and_the_mend() {
        block_on_in_new_netns(|| async {
            ip("link add one type veth peer name two");
            let links = Links::new().unwrap();
            let one = links.by_name("one").await.unwrap();
            let error = links.set_mtu(&one, 70_000).await.unwrap_err();
            let message = error.to_string();
            assert!(message.contains("MTU to 70000 of netdev one"), "{message}");
            assert!(message.contains("has the limits"), "{message}");
            ip("link del one");
            let message = links.set_up(&one, true).await.unwrap_err().to_string();
            assert!(message.contains("netdev one (it was removed"), "{message}");
        });
    }
}
