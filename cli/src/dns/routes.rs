//! Who is asked for a name that is not of the network's own.

use crate::config::dns::{Forwarder, Whom};
use hickory_proto::rr::{LowerName, Name};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// These, in their order.
    Servers(Arc<[SocketAddr]>),
    /// Those that the host asks.
    Host,
    /// Nobody: the name does not exist.
    Nobody,
    /// Nobody, since the network leads nowhere: the question is refused.
    Closed,
}

/// Who is asked, by domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Routes {
    domains: BTreeMap<LowerName, Route>,
    /// For what is in none of these.
    rest: Route,
}

impl Routes {
    /// Those of `forwarders`. What none is for is asked of those that the host
    /// asks, unless the network is `closed`: what a guest asks would get out of it.
    pub(crate) fn new(forwarders: &[Forwarder], closed: bool) -> Self {
        let mut servers: BTreeMap<Option<LowerName>, (Vec<SocketAddr>, Option<Route>)> =
            BTreeMap::new();
        for forwarder in forwarders {
            let domain = forwarder.domain.as_deref().and_then(super::zone::name);
            // A name that the configuration takes and DNS does not is nobody's.
            if domain.is_none() != forwarder.domain.is_none() {
                continue;
            }
            let (list, other) = servers.entry(domain.map(LowerName::from)).or_default();
            match forwarder.to {
                Whom::Server(server) => list.push(server),
                Whom::Host => *other = Some(Route::Host),
                Whom::Nobody => *other = Some(Route::Nobody),
            }
        }
        let mut rest = if closed { Route::Closed } else { Route::Host };
        let mut domains = BTreeMap::new();
        for (domain, (list, other)) in servers {
            let route = match (list.is_empty(), other) {
                (_, Some(Route::Nobody)) => Route::Nobody,
                (true, other) if closed => other.map_or(Route::Closed, |_| Route::Closed),
                (true, other) => other.unwrap_or(Route::Host),
                (false, _) => Route::Servers(list.into()),
            };
            match domain {
                Some(domain) => {
                    domains.insert(domain, route);
                }
                None => rest = route,
            }
        }
        Self { domains, rest }
    }

    /// Who is asked for `name`: the forwarder of the longest domain that holds
    /// it, with that domain, or the one for all others.
    pub(crate) fn of(&self, name: &LowerName) -> (Option<&LowerName>, &Route) {
        if !self.domains.is_empty() {
            let mut part = name.clone();
            loop {
                if let Some((domain, route)) = self.domains.get_key_value(&part) {
                    return (Some(domain), route);
                }
                if part.is_root() {
                    break;
                }
                part = Name::from(part).base_name().into();
            }
        }
        (None, &self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarder(domain: Option<&str>, to: Whom) -> Forwarder {
        let domain = domain.map(str::to_owned);
        Forwarder { domain, to }
    }

    fn server(last: u8) -> Whom {
        Whom::Server(SocketAddr::from(([192, 0, 2, last], 53)))
    }

    fn asked(routes: &Routes, name: &str) -> Route {
        routes
            .of(&LowerName::from(super::super::zone::name(name).unwrap()))
            .1
            .clone()
    }

    fn servers(list: &[u8]) -> Route {
        let list = list
            .iter()
            .map(|it| SocketAddr::from(([192, 0, 2, *it], 53)));
        Route::Servers(list.collect())
    }

    #[test]
    fn the_longest_domain_says_who_is_asked() {
        let forwarders = [
            forwarder(Some("corp.example"), server(1)),
            forwarder(Some("corp.example"), server(2)),
            forwarder(Some("eu.corp.example"), server(3)),
            forwarder(Some("here.corp.example"), Whom::Host),
            forwarder(Some("test"), Whom::Nobody),
        ];
        let routes = Routes::new(&forwarders, false);
        assert_eq!(asked(&routes, "a.corp.example"), servers(&[1, 2]));
        assert_eq!(asked(&routes, "corp.example"), servers(&[1, 2]));
        assert_eq!(asked(&routes, "b.a.eu.corp.example"), servers(&[3]));
        assert_eq!(asked(&routes, "x.here.corp.example"), Route::Host);
        assert_eq!(asked(&routes, "x.test"), Route::Nobody);
        assert_eq!(asked(&routes, "acorp.example"), Route::Host);
        assert_eq!(asked(&routes, "example"), Route::Host);
    }

    #[test]
    fn a_forwarder_without_a_domain_is_for_the_rest() {
        let routes = Routes::new(&[forwarder(None, server(9))], false);
        assert_eq!(asked(&routes, "example.org"), servers(&[9]));
    }

    #[test]
    fn a_closed_network_asks_only_whom_it_is_told_to() {
        let forwarders = [
            forwarder(Some("corp.example"), server(1)),
            forwarder(Some("here.example"), Whom::Host),
        ];
        let routes = Routes::new(&forwarders, true);
        assert_eq!(asked(&routes, "a.corp.example"), servers(&[1]));
        assert_eq!(asked(&routes, "a.here.example"), Route::Closed);
        assert_eq!(asked(&routes, "example.org"), Route::Closed);
    }
}
