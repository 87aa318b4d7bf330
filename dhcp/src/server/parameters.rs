//! The options that a client is told.
//!
//! As in dnsmasq, mask and broadcast address always go out; anything else goes
//! out when the client asks for it (option 55), in the order in which it asks,
//! or when it does not say what it wants. The MTU always goes out too, as
//! libvirt has dnsmasq do it: few clients ask, and a guest with a longer MTU
//! than its network loses frames.

use std::collections::BTreeMap;

use crate::config::Config;

pub(super) const MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
pub(super) const HOSTNAME: u8 = 12;
const DOMAIN: u8 = 15;
const MTU: u8 = 26;
pub(super) const BROADCAST: u8 = 28;

/// Options that are sent whether asked for or not.
const ALWAYS: [u8; 3] = [MASK, BROADCAST, MTU];

/// The configured options in wire form.
#[derive(Debug)]
pub(super) struct Parameters(BTreeMap<u8, Vec<u8>>);

impl Parameters {
    /// Those that `config` gives: its own fields, overridden by its options.
    pub(super) fn new(config: &Config) -> Self {
        let mut options = BTreeMap::new();
        options.insert(MASK, config.subnet.netmask().octets().to_vec());
        options.insert(BROADCAST, config.subnet.broadcast().octets().to_vec());
        if let Some(router) = config.router {
            options.insert(ROUTER, router.octets().to_vec());
        }
        options.insert(DNS, config.dns.iter().flat_map(|a| a.octets()).collect());
        if let Some(domain) = &config.domain {
            options.insert(DOMAIN, domain.clone().into_bytes());
        }
        if let Some(mtu) = config.mtu {
            options.insert(MTU, mtu.to_be_bytes().to_vec());
        }
        options.extend(config.options.iter().cloned());
        options.retain(|_, value| !value.is_empty());
        Self(options)
    }

    /// What a client with the given name is told that asks for `requested`.
    pub(super) fn select<'a>(
        &'a self,
        requested: Option<&'a [u8]>,
        name: Option<&'a str>,
    ) -> impl Iterator<Item = (u8, &'a [u8])> {
        let all = requested.is_none();
        let everything = self
            .0
            .keys()
            .copied()
            .chain((!self.0.contains_key(&HOSTNAME)).then_some(HOSTNAME))
            .filter(move |_| all);
        let mut told = [false; 256];
        ALWAYS
            .into_iter()
            .chain(requested.unwrap_or_default().iter().copied())
            .chain(everything)
            .filter(move |code| {
                let first = told.get_mut(usize::from(*code));
                first.is_some_and(|told| !std::mem::replace(told, true))
            })
            .filter_map(move |code| {
                let name = name.filter(|_| code == HOSTNAME).map(str::as_bytes);
                Some((code, name.or_else(|| self.0.get(&code).map(Vec::as_slice))?))
            })
    }
}
