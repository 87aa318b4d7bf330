//! What is known of packets between the network and others, and whether the
//! keys of a rule (libnftables-json(5), "EXPRESSIONS") fit them.

use serde_json::Value;
use std::ops::Not;

/// Whether something holds for the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// For some, or it is not known.
    Perhaps,
}

impl Truth {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Perhaps,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        !(!self).and(!other)
    }
}

impl Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known<'a> {
    Is(&'a str),
    IsNot(&'a str),
    /// It has none: what is for the host itself goes out by no netdev.
    Nothing,
    Unknown,
}

impl Known<'_> {
    /// Whether it is `name`, which may be a pattern.
    fn is(self, name: &str) -> Truth {
        let fits = |value: &str| match name.strip_suffix('*') {
            Some(start) => value.starts_with(start),
            None => value == name,
        };
        match self {
            Self::Is(value) => fits(value).into(),
            Self::IsNot(value) if value == name => Truth::No,
            Self::IsNot(_) | Self::Unknown => Truth::Perhaps,
            Self::Nothing => Truth::No,
        }
    }
}

/// Packets that a chain is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    /// The network's own interface.
    own: &'a str,
    /// The netdev that they come in by.
    from: Known<'a>,
    /// The netdev that they go out by.
    to: Known<'a>,
    /// What conntrack says of them.
    state: &'static str,
}

impl<'a> Packet<'a> {
    /// The first packets of what guests ask others for, by `uplink` if that is
    /// the only way out.
    pub(super) fn outward(own: &'a str, uplink: Option<&'a str>) -> Self {
        Self {
            own,
            from: Known::Is(own),
            to: uplink.map_or(Known::IsNot(own), Known::Is),
            state: "new",
        }
    }

    /// What comes to guests: only answers, or what others ask them for too.
    pub(super) fn inward(own: &'a str, uplink: Option<&'a str>, only_answers: bool) -> Self {
        Self {
            own,
            from: uplink.map_or(Known::IsNot(own), Known::Is),
            to: Known::Is(own),
            state: if only_answers { "established" } else { "new" },
        }
    }

    /// What guests ask the host itself for.
    pub(super) fn to_host(own: &'a str) -> Self {
        Self {
            own,
            from: Known::Is(own),
            to: Known::Nothing,
            state: "new",
        }
    }

    /// Whatever comes or goes by `own`.
    pub(super) fn by(own: &'a str) -> Self {
        Self {
            own,
            from: Known::Is(own),
            to: Known::Is(own),
            state: "",
        }
    }

    /// Whether `key`, as a rule looks at it, has `value`: a text, a set that
    /// stands in the rule, or an element of one.
    pub(super) fn has(&self, key: &Value, value: &Value) -> Truth {
        if let Some(keys) = key.get("concat").and_then(Value::as_array) {
            return match value.get("concat").and_then(Value::as_array) {
                Some(values) => {
                    let each = keys.iter().zip(values).map(|(key, it)| self.has(key, it));
                    each.fold(Truth::Yes, Truth::and)
                }
                None => Truth::Perhaps,
            };
        }
        let known = self.known(key);
        if known == Known::Unknown {
            return Truth::Perhaps;
        }
        match value {
            Value::String(name) if name.starts_with('@') => Truth::Perhaps,
            Value::String(name) => known.is(name),
            // Flags of which one is to be there.
            Value::Array(values) => {
                let each = values.iter().map(|it| self.has(key, it));
                each.fold(Truth::No, Truth::or)
            }
            Value::Object(_) => match (value.get("set"), value.pointer("/elem/val")) {
                (Some(set), _) => self.has(key, set),
                (_, Some(element)) => self.has(key, element),
                _ => Truth::Perhaps,
            },
            _ => Truth::Perhaps,
        }
    }

    /// Whether `key` is in a set that cannot be read.
    pub(super) fn unread(&self, key: &Value) -> Truth {
        let parts = key.get("concat").and_then(Value::as_array);
        let parts = parts.map_or(std::slice::from_ref(key), Vec::as_slice);
        let is_nothing = parts.iter().any(|key| self.known(key) == Known::Nothing);
        if is_nothing {
            Truth::No
        } else {
            Truth::Perhaps
        }
    }

    /// Whether `key` is a netdev and `value` has the network's own interface.
    pub(super) fn names(&self, key: &Value, value: &Value) -> bool {
        if let Some(keys) = key.get("concat").and_then(Value::as_array) {
            let values = value.get("concat").and_then(Value::as_array);
            let mut both = keys.iter().zip(values.into_iter().flatten());
            return both.any(|(key, value)| self.names(key, value));
        }
        self.known(key) == Known::Is(self.own) && self.has(key, value) == Truth::Yes
    }

    fn known(&self, key: &Value) -> Known<'a> {
        if key.pointer("/ct/key").and_then(Value::as_str) == Some("state") {
            return Known::Is(self.state);
        }
        match key.pointer("/meta/key").and_then(Value::as_str) {
            Some("iif" | "iifname") => self.from,
            Some("oif" | "oifname") => self.to,
            Some("nfproto") => Known::Is("ipv4"),
            Some("protocol") => Known::Is("ip"),
            _ => Known::Unknown,
        }
    }
}
