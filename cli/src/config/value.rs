//! Values of keys: from text to the thing that they mean.

use super::Problem;
use ipnet::Ipv4Net;
use pnet_base::MacAddr;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// A value whose meaning depends on its key: of a port's key or a DHCP option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// Several.
    List(Vec<Value>),
}

impl Value {
    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(_) | Self::Number(_) | Self::List(_) => None,
        }
    }

    /// What the value is, for a message: `a number`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
        }
    }
}

impl fmt::Display for Value {
    /// The value as the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::List(values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    value.fmt(f)?;
                }
                f.write_str("]")
            }
        }
    }
}

/// A MAC address of one station: no group address, not all zero.
///
/// # Errors
/// Text of another form, or such an address.
pub fn station_mac(text: &str) -> Result<MacAddr, Problem> {
    let mac: MacAddr = text.parse().map_err(|_| {
        Problem::new(format!("{text:?} is no MAC address"))
            .help("write six bytes in hex, as in \"52:54:00:12:34:56\"")
    })?;
    check_station(mac)?;
    Ok(mac)
}

/// Whether one station can have the address `mac`.
///
/// # Errors
/// It is a group address or all zero.
pub fn check_station(mac: MacAddr) -> Result<(), Problem> {
    if mac.is_multicast() {
        return Err(
            Problem::new(format!("{mac} is a group address, no station has it"))
                .help("make the first byte even, as in 52:54:00:…"),
        );
    }
    if mac.is_zero() {
        return Err(
            Problem::new("a station cannot have the MAC address of all zeros")
                .help("write its own, as in \"52:54:00:12:34:56\""),
        );
    }
    Ok(())
}

/// An IPv4 address.
///
/// # Errors
/// Text of another form.
pub fn ipv4(text: &str) -> Result<Ipv4Addr, Problem> {
    text.parse().map_err(|_| {
        Problem::new(format!("{text:?} is no IPv4 address"))
            .help("write four numbers, as in \"192.168.122.10\"")
    })
}

/// A path from the host's root folder on.
///
/// # Errors
/// It is relative, or has a NUL.
pub fn absolute(text: &str) -> Result<PathBuf, Problem> {
    if text.contains('\0') {
        return Err(Problem::new("a path has no NUL in it").help("take it out"));
    }
    if !text.starts_with('/') {
        return Err(Problem::new(format!("{text:?} is no absolute path"))
            .help("start it with a slash, as in \"/srv/tftp\""));
    }
    Ok(text.into())
}

/// The address of a host with the prefix length of its subnet: a /8 to /30,
/// the address neither the subnet's own nor its broadcast address.
///
/// # Errors
/// Text of another form, or such an address.
pub fn host_net(text: &str) -> Result<Ipv4Net, Problem> {
    let net: Ipv4Net = text.parse().map_err(|_| {
        let problem = Problem::new(format!("{text:?} is no IPv4 address with a prefix length"));
        match text.parse::<Ipv4Addr>() {
            Ok(_) => problem.help(format!("add the length of the subnet, as in \"{text}/24\"")),
            Err(_) => problem.help("write it as in \"192.168.122.1/24\", or \"auto\""),
        }
    })?;
    if !(8..=30).contains(&net.prefix_len()) {
        return Err(
            Problem::new(format!("a subnet /{} is of no use here", net.prefix_len()))
                .help("use a prefix length of 8 to 30"),
        );
    }
    let address = net.addr();
    if address.is_loopback() || address.is_multicast() || address.octets().starts_with(&[0]) {
        return Err(
            Problem::new(format!("{address} cannot be the address of a gateway"))
                .help("use a private one, as 192.168.122.1/24"),
        );
    }
    let what = if address == net.network() {
        "the subnet itself"
    } else if address == net.broadcast() {
        "the broadcast address of its subnet"
    } else {
        return Ok(net);
    };
    let mend = net.hosts().next().map_or_else(String::new, |first| {
        format!("use the address of a host, as {first}/{}", net.prefix_len())
    });
    Err(Problem::new(format!("{net} is {what}")).help(mend))
}

/// A time in whole seconds, as `300s`, `5m`, `1h30m`, `2d`, or a bare number
/// of seconds.
///
/// # Errors
/// Text of another form, a negative time or one with a fraction of a second.
pub fn duration(text: &str) -> Result<Duration, Problem> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    text.parse::<jiff::Span>()
        .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|time| Duration::try_from(time).ok())
        .filter(|time| time.subsec_nanos() == 0)
        .ok_or_else(|| {
            Problem::new(format!("{text:?} is no time in whole seconds"))
                .help("write it as \"300s\", \"5m\", \"1h\" or \"2d\"")
        })
}

/// How long a worker polls: `off`, or a time of up to [`LONGEST_POLLING`].
///
/// # Errors
/// Text of another form, or a longer time.
pub fn polling(text: &str) -> Result<Duration, Problem> {
    if text == "off" {
        return Ok(Duration::ZERO);
    }
    text.parse::<jiff::Span>()
        .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|time| Duration::try_from(time).ok())
        .filter(|time| *time <= LONGEST_POLLING)
        .ok_or_else(|| {
            Problem::new(format!("{text:?} is no time to poll for"))
                .help("write it as \"50us\", up to \"1ms\", or \"off\"")
        })
}

/// The longest that a worker may poll after a burst: beyond that, sleeping and
/// being woken up costs nothing beside it.
pub const LONGEST_POLLING: Duration = Duration::from_millis(1);

/// How long a lease lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseTime {
    /// For so long.
    For(Duration),
    /// For ever.
    Infinite,
}

impl From<LeaseTime> for vmlan_dhcp::LeaseTime {
    fn from(time: LeaseTime) -> Self {
        match time {
            LeaseTime::Infinite => Self::Infinite,
            LeaseTime::For(time) => {
                Self::Seconds(u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1))
            }
        }
    }
}

impl LeaseTime {
    /// The shortest lease, as with dnsmasq.
    pub const LEAST: Duration = Duration::from_secs(120);
}

/// A lease time: `infinite`, or a time of at least [`LeaseTime::LEAST`].
///
/// # Errors
/// Text of another form, a shorter time, or one that does not fit its 32-bit
/// option (RFC 2132 §9.2).
pub fn lease_time(text: &str) -> Result<LeaseTime, Problem> {
    if text == "infinite" {
        return Ok(LeaseTime::Infinite);
    }
    let time = duration(text).map_err(|problem| {
        let help = "write it as \"1h\", or \"infinite\"";
        Problem::new(problem.message).help(help)
    })?;
    if time < LeaseTime::LEAST {
        return Err(
            Problem::new(format!("a lease of {text} is too short")).help("use at least \"2m\"")
        );
    }
    if time.as_secs() >= u64::from(u32::MAX) {
        return Err(Problem::new(format!("a lease of {text} is too long"))
            .help("write \"infinite\" for a lease that does not end"));
    }
    Ok(LeaseTime::For(time))
}

impl fmt::Display for LeaseTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(time) => f.write_str(&duration_text(*time)),
            Self::Infinite => f.write_str("infinite"),
        }
    }
}

/// `time` in the form that [`duration`] reads: `1h 30m`.
#[must_use]
pub fn duration_text(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [
        (seconds / 86_400, 'd'),
        (seconds / 3600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let shown: Vec<_> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect();
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown.join(" ")
    }
}

/// The name of a host or a domain: labels of letters, digits and hyphens
/// (RFC 1123 §2.1), 253 characters at most. Returned in lower case.
///
/// # Errors
/// Text of another form.
pub fn domain_name(text: &str) -> Result<String, Problem> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Problem::new(format!("{text:?} is no host or domain name"))
        .help("use letters, digits and hyphens, with dots between the parts"))
}

/// A name in the DNS (RFC 1035 §2.3.4): as [`domain_name`], with underscores too,
/// as names of services have them, and maybe a dot at the end. Returned in lower
/// case, without that dot.
///
/// # Errors
/// Text of another form.
pub fn dns_name(text: &str) -> Result<String, Problem> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(inner)
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(name.to_ascii_lowercase());
    }
    Err(Problem::new(format!("{text:?} is no name of the DNS"))
        .help("use letters, digits, hyphens and underscores, with dots between the parts"))
}

/// A DHCP client identifier (RFC 2132 §9.14): 2 to 255 bytes in hex with
/// colons. Returned in lower case.
///
/// # Errors
/// Text of another form.
pub fn client_id(text: &str) -> Result<String, Problem> {
    let byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    if (2..=255).contains(&text.split(':').count()) && text.split(':').all(byte) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Problem::new(format!("{text:?} is no client identifier"))
        .help("write 2 to 255 bytes in hex, as in \"01:52:54:00:12:34:56\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_in_the_usual_units() {
        for (text, seconds) in [
            ("300", 300),
            ("300s", 300),
            ("5m", 300),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("2d", 172_800),
            ("1w", 604_800),
            ("0", 0),
        ] {
            assert_eq!(duration(text).unwrap().as_secs(), seconds, "{text}");
        }
        for bad in [
            "",
            "x",
            "-5s",
            "5s ago",
            "1.5",
            "1500ms",
            "1y",
            "99999999999999999999s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lease_times_have_bounds() {
        assert_eq!(lease_time("infinite"), Ok(LeaseTime::Infinite));
        assert_eq!(lease_time("2m"), Ok(LeaseTime::For(LeaseTime::LEAST)));
        assert!(lease_time("119s").is_err());
        assert!(lease_time("4294967295").is_err());
    }

    #[test]
    fn a_gateway_is_a_host_of_its_subnet() {
        assert!(host_net("192.168.122.1/24").is_ok());
        for bad in [
            "192.168.122.0/24",
            "192.168.122.255/24",
            "192.168.122.1",
            "10.0.0.1/7",
            "10.0.0.1/31",
            "127.0.0.1/8",
            "224.0.0.1/24",
            "0.1.2.3/24",
            "fe80::1/64",
        ] {
            assert!(host_net(bad).is_err(), "{bad}");
        }
        let problem = host_net("192.168.122.1").unwrap_err();
        assert!(problem.help.unwrap().contains("192.168.122.1/24"));
    }

    #[test]
    fn group_and_zero_macs_are_refused() {
        assert!(station_mac("52:54:00:12:34:56").is_ok());
        for bad in [
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "52:54",
        ] {
            assert!(station_mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn client_ids_and_names_have_a_form() {
        assert_eq!(client_id("01:AB").unwrap(), "01:ab");
        for bad in ["", "01", "1:2", "01:zz", "01:+2"] {
            assert!(client_id(bad).is_err(), "{bad}");
        }
        assert_eq!(domain_name("Lab.example").unwrap(), "lab.example");
        for bad in ["", ".", "a..b", "-a", "a_b", "a b"] {
            assert!(domain_name(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_time_reads_as_the_same_time(seconds in 0..10_000_000u64) {
            let time = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&duration_text(time)), Ok(time));
        }
    }
}
