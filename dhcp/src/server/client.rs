//! Who sent a request, as far as the configuration tells, and where it is.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::link::Link;
use super::{Server, agent};
use crate::config::{Condition, Host, LeaseTime, Match, Range};
use crate::glob;
use crate::host::Known;
use crate::hostname;
use crate::outcome::Silence;
use crate::sender::Sender;
use crate::table::ClientRef;
use crate::tag::Tags;
use crate::wire::{self, Request};

/// The client of one request.
#[derive(Debug)]
pub(super) struct Client {
    /// What the frame tells.
    pub(super) sender: Sender,
    /// The host that it is.
    pub(super) host: Option<Arc<Host>>,
    /// What it is marked with.
    pub(super) tags: Tags,
    /// Where it is.
    pub(super) link: Arc<Link>,
    /// The default router that it is told of (option 3).
    pub(super) router: Option<Ipv4Addr>,
}

impl Client {
    /// The name that the configuration gives it.
    pub(super) fn name(&self) -> Option<&str> {
        self.host.as_ref()?.name.as_deref()
    }

    /// The address that the configuration gives it.
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        self.host.as_ref()?.address
    }
}

impl Request {
    /// What the client says that it is.
    pub(super) fn client_ref(&self) -> ClientRef<'_> {
        ClientRef {
            mac: self.mac,
            client_id: self.client_id.as_deref(),
        }
    }

    /// The name that the client gives itself; `Some(None)` if it is no host
    /// name.
    pub(super) fn given_name(&self) -> Option<Option<&str>> {
        hostname::given(self.fqdn.as_deref(), self.hostname.as_deref())
    }
}

impl Server {
    /// The client that sent `request`, whose bytes are `message`.
    ///
    /// # Errors
    ///
    /// It is not to be served.
    pub(super) fn client(
        &self,
        request: &Request,
        message: &[u8],
        sender: Sender,
    ) -> Result<Client, Silence> {
        let link = self.link(request, sender)?;
        let mut tags = Tags::default();
        tags.insert_all(&self.config.set);
        let name = request.given_name().flatten();
        let client_id = request.client_id.as_deref();
        let host = match self.hosts.find(link.subnet, request.mac, client_id, name) {
            Known::Here(host) => {
                tags.insert(&self.known);
                tags.insert_all(&host.set);
                Some(host)
            }
            Known::Elsewhere => {
                tags.insert(&self.known_elsewhere);
                None
            }
            Known::No => None,
        };
        let mut ignored = host.as_ref().is_some_and(|host| host.ignore);
        for rule in &self.config.matches {
            if self.applies(rule, request, message, sender, &tags) {
                tags.insert_all(&rule.set);
                ignored |= rule.ignore;
            }
        }
        if ignored {
            return Err(Silence::Ignored);
        }
        if self.config.known_only && host.is_none() {
            return Err(Silence::NotKnown);
        }
        // As in dnsmasq, a relay agent is its clients' router by default.
        let agent = || agent::router(request, &link).or(self.agents.router(&link, sender.origin));
        Ok(Client {
            sender,
            host,
            tags,
            router: link.router.or_else(agent),
            link,
        })
    }

    /// Marks `client` with what the range of `address` sets, and gives the
    /// length of its leases: that of the host, of the range, or of all.
    pub(super) fn settle(&self, client: &mut Client, address: Ipv4Addr) -> LeaseTime {
        let range = self.table.pools().holding(address);
        let range = range.and_then(|place| self.config.ranges.get(place));
        if let Some(range) = range {
            client.tags.insert_all(&range.set);
        }
        let own = client.host.as_ref().and_then(|host| host.lease_time);
        own.or(range.and_then(|range| range.lease_time))
            .unwrap_or(self.config.lease_time)
    }

    /// Whether `range` is for `client`.
    pub(super) fn serves(&self, range: &Range, client: &Client) -> bool {
        range.tags.matches(&client.tags) && (!range.known_only || client.host.is_some())
    }

    /// Where a client is: where a relay agent or the client itself says (RFC
    /// 3527, RFC 3011, `giaddr`), by the address that it renews if that came
    /// by a router, else here.
    fn link(&self, request: &Request, sender: Sender) -> Result<Arc<Link>, Silence> {
        let agent = Some(request.giaddr).filter(|_| request.relayed());
        let selected = request.relay.as_ref().filter(|_| request.relayed());
        let selected = selected.and_then(|relay| relay.link_selection);
        let said = selected.or(request.subnet_selection).or(agent);
        if let Some(address) = said {
            let link = self.links.find(address);
            return link.cloned().ok_or(Silence::UnknownSubnet);
        }
        let renews = Some(request.ciaddr).filter(|_| sender.unicast);
        let link = renews.and_then(|address| self.links.find(address));
        Ok(Arc::clone(link.unwrap_or(self.links.own())))
    }

    /// Whether all conditions of `rule` hold for a request with `tags`.
    fn applies(
        &self,
        rule: &Match,
        request: &Request,
        message: &[u8],
        sender: Sender,
        tags: &Tags,
    ) -> bool {
        let relay = request.relay.as_ref();
        rule.conditions.iter().all(|condition| match condition {
            Condition::Tags(condition) => condition.matches(tags),
            Condition::Port(pattern) => self
                .ports
                .get(&sender.origin)
                .is_some_and(|name| glob::matches(pattern.as_bytes(), name.as_bytes())),
            Condition::Mac(pattern) => pattern.matches(request.mac),
            Condition::VendorClass(part) => {
                let class = request.vendor_class.as_deref();
                class.is_some_and(|class| has_in_it(class, part.as_bytes()))
            }
            Condition::UserClass(part) => {
                let mut classes = request.user_classes.iter();
                classes.any(|class| has_in_it(class, part.as_bytes()))
            }
            Condition::CircuitId(id) => {
                relay.and_then(|r| r.circuit_id.as_deref()) == Some(id.as_slice())
            }
            Condition::RemoteId(id) => {
                relay.and_then(|r| r.remote_id.as_deref()) == Some(id.as_slice())
            }
            Condition::SubscriberId(id) => {
                relay.and_then(|r| r.subscriber_id.as_deref()) == Some(id.as_slice())
            }
            Condition::Architecture(wanted) => wanted.is_among(&request.architectures),
            Condition::Option { code, value } => {
                wire::option(message, *code).is_some_and(|sent| has_in_it(&sent, value))
            }
        })
    }
}

/// Whether `part` stands somewhere in `whole`. What a client sends is short.
fn has_in_it(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
