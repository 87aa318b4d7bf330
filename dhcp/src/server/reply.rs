//! Replies and where they go.

use std::net::Ipv4Addr;

use super::Server;
use super::client::Client;
use crate::config::LeaseTime;
use crate::outcome::{Destination, Event, Refusal, Reply, Silence};
use crate::wire::{self, Header, Request, Response};

const LEASE_TIME: u8 = 51;
const SERVER_ID: u8 = 54;
const MESSAGE: u8 = 56;
const T1: u8 = 58;
const T2: u8 = 59;
const CLIENT_ID: u8 = 61;

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
        let times = match time {
            LeaseTime::Infinite => vec![(LEASE_TIME, u32::MAX.to_be_bytes())],
            // T1 and T2 are RFC 2131 §4.4.5's defaults: 0.5 and 0.875.
            LeaseTime::Seconds(s) => vec![
                (LEASE_TIME, s.to_be_bytes()),
                (T1, (s / 2).to_be_bytes()),
                (T2, (s - s / 8).to_be_bytes()),
            ],
        };
        let header = Header {
            response,
            // Table 3: zero in an OFFER, the client's in an ACK.
            ciaddr: match response {
                Response::Ack => request.ciaddr,
                Response::Offer | Response::Nak => Ipv4Addr::UNSPECIFIED,
            },
            yiaddr: address,
            siaddr: self.config.server,
        };
        self.reply(request, client, header, &times, events)
    }

    /// The ACK to an INFORM: no address and no time (RFC 2131 §4.3.5).
    pub(super) fn parameters_reply(
        &self,
        request: &Request,
        client: &Client,
        events: &mut Vec<Event>,
    ) -> Result<Reply, Silence> {
        let header = Header {
            response: Response::Ack,
            ciaddr: request.ciaddr,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: self.config.server,
        };
        self.reply(request, client, header, &[], events)
    }

    /// A NAK that says why. RFC 2131 §4.1: always broadcast, since the client
    /// may be on a subnet where its address leads nowhere.
    pub(super) fn nak(
        &self,
        request: &Request,
        _client: &Client,
        refusal: Refusal,
    ) -> Result<Reply, Silence> {
        let header = Header {
            response: Response::Nak,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
        };
        let server = self.config.server.octets();
        let options = [
            (SERVER_ID, &server[..]),
            (MESSAGE, refusal.name().as_bytes()),
        ];
        let options = options.into_iter().chain(client_id(request));
        // These few always fit.
        let message = wire::encode(request, header, options, &mut Vec::new())?;
        Ok(Reply {
            message,
            destination: Destination::Broadcast,
        })
    }

    fn reply(
        &self,
        request: &Request,
        client: &Client,
        header: Header,
        times: &[(u8, [u8; 4])],
        events: &mut Vec<Event>,
    ) -> Result<Reply, Silence> {
        let server = self.config.server.octets();
        let options = std::iter::once((SERVER_ID, &server[..]))
            .chain(times.iter().map(|(code, time)| (*code, &time[..])))
            .chain(client_id(request))
            .chain(
                self.parameters
                    .select(request.parameters.as_deref(), client.name()),
            );
        let mut codes = Vec::new();
        let message = wire::encode(request, header, options, &mut codes)?;
        if !codes.is_empty() {
            events.push(Event::OptionsLeftOut {
                mac: request.mac,
                codes,
            });
        }
        Ok(Reply {
            message,
            destination: destination(request, header.yiaddr),
        })
    }
}

/// The client identifier, given back as it came (RFC 6842 §3).
fn client_id(request: &Request) -> Option<(u8, &[u8])> {
    request.client_id.as_deref().map(|id| (CLIENT_ID, id))
}

/// RFC 2131 §4.1, for an OFFER or ACK without relay.
fn destination(request: &Request, yiaddr: Ipv4Addr) -> Destination {
    let mac = request.mac;
    if !request.ciaddr.is_unspecified() {
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
