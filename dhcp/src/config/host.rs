//! Hosts that are known by name, address or tag.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use pnet_base::MacAddr;
use thiserror::Error;

use super::LeaseTime;
use crate::tag::Tag;

/// A host with an address, a name or tags of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// How it is recognised: by any of these, at least one. Where it has
    /// several hardware addresses, as a laptop has two, whichever has no live
    /// rival gets the address.
    pub keys: Vec<HostKey>,
    /// Its address in one of the subnets, in or out of a range; `None` to serve
    /// it from a range.
    pub address: Option<Ipv4Addr>,
    /// Its name, one label, which is sent to it (option 12) and shown in place
    /// of the one that it gives itself.
    pub name: Option<String>,
    /// How long its lease lasts, where not as everywhere.
    pub lease_time: Option<LeaseTime>,
    /// What it is marked with, beside `known`.
    pub set: Vec<Tag>,
    /// Whether it gets no answer at all.
    pub ignore: bool,
}

impl Host {
    /// The host of this key, of which nothing else is said.
    #[must_use]
    pub fn new(key: HostKey) -> Self {
        Self {
            keys: vec![key],
            address: None,
            name: None,
            lease_time: None,
            set: Vec::new(),
            ignore: false,
        }
    }
}

/// How a host is recognised. A client identifier goes before a MAC, that
/// before the name that a client gives itself, that before a MAC with
/// wildcards; of these, the one with the fewest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostKey {
    /// By its hardware address.
    Mac(MacPattern),
    /// By its client identifier as it comes in option 61, type byte first.
    ClientId(Vec<u8>),
    /// By the first label of the name that it gives itself, in any case.
    Name(String),
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "{mac}"),
            Self::ClientId(id) => {
                write!(f, "client-id ")?;
                crate::leasefile::write_hex(f, id)
            }
            Self::Name(name) => write!(f, "name {name}"),
        }
    }
}

impl From<MacAddr> for HostKey {
    fn from(mac: MacAddr) -> Self {
        Self::Mac(mac.into())
    }
}

/// A hardware address of which some octets may be any: `52:54:00:*:*:*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacPattern {
    /// Zero where any will do.
    octets: [u8; 6],
    /// All ones where the octet counts, zero where any will do.
    mask: [u8; 6],
}

/// Text that is no hardware address, nor a pattern for some.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is not a MAC address such as 52:54:00:12:34:56, nor one with '*' for some octets")]
pub struct MacPatternError(String);

impl MacPattern {
    /// The address, if no octet of it may be any other.
    #[must_use]
    pub fn exact(&self) -> Option<MacAddr> {
        (self.mask == [0xff; 6]).then(|| self.octets.into())
    }

    /// Whether `mac` is one of these.
    #[must_use]
    pub fn matches(&self, mac: MacAddr) -> bool {
        masked(mac, self.mask) == self.octets
    }

    /// All ones for each octet that counts.
    pub(crate) fn mask(&self) -> [u8; 6] {
        self.mask
    }

    /// The octets that count, zero for the others.
    pub(crate) fn octets(&self) -> [u8; 6] {
        self.octets
    }

    /// Whether it can be a station's: no group address, and not zero.
    pub(crate) fn is_station(&self) -> bool {
        let [first, ..] = self.octets;
        first & 1 == 0 && self.exact().is_none_or(|mac| !mac.is_zero())
    }
}

/// The octets of `mac` that count by `mask`, zero for the others.
pub(crate) fn masked(mac: MacAddr, mask: [u8; 6]) -> [u8; 6] {
    let mut octets = mac.octets();
    for (octet, mask) in octets.iter_mut().zip(mask) {
        *octet &= mask;
    }
    octets
}

impl From<MacAddr> for MacPattern {
    fn from(mac: MacAddr) -> Self {
        Self {
            octets: mac.octets(),
            mask: [0xff; 6],
        }
    }
}

impl FromStr for MacPattern {
    type Err = MacPatternError;

    fn from_str(text: &str) -> Result<Self, MacPatternError> {
        let error = || MacPatternError(text.to_owned());
        let mut pattern = Self::from(MacAddr::zero());
        let mut parts = text.split(':');
        for (octet, mask) in pattern.octets.iter_mut().zip(&mut pattern.mask) {
            match parts.next().ok_or_else(error)? {
                "*" => *mask = 0,
                hex if (1..=2).contains(&hex.len())
                    && hex.bytes().all(|b| b.is_ascii_hexdigit()) =>
                {
                    *octet = u8::from_str_radix(hex, 16).map_err(|_| error())?;
                }
                _ => return Err(error()),
            }
        }
        match parts.next() {
            None => Ok(pattern),
            Some(_) => Err(error()),
        }
    }
}

impl fmt::Display for MacPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (octet, mask)) in self.octets.iter().zip(self.mask).enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            if mask == 0 {
                write!(f, "{colon}*")?;
            } else {
                write!(f, "{colon}{octet:02x}")?;
            }
        }
        Ok(())
    }
}
