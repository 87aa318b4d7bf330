//! The options that a client is told.
//!
//! As in dnsmasq, mask and broadcast address always go out; anything else goes
//! out when the client asks for it (option 55), when it does not say what it
//! wants, or when the configuration forces it. The MTU always goes out too, as
//! libvirt has dnsmasq do it: few clients ask, and a guest with a longer MTU than
//! its network loses frames. What the client asks for comes in its order (RFC
//! 2132 §9.8) but for the mask, which has to stand before a router (§3.3).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::client::Client;
use super::vendor::{Enterprises, VendorOptions};
use crate::config::Config;
use crate::options::{Boot, Scope, Setting};
use crate::tag::Tags;
use crate::wire::Request;

pub(super) const MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
pub(super) const HOSTNAME: u8 = 12;
const DOMAIN: u8 = 15;
const MTU: u8 = 26;
pub(super) const BROADCAST: u8 = 28;
const T1: u8 = 58;
const T2: u8 = 59;
const VENDOR_CLASS: u8 = 60;
const SERVER_NAME: u8 = 66;
const BOOT_FILE: u8 = 67;
/// RFC 8925 §3.3: sent to those who ask for it by name only.
const IPV6_ONLY: u8 = 108;

/// Options that are sent whether asked for or not, beside the mask.
const ALWAYS: [u8; 2] = [BROADCAST, MTU];

/// The longest text in the fields `sname` and `file`.
const MAX_SNAME: usize = 63;
const MAX_FILE: usize = 127;

/// The configured options in wire form.
#[derive(Debug)]
pub(super) struct Parameters {
    /// Those that stand among a message's options, by code, as configured.
    settings: BTreeMap<u8, Vec<Setting>>,
    /// Codes of which a setting is forced.
    forced: Vec<u8>,
    vendors: VendorOptions,
    enterprises: Enterprises,
    boots: Vec<Boot>,
}

/// Who is told, and what it asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) request: &'a Request,
    pub(super) client: &'a Client,
    /// The name that it is told.
    pub(super) name: Option<&'a str>,
}

impl Asker<'_> {
    fn asks_for(&self, code: u8) -> bool {
        let requested = self.request.parameters.as_deref();
        requested.is_some_and(|codes| codes.contains(&code))
    }

    /// Whether it is sent `code` if there is a value: it asks, or does not say
    /// what it wants.
    pub(super) fn takes(&self, code: u8) -> bool {
        self.request.parameters.is_none() || self.asks_for(code)
    }
}

/// What a client is told beside its lease.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    /// The server to boot from; none: this one.
    pub(super) next_server: Option<Ipv4Addr>,
    /// For the field `sname`.
    pub(super) sname: &'a [u8],
    /// For the field `file`.
    pub(super) file: &'a [u8],
    /// Options in their order.
    pub(super) options: Vec<(u8, Cow<'a, [u8]>)>,
}

/// An option that is made for one client, and whether it gets it unasked.
struct Made<'a> {
    code: u8,
    value: Cow<'a, [u8]>,
    force: bool,
}

impl Parameters {
    /// Those that `config` gives: its own fields, overridden by its options.
    pub(super) fn new(config: &Config) -> Self {
        let mut settings: BTreeMap<u8, Vec<Setting>> = BTreeMap::new();
        let mut own = |code, value: Vec<u8>| {
            if !value.is_empty() {
                settings.insert(code, vec![Setting::from((code, value))]);
            }
        };
        own(DNS, config.dns.iter().flat_map(|a| a.octets()).collect());
        own(
            DOMAIN,
            config.domain.clone().unwrap_or_default().into_bytes(),
        );
        own(
            MTU,
            config
                .mtu
                .map_or_else(Vec::new, |m| m.to_be_bytes().to_vec()),
        );
        let mut forced = Vec::new();
        for setting in &config.options {
            if setting.scope == Scope::Message {
                // The last that matches counts: the file's before our own.
                settings
                    .entry(setting.code)
                    .or_default()
                    .push(setting.clone());
                forced.extend(setting.force.then_some(setting.code));
            }
        }
        Self {
            settings,
            forced,
            vendors: VendorOptions::new(&config.options),
            enterprises: Enterprises::new(&config.options),
            boots: config.boots.clone(),
        }
    }

    /// The renewal and rebinding time (options 58 and 59) that are configured,
    /// in seconds.
    pub(super) fn times(&self, tags: &Tags) -> [Option<u32>; 2] {
        [T1, T2].map(|code| {
            let value = self.chosen(code, tags)?.value.as_slice();
            value.try_into().ok().map(u32::from_be_bytes)
        })
    }

    /// What `asker` is told; the codes of what no option has room for are
    /// added to `left_out`.
    pub(super) fn select<'a>(&'a self, asker: Asker<'a>, left_out: &mut Vec<u8>) -> Told<'a> {
        let mut told = Told::default();
        let mut made = self.network(asker);
        self.boot(asker, &mut told, &mut made);
        self.vendor(asker, &mut made, left_out);

        let (request, tags) = (asker.request, &asker.client.tags);
        let requested = request.parameters.as_deref();
        let everything = made
            .iter()
            .map(|m| m.code)
            .chain(self.settings.keys().copied());
        let everything = everything.filter(|code| requested.is_none() && *code != IPV6_ONLY);
        let mut done = [false; 256];
        let mut first = |code: u8| {
            let done = done.get_mut(usize::from(code));
            done.is_some_and(|done| !std::mem::replace(done, true))
        };
        // Sent by others, or in fields.
        let fields = [(SERVER_NAME, told.sname), (BOOT_FILE, told.file)];
        let in_fields = fields
            .iter()
            .filter(|(code, field)| !field.is_empty() && !self.is_forced(*code, tags));
        for code in in_fields.map(|(code, _)| *code).chain([T1, T2]) {
            first(code);
        }
        let unasked = ALWAYS.into_iter().filter(|code| !asker.asks_for(*code));
        let asked = std::iter::once(MASK)
            .chain(unasked)
            .chain(requested.unwrap_or_default().iter().copied())
            .chain(everything);
        let forced = made.iter().filter(|m| m.force).map(|m| m.code).chain(
            self.forced
                .iter()
                .copied()
                .filter(|code| self.is_forced(*code, tags)),
        );
        for code in asked.chain(forced).filter(|code| first(*code)) {
            let made = made.iter().find(|m| m.code == code);
            let value = made.map(|m| m.value.clone()).or_else(|| {
                let value = self.chosen(code, tags)?.value.as_slice();
                Some(match code {
                    SERVER_NAME | BOOT_FILE if !value.is_empty() => terminated(value).into(),
                    _ => value.into(),
                })
            });
            let value = value.filter(|value| !value.is_empty());
            told.options.extend(value.map(|value| (code, value)));
        }
        told
    }

    /// Whether `asker` takes a router, and none is configured among the options.
    pub(super) fn lack_router(&self, asker: Asker<'_>) -> bool {
        asker.takes(ROUTER) && self.chosen(ROUTER, &asker.client.tags).is_none()
    }

    fn is_forced(&self, code: u8, tags: &Tags) -> bool {
        self.chosen(code, tags).is_some_and(|setting| setting.force)
    }

    fn chosen(&self, code: u8, tags: &Tags) -> Option<&Setting> {
        Setting::choose(self.settings.get(&code)?.iter(), tags)
    }

    /// What follows from where the client is and who, where nothing else is configured.
    fn network<'a>(&self, asker: Asker<'a>) -> Vec<Made<'a>> {
        let client = asker.client;
        let (subnet, router) = (client.link.subnet, client.router);
        let address = |code, address: Ipv4Addr| (code, address.octets().to_vec());
        let own = [
            Some(address(MASK, subnet.netmask())),
            Some(address(BROADCAST, subnet.broadcast())),
            router.map(|router| address(ROUTER, router)),
        ];
        let name = asker.name.map(|name| (HOSTNAME, name.as_bytes().to_vec()));
        let own = own.into_iter().chain([name]).flatten();
        own.filter(|(code, _)| self.chosen(*code, &client.tags).is_none())
            .map(|(code, value)| Made {
                code,
                value: value.into(),
                force: false,
            })
            .collect()
    }

    /// File and server to boot from: as options if the client asks for these,
    /// else in the fields of the header.
    fn boot<'a>(&'a self, asker: Asker<'a>, told: &mut Told<'a>, made: &mut Vec<Made<'a>>) {
        let (request, tags) = (asker.request, &asker.client.tags);
        let boot = Boot::choose(&self.boots, &request.architectures, tags);
        told.next_server = boot.next_server;
        let configured = |code| {
            let setting = self.chosen(code, tags)?;
            (!setting.force).then_some(setting.value.as_slice())
        };
        let file = boot
            .filename
            .map(str::as_bytes)
            .or_else(|| configured(BOOT_FILE));
        let name = boot
            .server_name
            .map(str::as_bytes)
            .or_else(|| configured(SERVER_NAME));
        for (code, value, most, field) in [
            (SERVER_NAME, name, MAX_SNAME, &mut told.sname),
            (BOOT_FILE, file, MAX_FILE, &mut told.file),
        ] {
            match value {
                Some(value) if asker.asks_for(code) || value.len() > most => made.push(Made {
                    code,
                    value: terminated(value).into(),
                    force: true,
                }),
                Some(value) => *field = value,
                None => {}
            }
        }
        // Firmware takes a URI only from a server that says that it means it.
        let class = request.vendor_class.as_deref().unwrap_or_default();
        if boot.is_http()
            && class.starts_with(HTTP_CLIENT)
            && self.chosen(VENDOR_CLASS, tags).is_none()
        {
            made.push(Made {
                code: VENDOR_CLASS,
                value: HTTP_CLIENT.into(),
                force: true,
            });
        }
    }

    /// Options inside of options 43 and 125, and what belongs to them.
    fn vendor<'a>(&'a self, asker: Asker<'a>, made: &mut Vec<Made<'a>>, left_out: &mut Vec<u8>) {
        let tags = &asker.client.tags;
        let sent = self.chosen(VENDOR_CLASS, tags);
        let sent = sent.filter(|s| s.force || asker.takes(VENDOR_CLASS));
        let sent = sent.map(|setting| setting.value.as_slice());
        let vendor = self.vendors.select(asker, sent);
        let enterprises = self.enterprises.select(asker, left_out);
        made.extend(
            vendor
                .into_iter()
                .chain(enterprises)
                .map(|(code, value)| Made {
                    code,
                    value,
                    force: true,
                }),
        );
    }
}

/// The vendor class of firmware that boots by HTTP (UEFI specification §24.7).
const HTTP_CLIENT: &[u8] = b"HTTPClient";

/// As in dnsmasq, file and server name end with a zero, which some boot ROMs
/// rely on.
fn terminated(value: &[u8]) -> Vec<u8> {
    [value, &[0]].concat()
}
