//! Replies and where they go.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::client::Client;
use super::parameters::Asker;
use super::{Server, name};
use crate::config::LeaseTime;
use crate::outcome::{Destination, Event, Refusal, Reply, Silence};
use crate::wire::{self, Header, Request, Response};

const LEASE_TIME: u8 = 51;
const SERVER_ID: u8 = 54;
const MESSAGE: u8 = 56;
const T1: u8 = 58;
const T2: u8 = 59;
const CLIENT_ID: u8 = 61;
const RAPID_COMMIT: u8 = 80;
const FQDN: u8 = 81;
const SUBNET_SELECTION: u8 = 118;

impl Server {
    /// An OFFER or ACK of `address` for `time`.
    pub(super) fn lease_reply(
        &self,
        request: &Request,
        client: &Client,
        response: Response,
        address: Ipv4Addr,
        time: LeaseTime,
        events: &mut Vec<Event>,
    ) -> Result<Reply, Silence> {
        let mut options = vec![option(LEASE_TIME, &lease_seconds(time).to_be_bytes())];
        if response == Response::Ack && request.kind == wire::Kind::Discover {
            // RFC 4039 §3.1: the ACK to a DISCOVER says that it is meant.
            options.push(option(RAPID_COMMIT, &[]));
        }
        if let LeaseTime::Seconds(seconds) = time {
            let [t1, t2] = renewal_times(seconds, self.parameters.times(&client.tags));
            options.push(option(T1, &t1.to_be_bytes()));
            options.push(option(T2, &t2.to_be_bytes()));
        }
        // Table 3: the client's in an ACK, zero in an OFFER.
        let ciaddr = match response {
            Response::Ack => request.ciaddr,
            Response::Offer | Response::Nak => Ipv4Addr::UNSPECIFIED,
        };
        let addresses = (ciaddr, address);
        self.reply(request, client, response, addresses, options, events)
    }

    /// The ACK to an INFORM: no address and no time (RFC 2131 §4.3.5).
    pub(super) fn parameters_reply(
        &self,
        request: &Request,
        client: &Client,
        events: &mut Vec<Event>,
    ) -> Result<Reply, Silence> {
        let addresses = (request.ciaddr, Ipv4Addr::UNSPECIFIED);
        self.reply(
            request,
            client,
            Response::Ack,
            addresses,
            Vec::new(),
            events,
        )
    }

    /// A NAK that says why. RFC 2131 §4.1: broadcast, since the client may be
    /// on a subnet where its address leads nowhere; §4.3.2: a relay agent is
    /// told to do the same by the flag. As in dnsmasq, others see the flag as
    /// well, but for a client that renews from another subnet: no broadcast
    /// gets there, so it is answered at its address.
    pub(super) fn nak(
        &self,
        request: &Request,
        client: &Client,
        refusal: Refusal,
    ) -> Result<Reply, Silence> {
        let renews = client.sender.unicast && !request.relayed();
        let here = request.ciaddr.is_unspecified() || client.link.is_own;
        let (ciaddr, destination) = if renews && !here {
            let (address, mac) = (request.ciaddr, client.sender.mac);
            (address, Destination::Unicast { address, mac })
        } else {
            let all = relay(request).unwrap_or(Destination::Broadcast);
            (Ipv4Addr::UNSPECIFIED, all)
        };
        let header = Header {
            response: Response::Nak,
            ciaddr,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            broadcast: ciaddr.is_unspecified(),
            sname: &[],
            file: &[],
            mtu: self.config.mtu,
        };
        let mut options = vec![
            option(SERVER_ID, &self.id(request).octets()),
            (
                MESSAGE,
                refusal.name().replace('-', " ").into_bytes().into(),
            ),
        ];
        options.extend(client_id(request));
        // These few always fit.
        let message = wire::encode(request, header, &options, &mut Vec::new())?;
        Ok(Reply {
            message,
            source: self.address(request),
            destination,
        })
    }

    /// The server identifier by which the client knows this server: its own
    /// address, or what the relay agent wants (RFC 5107 §4).
    pub(super) fn id(&self, request: &Request) -> Ipv4Addr {
        let wanted = request.server_override();
        wanted.unwrap_or_else(|| self.address(request))
    }

    /// Whether `id` is one by which the client can know this server.
    pub(super) fn is_called(&self, id: Ipv4Addr, request: &Request) -> bool {
        let mut own = self.config.former.iter().map(Ipv4Net::addr);
        id == self.config.server
            || request.server_override() == Some(id)
            || own.any(|former| former == id)
    }

    /// The address by which the client knows this server: the present one, or a
    /// former one where it names that, or has an address of then. A client may
    /// leave alone what comes from another server than its own.
    fn address(&self, request: &Request) -> Ipv4Addr {
        let former = &self.config.former;
        let named = former
            .iter()
            .find(|it| request.server_id == Some(it.addr()));
        let address = request.requested.unwrap_or(request.ciaddr);
        let of_then = || {
            let is_old = self.links.find(address).is_none();
            former.iter().find(|it| is_old && it.contains(&address))
        };
        named
            .or_else(of_then)
            .map_or(self.config.server, Ipv4Net::addr)
    }

    /// A reply with `ciaddr` and `yiaddr`, the options of the `lease` and what
    /// else the client is told.
    fn reply<'a>(
        &'a self,
        request: &'a Request,
        client: &'a Client,
        response: Response,
        (ciaddr, yiaddr): (Ipv4Addr, Ipv4Addr),
        lease: Vec<(u8, Cow<'a, [u8]>)>,
        events: &mut Vec<Event>,
    ) -> Result<Reply, Silence> {
        let mut left_out = Vec::new();
        let name = name::told(request, client, response);
        let fqdn = name::fqdn(request, name, self.config.domain.as_deref());
        let asker = Asker {
            request,
            client,
            name,
        };
        let told = self.parameters.select(asker, &mut left_out);
        let header = Header {
            response,
            ciaddr,
            yiaddr,
            siaddr: told.next_server.unwrap_or(self.config.server),
            broadcast: false,
            sname: told.sname,
            file: told.file,
            mtu: self.config.mtu,
        };
        let mut options = vec![option(SERVER_ID, &self.id(request).octets())];
        options.extend(lease);
        options.extend(client_id(request));
        // RFC 3011 §2: given back, asked for or not.
        let selection = request.subnet_selection;
        options.extend(selection.map(|subnet| option(SUBNET_SELECTION, &subnet.octets())));
        options.extend(fqdn.map(|value| (FQDN, value.into())));
        options.extend(told.options);
        let message = wire::encode(request, header, &options, &mut left_out)?;
        if !left_out.is_empty() {
            events.push(Event::OptionsLeftOut {
                mac: request.mac,
                codes: left_out,
            });
        }
        Ok(Reply {
            message,
            source: self.address(request),
            destination: destination(request, client, yiaddr),
        })
    }
}

/// An option whose value is made here.
fn option(code: u8, value: &[u8]) -> (u8, Cow<'static, [u8]>) {
    (code, value.to_vec().into())
}

/// The client identifier, given back as it came (RFC 6842 §3).
fn client_id(request: &Request) -> Option<(u8, Cow<'_, [u8]>)> {
    let id = request.client_id.as_deref();
    id.map(|id| (CLIENT_ID, id.into()))
}

fn lease_seconds(time: LeaseTime) -> u32 {
    match time {
        LeaseTime::Infinite => u32::MAX,
        LeaseTime::Seconds(seconds) => seconds,
    }
}

/// When a lease of `seconds` is renewed and rebound: RFC 2131 §4.4.5's 0.5 and
/// 0.875, or as `configured` where that suits a lease that short, renewal first
/// (dnsmasq's rules).
fn renewal_times(seconds: u32, configured: [Option<u32>; 2]) -> [u32; 2] {
    let [t1, t2] = configured.map(|time| time.filter(|time| (3..seconds).contains(time)));
    let t2 = t2.unwrap_or(seconds - seconds / 8);
    let t1 = t1.unwrap_or(seconds / 2);
    [if t1 < t2 { t1 } else { t2.saturating_sub(1) }, t2]
}

/// RFC 2131 §4.1: the relay agent, if one sent the message on.
fn relay(request: &Request) -> Option<Destination> {
    let address = request.giaddr;
    request.relayed().then_some(Destination::Relay { address })
}

/// RFC 2131 §4.1, for an OFFER or ACK.
fn destination(request: &Request, client: &Client, yiaddr: Ipv4Addr) -> Destination {
    // One beyond a router is reached by whoever brought its message.
    let mac = if client.link.is_own {
        request.mac
    } else {
        client.sender.mac
    };
    if let Some(relay) = relay(request) {
        relay
    } else if !request.ciaddr.is_unspecified() {
        let address = request.ciaddr;
        Destination::Unicast { address, mac }
    } else if request.broadcast() {
        Destination::Broadcast
    } else {
        Destination::Unicast {
            address: yiaddr,
            mac,
        }
    }
}
