//! Relay agents as their clients' routers, also for clients that renew without
//! them.
//!
//! A client behind an agent renews by a message of its own, which a router brings
//! (RFC 2131 §4.3.2): nothing in it names the agent, which is the router that the
//! client was told of. An ACK without a router would have the client drop its
//! default route, so agents are remembered.
//!
//! Who is on the segment can claim to be an agent. So what is remembered counts
//! for messages from the same [`Origin`] alone: a guest deceives at most who is
//! behind its own port, where it could alter their messages just as well. And it
//! bounds the memory: one agent for each origin and subnet.

use std::net::Ipv4Addr;

use crate::hash::HashMap;
use ipnet::Ipv4Net;

use super::Server;
use super::client::Client;
use super::link::{Link, Links};
use super::parameters::Asker;
use crate::sender::Origin;
use crate::wire::Request;

/// The agents that have asked, in memory alone.
#[derive(Debug, Default)]
pub(super) struct Agents {
    /// The router that the last one stands for: `None` where it is none itself,
    /// as one with a link selection (RFC 3527) may be on another subnet.
    routers: HashMap<(Origin, Ipv4Net), Option<Ipv4Addr>>,
}

impl Agents {
    /// Remembers the agent that sent `request` on, if one did.
    pub(super) fn heard(&mut self, request: &Request, client: &Client) {
        let link = &client.link;
        if request.relayed() && !link.is_own {
            let key = (client.sender.origin, link.subnet);
            self.routers.insert(key, router(request, link));
        }
    }

    /// The agent that is the router of who is on `link` and heard by `origin`.
    pub(super) fn router(&self, link: &Link, origin: Origin) -> Option<Ipv4Addr> {
        self.routers.get(&(origin, link.subnet)).copied().flatten()
    }

    /// Forgets agents of subnets that are not among `links`.
    pub(super) fn keep(&mut self, links: &Links) {
        self.routers.retain(|(_, subnet), _| {
            let link = links.find(subnet.network());
            link.is_some_and(|link| link.subnet == *subnet && !link.is_own)
        });
    }

    /// Forgets agents behind a place that is gone.
    pub(super) fn forget(&mut self, origin: Origin) {
        self.routers.retain(|(of, _), _| *of != origin);
    }

    fn is_known(&self, client: &Client) -> bool {
        let key = (client.sender.origin, client.link.subnet);
        self.routers.contains_key(&key)
    }
}

impl Server {
    /// Whether `client` renews by itself and wants a router, and no agent has
    /// asked from there since the server was started.
    pub(super) fn lacks_router(&self, request: &Request, client: &Client) -> bool {
        let renews = client.sender.unicast && !request.ciaddr.is_unspecified();
        let alone = renews && !request.relayed() && request.subnet_selection.is_none();
        let asker = Asker {
            request,
            client,
            name: None,
        };
        alone
            && !client.link.is_own
            && client.router.is_none()
            && !self.agents.is_known(client)
            && self.parameters.lack_router(asker)
    }
}

/// The agent that sent `request` on, if it is on the `link` of its client.
pub(super) fn router(request: &Request, link: &Link) -> Option<Ipv4Addr> {
    Some(request.giaddr).filter(|agent| !link.is_own && link.subnet.contains(agent))
}
