//! A known station in the form of the control API and of STATE/NAME/hosts.toml:
//! the keys of `[[dhcp.host]]`.

use super::Problem;
use super::dhcp_host::{identifier, mac_pattern};
use super::value::{domain_name, duration_text, lease_time};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;
use vmlan_dhcp::{Host, HostKey, LeaseTime, hostname, leasefile};

/// A station with an address, a name or tags of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostEntry {
    /// MAC addresses, `*` for an octet that may be any.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub mac: Texts,
    /// Client identifiers in hex with colons.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub client_id: Texts,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// Its name; what it is recognised by where nothing else is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long its lease lasts, as `1h` or `infinite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_time: Option<String>,
    /// The tags that it sets.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub set: Texts,
    /// Whether it gets no answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore: bool,
}

/// One text or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    /// One.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

impl Texts {
    /// The texts, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        match self {
            Self::One(text) => std::slice::from_ref(text).iter(),
            Self::Many(texts) => texts.iter(),
        }
    }

    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl FromIterator<String> for Texts {
    fn from_iter<I: IntoIterator<Item = String>>(texts: I) -> Self {
        let mut texts: Vec<String> = texts.into_iter().collect();
        match texts.pop() {
            Some(one) if texts.is_empty() => Self::One(one),
            last => {
                texts.extend(last);
                Self::Many(texts)
            }
        }
    }
}

impl HostEntry {
    /// The MACs and client identifiers that it is recognised by, as one text;
    /// empty where its name is what it is recognised by.
    #[must_use]
    pub fn keys(&self) -> String {
        let ids = self.client_id.iter().map(|id| format!("client-id {id}"));
        let keys: Vec<String> = self.mac.iter().cloned().chain(ids).collect();
        keys.join(", ")
    }

    /// What the server makes of it.
    ///
    /// # Errors
    /// A value that its key does not take, or nothing to recognise it by.
    pub fn host(&self) -> Result<Host, Problem> {
        let macs = self.mac.iter().map(|text| mac_pattern(text));
        let ids = self.client_id.iter().map(|text| identifier(text));
        let mut keys: Vec<HostKey> = macs.chain(ids).collect::<Result<_, _>>()?;
        let name = self.name.as_deref().map(domain_name).transpose()?;
        if let Some(name) = name.as_ref().filter(|name| !hostname::is_label(name)) {
            return Err(Problem::new(format!("{name:?} is no host name"))
                .help("use 1 to 63 letters, digits and inner hyphens, without a domain"));
        }
        if keys.is_empty() {
            keys.extend(name.clone().map(HostKey::Name));
        }
        if keys.is_empty() {
            let problem = Problem::new("this host has none of `mac`, `client-id` and `name`");
            return Err(problem.help("say which station it is"));
        }
        let time = self.lease_time.as_deref().map(lease_time).transpose()?;
        let tag = |text: &String| {
            text.parse()
                .map_err(|e: vmlan_dhcp::tag::TagError| Problem::new(e.to_string()))
        };
        Ok(Host {
            keys,
            address: self.address,
            name,
            lease_time: time.map(Into::into),
            set: self.set.iter().map(tag).collect::<Result<_, _>>()?,
            ignore: self.ignore,
        })
    }
}

impl From<&Host> for HostEntry {
    fn from(host: &Host) -> Self {
        let macs = host.keys.iter().filter_map(|key| match key {
            HostKey::Mac(mac) => Some(mac.to_string()),
            HostKey::ClientId(_) | HostKey::Name(_) => None,
        });
        let ids = host.keys.iter().filter_map(|key| match key {
            HostKey::ClientId(id) => {
                let mut text = String::new();
                // Writing to a string does not fail.
                let _ = leasefile::write_hex(&mut text, id);
                Some(text)
            }
            HostKey::Mac(_) | HostKey::Name(_) => None,
        });
        Self {
            mac: macs.collect(),
            client_id: ids.collect(),
            address: host.address,
            name: host.name.clone(),
            lease_time: host.lease_time.map(|time| match time {
                LeaseTime::Infinite => "infinite".to_owned(),
                LeaseTime::Seconds(seconds) => duration_text(Duration::from_secs(seconds.into())),
            }),
            set: host.set.iter().map(ToString::to_string).collect(),
            ignore: host.ignore,
        }
    }
}

impl fmt::Display for HostEntry {
    /// By what it is recognised.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys();
        match &self.name {
            Some(name) if keys.is_empty() => f.write_str(name),
            _ => f.write_str(&keys),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> HostEntry {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_entry_and_its_host_say_the_same() {
        for json in [
            r#"{"mac":"52:54:00:00:00:01","address":"10.0.0.9","name":"db"}"#,
            r#"{"mac":["52:54:00:00:00:01","52:54:00:00:01:*"],"set":"red","ignore":true}"#,
            r#"{"client-id":"01:52:54","lease-time":"2h"}"#,
            r#"{"name":"db","lease-time":"infinite","set":["a","b"]}"#,
        ] {
            let entry = entry(json);
            assert_eq!(HostEntry::from(&entry.host().unwrap()), entry);
            assert_eq!(serde_json::to_string(&entry).unwrap(), json);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for json in [
            "{}",
            r#"{"mac":"ff:ff:ff:ff:ff:ff"}"#,
            r#"{"mac":"52:54:*"}"#,
            r#"{"client-id":"zz"}"#,
            r#"{"name":"a.b"}"#,
            r#"{"name":"a","lease-time":"1s"}"#,
            r#"{"name":"a","set":"!"}"#,
        ] {
            assert!(entry(json).host().is_err(), "{json}");
        }
        assert!(serde_json::from_str::<HostEntry>(r#"{"macs":"x"}"#).is_err());
    }
}
