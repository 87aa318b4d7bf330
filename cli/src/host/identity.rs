//! STATE/NAME/identity.toml: what of a network must stay the same over
//! restarts without being configured.

use super::durable;
use ipnet::Ipv4Net;
use pnet_base::MacAddr;
use rustix::rand::GetRandomFlags;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// The most that is read of the file, in bytes.
const LIMIT: usize = 64 << 10;

/// The prefix of the MAC addresses that QEMU and libvirt make up.
const PREFIX: [u8; 3] = [0x52, 0x54, 0x00];

/// What a network keeps.
#[derive(Debug)]
pub(crate) struct Identity {
    path: PathBuf,
    content: Content,
    put_aside: Option<PutAside>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Content {
    mac: MacAddr,
    /// In hexadecimal, since a TOML integer has a sign.
    #[serde(with = "hexadecimal")]
    dhcp_hash_key: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<Ipv4Net>,
}

/// An identity file that made no sense and was replaced by a new one. Its
/// [`Display`](std::fmt::Display) is a warning for the user.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} cannot be used ({reason}): it is kept as {}, and the network gets a new MAC address, and \
     a new subnet if its address is \"auto\"",
    path.display(), kept.display()
)]
pub(crate) struct PutAside {
    path: PathBuf,
    /// Where it is kept.
    pub(crate) kept: PathBuf,
    reason: String,
}

/// The identity file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub(crate) struct IdentityError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Identity {
    /// Reads the identity from `state`, the folder STATE/NAME, or makes one
    /// and writes it there. A file that makes no sense is put aside.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(state: &Path) -> Result<Self, IdentityError> {
        let path = state.join("identity.toml");
        let error = |action: &'static str| {
            let path = path.clone();
            move |source| IdentityError {
                action,
                path,
                source,
            }
        };
        let read = match durable::read(&path, LIMIT) {
            Err(large) if large.kind() == io::ErrorKind::FileTooLarge => {
                Some(Err(large.to_string()))
            }
            read => read.map_err(error("read"))?.map(|bytes| parse(&bytes)),
        };
        let reason = match read {
            Some(Ok(content)) => {
                return Ok(Self {
                    path,
                    content,
                    put_aside: None,
                });
            }
            Some(Err(reason)) => Some(reason),
            None => None,
        };
        let put_aside = reason
            .map(|reason| {
                durable::put_aside(&path).map(|kept| PutAside {
                    path: path.clone(),
                    kept,
                    reason,
                })
            })
            .transpose()
            .map_err(error("put aside"))?;
        let content = Content::random().map_err(error("make up"))?;
        let identity = Self {
            path,
            content,
            put_aside,
        };
        identity.write()?;
        Ok(identity)
    }

    /// The gateway's MAC address.
    pub(crate) fn mac(&self) -> MacAddr {
        self.content.mac
    }

    /// The key that hashes a client's MAC address to its IPv4 address, so that
    /// the same client is offered the same one.
    pub(crate) fn dhcp_hash_key(&self) -> u64 {
        self.content.dhcp_hash_key
    }

    /// The subnet that was picked, if ever one was.
    pub(crate) fn subnet(&self) -> Option<Ipv4Net> {
        self.content.subnet
    }

    /// The file that was there and made no sense, if so.
    pub(crate) fn put_aside(&self) -> Option<&PutAside> {
        self.put_aside.as_ref()
    }

    /// Keeps the picked subnet.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn keep_subnet(&mut self, subnet: Ipv4Net) -> Result<(), IdentityError> {
        if self.content.subnet == Some(subnet) {
            return Ok(());
        }
        self.content.subnet = Some(subnet);
        self.write()
    }

    fn write(&self) -> Result<(), IdentityError> {
        // Guests should not learn the hash key.
        toml::to_string(&self.content)
            .map_err(io::Error::other)
            .and_then(|text| durable::write(&self.path, text.as_bytes(), 0o600))
            .map_err(|source| IdentityError {
                action: "write",
                path: self.path.clone(),
                source,
            })
    }
}

impl Content {
    fn random() -> io::Result<Self> {
        let mut bytes = [0; 11];
        // Waits until the kernel has entropy; up to 256 bytes come whole.
        rustix::io::retry_on_intr(|| {
            rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty())
        })?;
        let [m3, m4, m5, key @ ..] = bytes;
        let [m0, m1, m2] = PREFIX;
        Ok(Self {
            mac: MacAddr::new(m0, m1, m2, m3, m4, m5),
            dhcp_hash_key: u64::from_ne_bytes(key),
            subnet: None,
        })
    }
}

/// The content of an identity file, or why it is none.
fn parse(bytes: &[u8]) -> Result<Content, String> {
    let content: Content = toml::from_slice(bytes).map_err(|error| error.message().to_owned())?;
    if content.mac.is_multicast() || content.mac.is_zero() {
        return Err(format!("{} is no station's MAC address", content.mac));
    }
    Ok(content)
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{value:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let state = tempfile::tempdir().unwrap();
        let mut made = Identity::open(state.path()).unwrap();
        assert_eq!(made.mac().octets()[..3], PREFIX);
        assert_eq!(made.subnet(), None);
        let subnet = "192.168.130.0/24".parse().unwrap();
        made.keep_subnet(subnet).unwrap();

        let kept = Identity::open(state.path()).unwrap();
        assert_eq!(kept.content, made.content);
        assert_eq!(kept.subnet(), Some(subnet));
        assert!(kept.put_aside().is_none());
    }

    #[test]
    fn two_networks_differ() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (
            Identity::open(a.path()).unwrap(),
            Identity::open(b.path()).unwrap(),
        );
        assert_ne!(a.mac(), b.mac());
        assert_ne!(a.dhcp_hash_key(), b.dhcp_hash_key());
    }

    #[test]
    fn a_file_that_makes_no_sense_is_put_aside_named_and_replaced() {
        let key = "dhcp-hash-key = \"00ff\"\n";
        let long = "#".repeat(LIMIT + 1);
        let cases = [
            "",
            "\u{0}",
            "mac = 5",
            "mac = \"52:54:00:00:00:01\"",
            &format!("{key}mac = \"01:00:5e:00:00:01\""),
            &format!("{key}mac = \"52:54:00:00:00:01\"\nsubnet = \"192.168.1.0/33\""),
            "mac = \"52:54:00:00:00:01\"\ndhcp-hash-key = \"10000000000000000\"",
            &long,
        ];
        for text in cases {
            let state = tempfile::tempdir().unwrap();
            let path = state.path().join("identity.toml");
            fs::write(&path, text).unwrap();
            let identity = Identity::open(state.path()).unwrap();
            let put_aside = identity.put_aside().unwrap();
            assert_eq!(put_aside.kept, state.path().join("identity.toml.bad-1"));
            assert_eq!(fs::read_to_string(&put_aside.kept).unwrap(), text);
            assert!(put_aside.to_string().contains("identity.toml.bad-1"));
            let again = Identity::open(state.path()).unwrap();
            assert_eq!(again.content, identity.content);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_that_names_the_file() {
        let state = tempfile::tempdir().unwrap();
        let error = Identity::open(&state.path().join("missing")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write"), "{error}");
        assert!(error.to_string().ends_with("identity.toml"), "{error}");
    }
}
