//! Options of vendors: those inside of option 43 (RFC 2132 §8.4), which mean
//! what the client's vendor class says, and inside of option 125 (RFC 3925 §4).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::parameters::Asker;
use crate::options::{Scope, Setting};
use crate::tag::Tags;

const VENDOR_OPTIONS: u8 = 43;
const VENDOR_CLASS: u8 = 60;
const MACHINE_ID: u8 = 97;
const ENTERPRISE_OPTIONS: u8 = 125;
const END: u8 = 255;

/// The vendor class of boot ROMs (PXE specification 2.1 §2.2).
const PXE_CLIENT: &[u8] = b"PXEClient";
/// How a boot ROM finds its server.
const PXE_DISCOVERY_CONTROL: u8 = 6;
/// Not at all: it takes the file that this message names.
const PXE_NO_DISCOVERY: &[u8] = &[8];
const PXE_MENU_PROMPT: u8 = 10;
/// Goes on without waiting for a key.
const PXE_NO_PROMPT: &[u8] = b"\0PXE";

/// An option for a reply.
type Sent<'a> = (u8, Cow<'a, [u8]>);

/// The settings of [`Scope::Vendor`], in their order.
#[derive(Debug)]
pub(super) struct VendorOptions(Vec<(Box<[u8]>, Setting)>);

impl VendorOptions {
    pub(super) fn new(settings: &[Setting]) -> Self {
        let of_vendors = settings.iter().filter_map(|setting| match &setting.scope {
            Scope::Vendor(class) => Some((class.as_bytes().into(), setting.clone())),
            Scope::Message | Scope::Enterprise(_) => None,
        });
        Self(of_vendors.collect())
    }

    /// Option 43 for `asker`, and what has to go with it, if the client takes
    /// it and anything in it is for its vendor class or for `sent`, the one that
    /// it is sent itself.
    pub(super) fn select<'a>(&'a self, asker: Asker<'a>, sent: Option<&'a [u8]>) -> Vec<Sent<'a>> {
        let request = asker.request;
        let class = request.vendor_class.as_deref();
        let mut by_code: BTreeMap<u8, Vec<&Setting>> = BTreeMap::new();
        for (wanted, setting) in &self.0 {
            if [class, sent]
                .into_iter()
                .flatten()
                .any(|class| contains(class, wanted))
            {
                by_code.entry(setting.code).or_default().push(setting);
            }
        }
        let (mut options, force) = chosen(&by_code, &asker.client.tags);
        if options.is_empty() || !(force || asker.takes(VENDOR_OPTIONS)) {
            return Vec::new();
        }
        let pxe = class.is_some_and(|class| class.starts_with(PXE_CLIENT));
        let mut all = Vec::new();
        if pxe {
            // Without these a ROM looks for boot servers, or waits for a key.
            options
                .entry(PXE_DISCOVERY_CONTROL)
                .or_insert(PXE_NO_DISCOVERY);
            options.entry(PXE_MENU_PROMPT).or_insert(PXE_NO_PROMPT);
            all.push((VENDOR_CLASS, PXE_CLIENT.into()));
            all.extend(
                request
                    .machine_id
                    .as_ref()
                    .map(|id| (MACHINE_ID, id.as_slice().into())),
            );
        } else if sent.is_none() {
            // Whose options these are.
            all.extend(class.map(|class| (VENDOR_CLASS, class.into())));
        }
        let mut value = encapsulated(&options);
        value.push(END);
        all.push((VENDOR_OPTIONS, value.into()));
        all
    }
}

/// The settings of [`Scope::Enterprise`] by enterprise and code.
#[derive(Debug)]
pub(super) struct Enterprises(BTreeMap<u32, BTreeMap<u8, Vec<Setting>>>);

impl Enterprises {
    pub(super) fn new(settings: &[Setting]) -> Self {
        let mut all: BTreeMap<u32, BTreeMap<u8, Vec<Setting>>> = BTreeMap::new();
        for setting in settings {
            if let Scope::Enterprise(number) = setting.scope {
                let codes = all.entry(number).or_default();
                codes.entry(setting.code).or_default().push(setting.clone());
            }
        }
        Self(all)
    }

    /// Option 125 for `asker`. An enterprise whose options take more than 255
    /// bytes is left out, as its length could not be written down.
    pub(super) fn select<'a>(
        &'a self,
        asker: Asker<'a>,
        left_out: &mut Vec<u8>,
    ) -> Option<Sent<'a>> {
        let mut value = Vec::new();
        for (number, by_code) in &self.0 {
            let by_code = by_code
                .iter()
                .map(|(code, list)| (*code, list.iter().collect()));
            let (options, force) = chosen(&by_code.collect(), &asker.client.tags);
            if options.is_empty() || !(force || asker.takes(ENTERPRISE_OPTIONS)) {
                continue;
            }
            let data = encapsulated(&options);
            let Ok(length) = u8::try_from(data.len()) else {
                left_out.push(ENTERPRISE_OPTIONS);
                continue;
            };
            value.extend(number.to_be_bytes());
            value.push(length);
            value.extend(data);
        }
        (!value.is_empty()).then(|| (ENTERPRISE_OPTIONS, value.into()))
    }
}

/// Of each sub-option the value that counts for `tags`, and whether any of
/// these is forced.
fn chosen<'a>(
    by_code: &BTreeMap<u8, Vec<&'a Setting>>,
    tags: &Tags,
) -> (BTreeMap<u8, &'a [u8]>, bool) {
    let settings = by_code.iter().filter_map(|(code, list)| {
        let setting = Setting::choose(list.iter().copied(), tags)?;
        (!setting.value.is_empty()).then_some((*code, setting))
    });
    let mut force = false;
    let values = settings
        .inspect(|(_, setting)| force |= setting.force)
        .map(|(code, setting)| (code, setting.value.as_slice()));
    (values.collect(), force)
}

/// Sub-options one after the other. None is longer than its length can say.
fn encapsulated(options: &BTreeMap<u8, &[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (code, value) in options {
        if let Ok(length) = u8::try_from(value.len()) {
            bytes.extend([*code, length]);
            bytes.extend_from_slice(value);
        }
    }
    bytes
}

/// Whether `part` stands anywhere in `class`: dnsmasq's rule.
fn contains(class: &[u8], part: &[u8]) -> bool {
    part.is_empty() || class.windows(part.len()).any(|window| window == part)
}
