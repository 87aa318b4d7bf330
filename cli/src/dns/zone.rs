//! The names of the network's own, and what becomes of every question.
//!
//! Its rules are dnsmasq's as libvirt runs it, but for these: static hosts have
//! their name before they have a lease; a name that is known here is known whole,
//! so a type of it that is not is asked of nobody; and what is in the network's
//! domain is asked of nobody by default.

use super::lease_names::{Claim, LeaseNames};
use super::routes::{Route, Routes};
use super::special::{self, GATEWAY, NO_GUESTS};
use crate::config::Dns;
use crate::config::dns::DnsService;
use hickory_proto::op::Query;
use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use ipnet::{IpNet, Ipv4Net};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;
use vmlan_dhcp::{Host, HostKey};

/// How long others may keep that a name of ours does not exist, in seconds: a
/// guest that boots may bring it.
const NEGATIVE_TTL: u32 = 5;

/// How long others may keep that a name does not exist which never will.
const NEVER_TTL: u32 = 3600;

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// These records, and others that belong to them.
    Records(Vec<Record>, Vec<Record>),
    /// Nothing, by the domain with this SOA record: the name is not there, or
    /// (`true`) has no such record.
    Nothing(bool, Box<Record>),
    /// Nothing here: those are to be asked.
    Ask(Route),
}

/// What a zone is made of.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    /// `[dns]`.
    pub(crate) dns: &'a Dns,
    /// The network's domain.
    pub(crate) domain: Option<&'a str>,
    /// The gateway's address with its prefix.
    pub(crate) gateway: Ipv4Net,
    /// Other subnets that leases are of.
    pub(crate) subnets: Vec<Ipv4Net>,
    /// Static hosts of the DHCP server.
    pub(crate) hosts: &'a [Host],
    /// Whether the network leads nowhere.
    pub(crate) closed: bool,
}

/// The names that the configuration gives.
#[derive(Debug)]
pub(crate) struct Zone {
    domain: Option<Name>,
    subnets: Vec<IpNet>,
    ttl: u32,
    authoritative: bool,
    forward_plain_names: bool,
    routes: Routes,
    /// A name without records is one that others lie below.
    records: HashMap<LowerName, Vec<RData>>,
    pointers: HashMap<IpAddr, Name>,
    /// Labels whose address is not that of a lease.
    taken: HashSet<Box<str>>,
    /// Whose a label is, where the DHCP server knows the station and not its
    /// address.
    owners: HashMap<Box<str>, Vec<HostKey>>,
}

/// `text` as a name from the root on.
pub(crate) fn name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?.to_lowercase();
    name.set_fqdn(true);
    Some(name)
}

fn address(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

impl Zone {
    /// The zone of these.
    pub(crate) fn new(contents: &Contents<'_>) -> Self {
        let Contents { dns, gateway, .. } = contents;
        let own = std::iter::once(gateway.trunc());
        let subnets = own.chain(contents.subnets.iter().copied());
        let mut zone = Self {
            domain: contents.domain.and_then(name),
            subnets: subnets.map(IpNet::from).collect(),
            ttl: u32::try_from(dns.ttl.as_secs()).unwrap_or(u32::MAX),
            authoritative: dns.authoritative,
            forward_plain_names: dns.forward_plain_names,
            routes: Routes::new(&dns.forwarders, contents.closed),
            records: HashMap::new(),
            pointers: HashMap::new(),
            taken: HashSet::new(),
            owners: HashMap::new(),
        };
        for host in &dns.hosts {
            for name in &host.names {
                zone.add_host(name, host.address);
            }
        }
        for host in contents.hosts.iter().filter(|host| !host.ignore) {
            match (&host.name, host.address) {
                (Some(name), Some(address)) => zone.add_host(name, address.into()),
                (Some(name), None) => {
                    let owners = zone.owners.entry(name.to_ascii_lowercase().into());
                    owners.or_default().extend(host.keys.iter().cloned());
                }
                (None, _) => {}
            }
        }
        for text in &dns.texts {
            let values = text.values.iter().map(|it| it.as_bytes()).collect();
            zone.add_named(&text.name, &RData::TXT(TXT::from_bytes(values)));
        }
        for service in &dns.services {
            zone.add_service(service);
        }
        // Not where the configuration has given the name away.
        let taken = zone.own(GATEWAY).map(LowerName::from);
        if taken.is_none_or(|name| !zone.records.contains_key(&name)) {
            zone.add_host(GATEWAY, gateway.addr().into());
        }
        zone
    }

    /// `text` in the network's domain, where it has one.
    fn own(&self, text: &str) -> Option<Name> {
        let mut relative = name(text)?;
        relative.set_fqdn(false);
        relative.append_domain(self.domain.as_ref()?).ok()
    }

    /// The names that `text` of the configuration stands for: itself, and in
    /// the network's domain where it has no dot.
    fn names(&self, text: &str) -> Vec<Name> {
        let plain = !text.contains('.');
        let full = plain.then(|| self.own(text)).flatten();
        full.into_iter().chain(name(text)).collect()
    }

    fn add_host(&mut self, text: &str, of: IpAddr) {
        let names = self.names(text);
        if let Some(first) = names.first() {
            self.pointers.entry(of).or_insert_with(|| first.clone());
        }
        for name in names {
            self.add(name, address(of));
        }
    }

    fn add_named(&mut self, text: &str, data: &RData) {
        for name in self.names(text) {
            self.add(name, data.clone());
        }
    }

    fn add_service(&mut self, service: &DnsService) {
        let domain = match &service.domain {
            Some(domain) => name(domain),
            None => self.domain.clone(),
        };
        let target = match service.target.as_deref() {
            None => Some(Name::root()),
            Some(target) => self.names(target).into_iter().next(),
        };
        let full = domain.map(|it| format!("_{}._{}.{it}", service.service, service.protocol));
        if let (Some(full), Some(target)) = (full.as_deref().and_then(name), target) {
            let srv = SRV::new(service.priority, service.weight, service.port, target);
            self.add(full, RData::SRV(srv));
        }
    }

    /// Adds a record, and that the names above it exist as far as the network's
    /// domain goes.
    fn add(&mut self, name: Name, data: RData) {
        if let Some(domain) = &self.domain {
            let mut above = name.base_name();
            while domain.zone_of_case(&above) && above != *domain {
                self.records.entry(above.clone().into()).or_default();
                above = above.base_name();
            }
        }
        if is_address(&data)
            && let Some(label) = self.label(&name)
        {
            let label = label.into();
            self.taken.insert(label);
        }
        let list = self.records.entry(name.into()).or_default();
        if !list.contains(&data) {
            list.push(data);
        }
    }

    /// Whether `address` may ask: it is of a subnet of the network.
    pub(crate) fn serves(&self, address: Ipv4Addr) -> bool {
        let host = IpAddr::from(address);
        self.subnets.iter().any(|subnet| subnet.contains(&host))
    }

    /// What is answered to `query`, of class IN, at `now`.
    pub(crate) fn look_up(&self, query: &Query, leases: &LeaseNames, now: Instant) -> Found {
        let name = LowerName::new(query.name());
        let (data, lease) = (self.records.get(&name), self.leased(&name, leases, now));
        if data.is_some() || lease.is_some() {
            let data = data.map(Vec::as_slice).unwrap_or_default();
            return self.known(query, data, lease, leases, now);
        }
        if let Ok(net) = name.parse_arpa_name() {
            if let Some(found) = self.reverse(query, &name, &net, leases, now) {
                return found;
            }
        } else if let Some(domain) = self.domain.as_ref().filter(|it| it.zone_of_case(&name)) {
            let (forwarded, route) = self.routes.of(&name);
            let within = forwarded.is_some_and(|it| domain.zone_of_case(it));
            if !within && self.authoritative {
                return self.apex(query, domain, &name);
            }
            if within && *route == Route::Nobody {
                return self.apex(query, domain, &name);
            }
        }
        self.elsewhere(query, &name)
    }

    /// What is answered to a question for a name with the records `data`, or a
    /// `lease`.
    fn known(
        &self,
        query: &Query,
        data: &[RData],
        lease: Option<(RData, u32)>,
        leases: &LeaseNames,
        now: Instant,
    ) -> Found {
        let kind = query.query_type();
        let fixed = data.iter().map(|data| (data.clone(), self.ttl));
        let answers: Vec<Record> = fixed
            .chain(lease)
            .filter(|(data, _)| wanted(kind, data))
            .map(|(data, ttl)| record(query.name(), ttl, data))
            .collect();
        if answers.is_empty() {
            return match &self.domain {
                Some(domain) if domain == query.name() => self.apex(query, domain, domain),
                domain => self.nothing(true, domain.as_ref()),
            };
        }
        let mut more = Vec::new();
        for answer in &answers {
            if let RData::SRV(service) = &answer.data {
                let target = &service.target;
                let known = self.records.get(&LowerName::new(target));
                let known = known.into_iter().flatten().filter(|it| is_address(it));
                let known = known.map(|data| (data.clone(), self.ttl));
                let known = known.chain(self.leased(target, leases, now));
                more.extend(known.map(|(data, ttl)| record(target, ttl, data)));
            }
        }
        Found::Records(answers, more)
    }

    /// The address of the lease that has the name, and for how long others may
    /// keep it, in seconds.
    fn leased(&self, name: &Name, leases: &LeaseNames, now: Instant) -> Option<(RData, u32)> {
        let label = self.label(name)?;
        let (address, claim) = self.holder(label, leases, now)?;
        Some((RData::A(A(address)), self.ttl_of(claim, now)))
    }

    /// The label of a name that a lease can have: alone, or in the network's
    /// domain.
    fn label<'a>(&self, name: &'a Name) -> Option<&'a str> {
        let mut labels = name.iter();
        let label = labels.next()?;
        if labels.len() > 0 && !labels.eq(self.domain.as_ref()?.iter()) {
            return None;
        }
        str::from_utf8(label).ok()
    }

    /// Who has `label` by a lease.
    fn holder<'a>(
        &self,
        label: &str,
        leases: &'a LeaseNames,
        now: Instant,
    ) -> Option<(Ipv4Addr, &'a Claim)> {
        if NO_GUESTS.contains(&label) || self.taken.contains(label) {
            return None;
        }
        let mut claims = leases.claims(label, now);
        match self.owners.get(label) {
            Some(keys) => claims.find(|(_, claim)| claim.is_by(keys)),
            None => claims.next(),
        }
    }

    fn ttl_of(&self, claim: &Claim, now: Instant) -> u32 {
        let left = claim.ends.map(|ends| ends.saturating_duration_since(now));
        let left = left.map_or(u64::MAX, |left| left.as_secs());
        u32::try_from(left).unwrap_or(u32::MAX).min(self.ttl)
    }

    /// What is answered to a question for `net`, the addresses of a reverse name;
    /// `None`: others may know.
    fn reverse(
        &self,
        query: &Query,
        name: &LowerName,
        net: &IpNet,
        leases: &LeaseNames,
        now: Instant,
    ) -> Option<Found> {
        let is_address = net.prefix_len() == net.max_prefix_len();
        let subnet = self.subnets.iter().find(|it| it.contains(net));
        let zone = |of: &IpNet| special::reverse_domain(of, net);
        if is_address && let Some((target, ttl)) = self.pointer(net.addr(), leases, now) {
            let data = RData::PTR(PTR(target));
            return Some(match wanted(query.query_type(), &data) {
                true => Found::Records(vec![record(query.name(), ttl, data)], Vec::new()),
                false => self.nothing(true, Some(&zone(subnet.unwrap_or(net)))),
            });
        }
        let of = subnet.copied().or_else(|| special::private(net))?;
        if let (Some(_), Route::Servers(_) | Route::Host) = self.routes.of(name) {
            return None;
        }
        let apex = zone(&of);
        if *name == LowerName::new(&apex) {
            return Some(self.apex(query, &apex, name));
        }
        Some(self.nothing(!is_address, Some(&apex)))
    }

    fn pointer(&self, address: IpAddr, leases: &LeaseNames, now: Instant) -> Option<(Name, u32)> {
        if let Some(name) = self.pointers.get(&address) {
            return Some((name.clone(), self.ttl));
        }
        let IpAddr::V4(address) = address else {
            return None;
        };
        let claim = leases.of(address, now)?;
        let (holder, _) = self.holder(&claim.label, leases, now)?;
        let name = self.names(&claim.label).into_iter().next()?;
        (holder == address).then(|| (name, self.ttl_of(claim, now)))
    }

    /// What is answered to a question for `name`, which is in `domain` and not
    /// known.
    fn apex(&self, query: &Query, domain: &Name, name: &Name) -> Found {
        if name != domain {
            return self.nothing(false, Some(domain));
        }
        match query.query_type() {
            RecordType::SOA => Found::Records(vec![self.soa(domain, NEGATIVE_TTL)], Vec::new()),
            _ => self.nothing(true, Some(domain)),
        }
    }

    /// What is answered to a question for a name that is not ours.
    fn elsewhere(&self, query: &Query, name: &LowerName) -> Found {
        let (forwarded, route) = self.routes.of(name);
        if name.iter().next_back() == Some(b"localhost") {
            return self.localhost(query);
        }
        if forwarded.is_none() {
            if let Some(domain) = special::nowhere(name) {
                return Found::Nothing(**name == *domain, Box::new(self.soa(domain, NEVER_TTL)));
            }
            // Of a top-level domain only resolvers ask, and these.
            let of_domains = matches!(
                query.query_type(),
                RecordType::NS | RecordType::SOA | RecordType::DS | RecordType::DNSKEY
            );
            if name.num_labels() == 1 && !self.forward_plain_names && !of_domains {
                return self.nothing(false, Some(&Name::root()));
            }
        }
        match route {
            Route::Nobody => self.nothing(forwarded == Some(name), forwarded.map(|it| &**it)),
            route => Found::Ask(route.clone()),
        }
    }

    /// RFC 6761 §6.3.
    fn localhost(&self, query: &Query) -> Found {
        let data = match query.query_type() {
            RecordType::A => RData::A(A(Ipv4Addr::LOCALHOST)),
            RecordType::AAAA => RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)),
            _ => return self.nothing(true, name("localhost").as_ref()),
        };
        Found::Records(vec![record(query.name(), self.ttl, data)], Vec::new())
    }

    fn nothing(&self, exists: bool, domain: Option<&Name>) -> Found {
        let root = Name::root();
        let domain = domain.unwrap_or(&root);
        Found::Nothing(exists, Box::new(self.soa(domain, NEGATIVE_TTL)))
    }

    /// By this others know how long to keep that there is nothing (RFC 2308 §3).
    fn soa(&self, domain: &Name, ttl: u32) -> Record {
        let server = self.own(GATEWAY).unwrap_or_else(|| domain.clone());
        let nobody = name("nobody.invalid").unwrap_or_default();
        let soa = SOA::new(server, nobody, 1, 3600, 1200, 604_800, ttl);
        record(domain, ttl, RData::SOA(soa))
    }
}

/// Whether `data` is what a question for `kind` asks for. To ANY all is an
/// answer.
fn wanted(kind: RecordType, data: &RData) -> bool {
    kind == RecordType::ANY || kind == data.record_type()
}

fn is_address(data: &RData) -> bool {
    matches!(data, RData::A(_) | RData::AAAA(_))
}

fn record(name: &Name, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name.clone(), ttl, data)
}

#[cfg(test)]
mod tests;
