//! Ports and their keys, one list for `[[port]]`, `port add`, `port set` and
//! `attach`.

use super::{InterfaceName, PortName, Problem, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What a port is connected by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortKind {
    /// A netdev that the switch makes and holds the fd of.
    Tap,
    /// An existing netdev, by AF_PACKET.
    Packet,
    /// One connection of qemu's `-netdev stream`.
    Stream,
    /// A pair of unix datagram sockets, for qemu's `-netdev dgram`.
    Dgram,
    /// A virtio device whose rings the switch serves in shared memory.
    VhostUser,
    /// Copies of what other ports carry.
    Mirror,
}

impl PortKind {
    const ALL: [Self; 6] = [
        Self::Tap,
        Self::Packet,
        Self::Stream,
        Self::Dgram,
        Self::VhostUser,
        Self::Mirror,
    ];

    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tap => "tap",
            Self::Packet => "packet",
            Self::Stream => "stream",
            Self::Dgram => "dgram",
            Self::VhostUser => "vhost-user",
            Self::Mirror => "mirror",
        }
    }

    /// Whether a port of this kind can be asked for.
    fn check_askable(self) -> Result<Self, Problem> {
        match self {
            Self::Tap | Self::Packet => Ok(self),
            Self::Stream => Err(Problem::new("a stream port cannot be asked for").help(
                "each qemu that connects to vm.sock becomes one; use \"tap\" or \"packet\" here",
            )),
            Self::Dgram | Self::VhostUser | Self::Mirror => Err(Problem::new(format!(
                "ports of the kind \"{self}\" are not in this version"
            ))
            .help("use \"tap\" or \"packet\"")),
        }
    }
}

impl fmt::Display for PortKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PortKind {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match Self::ALL.into_iter().find(|kind| kind.name() == text) {
            Some(kind) => kind.check_askable(),
            None => Err(Problem::unknown_word(
                "kind of port",
                text,
                &Self::ALL.map(Self::name),
            )),
        }
    }
}

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Bool,
    Number,
    /// Not in this version, so of any shape.
    NotYet,
}

/// Workers that there can be, and so queues of a port.
pub(super) const MAX_WORKERS: u16 = 256;

/// Every key of a port.
const KEYS: [(&str, Shape); 24] = [
    ("kind", Shape::Text),
    ("interface", Shape::Text),
    ("mode", Shape::NotYet),
    ("path", Shape::NotYet),
    ("queues", Shape::Number),
    ("offload", Shape::Bool),
    ("vlan", Shape::NotYet),
    ("trunk", Shape::NotYet),
    ("native", Shape::NotYet),
    ("isolated", Shape::NotYet),
    ("learning", Shape::NotYet),
    ("flood", Shape::NotYet),
    ("mcast-flood", Shape::NotYet),
    ("bcast-flood", Shape::NotYet),
    ("hairpin", Shape::NotYet),
    ("locked", Shape::NotYet),
    ("neigh-suppress", Shape::NotYet),
    ("guard", Shape::NotYet),
    ("trusted", Shape::NotYet),
    ("dhcp", Shape::Bool),
    ("fdb-limit", Shape::NotYet),
    ("inbound", Shape::NotYet),
    ("outbound", Shape::NotYet),
    ("storm", Shape::NotYet),
];

fn shape(key: &str) -> Option<Shape> {
    KEYS.iter()
        .find(|(name, _)| *name == key)
        .map(|(_, shape)| *shape)
}

fn known_keys() -> [&'static str; KEYS.len()] {
    KEYS.map(|(key, _)| key)
}

/// A port as the configuration asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the switch.
    pub name: PortName,
    /// `Tap` or `Packet`: the kinds that can be asked for.
    pub kind: PortKind,
    /// The netdev made (tap) or taken (packet); by default it has the name of
    /// the port.
    pub interface: InterfaceName,
    /// Queues that its frames come in by, each for another worker.
    pub queues: u16,
    /// Whether checksums and segmentation may be left to the other side.
    pub offload: bool,
    /// Whether the embedded DHCP server serves stations behind it.
    pub dhcp: bool,
}

/// Keys of a port that were given; the others keep their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortSettings {
    /// The kind.
    pub kind: Option<PortKind>,
    /// The netdev made (tap) or taken (packet).
    pub interface: Option<InterfaceName>,
    /// Queues that its frames come in by.
    pub queues: Option<u16>,
    /// Whether checksums and segmentation may be left to the other side.
    pub offload: Option<bool>,
    /// Whether the embedded DHCP server serves stations behind it.
    pub dhcp: Option<bool>,
}

impl PortSettings {
    /// Whether `key` is known and in this version, so that only its value can
    /// be wrong.
    #[must_use]
    pub fn takes(key: &str) -> bool {
        shape(key).is_some_and(|shape| shape != Shape::NotYet)
    }

    /// Takes one key with its value. `others` are keys that the caller takes
    /// beside those of a port, to be named for an unknown one.
    ///
    /// # Errors
    /// An unknown key, one that is not in this version, or a value that the
    /// key does not take.
    pub fn set(&mut self, key: &str, value: &Value, others: &[&str]) -> Result<(), Problem> {
        match (key, value) {
            ("kind", Value::Text(text)) => self.kind = Some(text.parse()?),
            ("interface", Value::Text(text)) => self.interface = Some(text.parse()?),
            ("offload", Value::Bool(on)) => self.offload = Some(*on),
            ("dhcp", Value::Bool(on)) => self.dhcp = Some(*on),
            ("queues", Value::Number(n)) => {
                let queues = u16::try_from(*n).ok();
                let queues = queues.filter(|queues| (1..=MAX_WORKERS).contains(queues));
                self.queues = Some(queues.ok_or_else(|| {
                    Problem::new(format!("queues = {n} is out of range")).help(format!(
                        "use 1 to {MAX_WORKERS}, and not more than `workers` under [switch]"
                    ))
                })?);
            }
            // Anything else does not fit its key.
            _ => return Err(refusal(key, value, others)),
        }
        Ok(())
    }

    /// Takes all of `keys`.
    ///
    /// # Errors
    /// As [`set`](Self::set), for the first of them.
    pub fn from_keys(keys: &BTreeMap<String, Value>) -> Result<Self, Problem> {
        let mut settings = Self::default();
        for (key, value) in keys {
            settings.set(key, value, &[])?;
        }
        Ok(settings)
    }

    /// The port `name` with these keys and defaults for the others.
    ///
    /// # Errors
    /// The kind is missing.
    pub fn into_port(self, name: PortName) -> Result<Port, Problem> {
        let kind = self.kind.ok_or_else(|| {
            Problem::new(format!("the port {name} has no kind"))
                .help("say kind = \"tap\" or kind = \"packet\"")
        })?;
        Ok(Port {
            interface: self.interface.unwrap_or_else(|| name.clone().into()),
            name,
            kind,
            queues: self.queues.unwrap_or(1),
            offload: self.offload.unwrap_or(true),
            dhcp: self.dhcp.unwrap_or(true),
        })
    }
}

/// Why `key` cannot be set to `value`.
fn refusal(key: &str, value: &Value, others: &[&str]) -> Problem {
    let want = match shape(key) {
        None => return Problem::unknown_key(key, &[others, &known_keys()].concat()),
        Some(Shape::NotYet) => {
            return Problem::new(format!("`{key}` of a port is not in this version"))
                .help("leave it out");
        }
        Some(Shape::Text) => "text",
        Some(Shape::Bool) => "true or false",
        Some(Shape::Number) => "a number",
    };
    Problem::new(format!("`{key}` is {}", value.kind())).help(format!("it has to be {want}"))
}

/// Reads `KEY=VALUE` as it is given on a command line.
///
/// # Errors
/// Text without `=`, an unknown key, or a value that the key does not take.
pub fn key_value(text: &str) -> Result<(String, Value), Problem> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(Problem::new(format!("{text:?} is not KEY=VALUE"))
            .help(format!("keys: {}", known_keys().join(", "))));
    };
    let value = match shape(key) {
        Some(Shape::Bool) => value.parse().map(Value::Bool).ok(),
        Some(Shape::Number) => value.parse().map(Value::Number).ok(),
        _ => None,
    }
    .unwrap_or_else(|| Value::Text(value.to_owned()));
    PortSettings::default().set(key, &value, &[])?;
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_values_are_typed_by_their_key() {
        assert_eq!(
            key_value("interface=eth1"),
            Ok(("interface".into(), Value::Text("eth1".into())))
        );
        assert_eq!(
            key_value("offload=false"),
            Ok(("offload".into(), Value::Bool(false)))
        );
        assert_eq!(
            key_value("queues=1"),
            Ok(("queues".into(), Value::Number(1)))
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let problem = key_value("interfce=eth1").unwrap_err();
        assert_eq!(problem.message, "unknown key `interfce`");
        assert_eq!(problem.help.as_deref(), Some("did you mean `interface`?"));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused() {
        let problem = key_value("offload=yes").unwrap_err();
        assert_eq!(problem.message, "`offload` is text");
        assert_eq!(problem.help.as_deref(), Some("it has to be true or false"));
        assert!(key_value("queues=two").is_err());
        assert!(key_value("interface=a/b").is_err());
        assert!(key_value("interface").is_err());
    }

    #[test]
    fn a_port_has_one_queue_or_as_many_as_it_is_given() {
        let queues = |keys: &[(&str, Value)]| {
            let mut settings = PortSettings::default();
            settings.set("kind", &Value::Text("tap".into()), &[])?;
            for (key, value) in keys {
                settings.set(key, value, &[])?;
            }
            settings.into_port("x".parse()?).map(|port| port.queues)
        };
        assert_eq!(queues(&[]), Ok(1));
        assert_eq!(queues(&[("queues", Value::Number(4))]), Ok(4));
        for bad in [-1, 0, 257, 65_537] {
            let problem = queues(&[("queues", Value::Number(bad))]).unwrap_err();
            assert!(problem.message.contains("out of range"), "{problem}");
        }
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        for key in [
            "vlan=10",
            "trunk=10,20",
            "guard=mac",
            "path=/x",
            "mode=server",
        ] {
            let problem = key_value(key).unwrap_err();
            assert!(problem.message.contains("not in this version"), "{problem}");
        }
        for kind in ["dgram", "vhost-user", "mirror"] {
            let problem = kind.parse::<PortKind>().unwrap_err();
            assert!(problem.message.contains("not in this version"));
        }
        assert!("stream".parse::<PortKind>().is_err());
    }

    #[test]
    fn every_key_is_known_once() {
        let mut keys = known_keys().to_vec();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), KEYS.len());
    }

    #[test]
    fn a_port_takes_its_netdev_from_its_name() {
        let keys = BTreeMap::from([("kind".to_owned(), Value::Text("packet".into()))]);
        let settings = PortSettings::from_keys(&keys).unwrap();
        let port = settings.into_port("eth1".parse().unwrap()).unwrap();
        assert_eq!(port.interface.as_str(), "eth1");
        assert!(port.offload);
        assert!(
            PortSettings::default()
                .into_port("x".parse().unwrap())
                .is_err()
        );
    }
}
