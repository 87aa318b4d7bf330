//! Values in text to values in bytes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Form, Value};
use crate::hostname;

/// The part of a value that does not suit its option.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch(pub(super) String);

/// The bytes of `value` in the given form.
pub(super) fn encode(form: Form, value: &Value) -> Result<Vec<u8>, Mismatch> {
    match form {
        Form::Text => text(value),
        Form::U8 => number::<1>(value),
        Form::U16 => number::<2>(value),
        Form::U32 => number::<4>(value),
        Form::Bytes => bytes(value),
        Form::Addresses => addresses(&items(value)?),
        Form::Domains => domains(&items(value)?),
        Form::Routes => routes(&items(value)?),
        Form::Any => any(value),
    }
}

/// How a value, or a part of it, looks in an error message.
fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::List(list) => {
            let parts: Vec<String> = list.iter().map(show).collect();
            format!("[{}]", parts.join(", "))
        }
    }
}

/// The parts of a list, of text with commas, or of a list of such texts.
fn items(value: &Value) -> Result<Vec<&str>, Mismatch> {
    match value {
        Value::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
        Value::Text(text) => Ok(text.split(',').map(str::trim).collect()),
        Value::List(list) => {
            let parts: Result<Vec<_>, _> = list
                .iter()
                .map(|part| match part {
                    Value::Text(_) => items(part),
                    _ => Err(Mismatch(show(part))),
                })
                .collect();
            Ok(parts?.concat())
        }
        Value::Number(_) | Value::Bool(_) => Err(Mismatch(show(value))),
    }
}

fn text(value: &Value) -> Result<Vec<u8>, Mismatch> {
    match value {
        Value::Text(text) => Ok(text.clone().into_bytes()),
        Value::List(list) if list.is_empty() => Ok(Vec::new()),
        _ => Err(Mismatch(show(value))),
    }
}

fn number<const N: usize>(value: &Value) -> Result<Vec<u8>, Mismatch> {
    let mismatch = || Mismatch(show(value));
    let number = match value {
        Value::Number(number) => *number,
        Value::Bool(flag) if N == 1 => i64::from(*flag),
        Value::Text(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Value::Text(text) => text.trim().parse().map_err(|_| mismatch())?,
        Value::List(list) if list.is_empty() => return Ok(Vec::new()),
        _ => return Err(mismatch()),
    };
    let all = u32::try_from(number).map_err(|_| mismatch())?.to_be_bytes();
    match all.split_last_chunk::<N>() {
        Some((high, low)) if high.iter().all(|b| *b == 0) => Ok(low.to_vec()),
        _ => Err(mismatch()),
    }
}

/// Bytes in hex with colons, two digits each, at least two of them.
fn hex(text: &str) -> Option<Vec<u8>> {
    let pairs: Vec<&str> = text.split(':').collect();
    if pairs.len() < 2 || pairs.iter().any(|p| p.len() != 2) {
        return None;
    }
    crate::leasefile::parse_hex(text)
}

fn bytes(value: &Value) -> Result<Vec<u8>, Mismatch> {
    match value {
        Value::Text(text) => Ok(hex(text).unwrap_or_else(|| text.clone().into_bytes())),
        Value::List(list) => list
            .iter()
            .map(|part| match part {
                Value::Number(n) => u8::try_from(*n).map_err(|_| Mismatch(show(part))),
                _ => Err(Mismatch(show(part))),
            })
            .collect(),
        Value::Number(_) | Value::Bool(_) => Err(Mismatch(show(value))),
    }
}

fn address(text: &str) -> Result<Ipv4Addr, Mismatch> {
    text.parse().map_err(|_| Mismatch(text.to_owned()))
}

fn addresses(items: &[&str]) -> Result<Vec<u8>, Mismatch> {
    let octets: Result<Vec<_>, _> = items
        .iter()
        .map(|item| address(item).map(|a| a.octets()))
        .collect();
    Ok(octets?.concat())
}

/// RFC 1035 §3.1: labels with their lengths, no compression.
fn domains(items: &[&str]) -> Result<Vec<u8>, Mismatch> {
    let mut bytes = Vec::new();
    for item in items {
        let name = item.strip_suffix('.').unwrap_or(item);
        if !hostname::is_domain(name) {
            return Err(Mismatch((*item).to_owned()));
        }
        for label in name.split('.') {
            // A label has at most 63 bytes.
            bytes.push(u8::try_from(label.len()).unwrap_or_default());
            bytes.extend(label.bytes());
        }
        bytes.push(0);
    }
    Ok(bytes)
}

/// RFC 3442: prefix length, as many bytes of the prefix as it needs, router.
fn routes(items: &[&str]) -> Result<Vec<u8>, Mismatch> {
    let mut bytes = Vec::new();
    for pair in items.chunks(2) {
        let [destination, router] = pair else {
            return Err(Mismatch(pair.concat()));
        };
        let mismatch = || Mismatch((*destination).to_owned());
        let prefix: Ipv4Net = if *destination == "default" {
            Ipv4Net::default()
        } else if destination.contains('/') {
            destination.parse().map_err(|_| mismatch())?
        } else {
            Ipv4Net::from(address(destination)?)
        };
        if prefix != prefix.trunc() {
            return Err(mismatch());
        }
        let significant = usize::from(prefix.prefix_len().div_ceil(8));
        bytes.push(prefix.prefix_len());
        bytes.extend(prefix.network().octets().iter().take(significant));
        bytes.extend(address(router)?.octets());
    }
    Ok(bytes)
}

/// As dnsmasq guesses: a number takes as many bytes as it needs (1, 2 or 4), a
/// list of addresses is one, hex with colons is bytes, the rest text.
fn any(value: &Value) -> Result<Vec<u8>, Mismatch> {
    match value {
        Value::Bool(_) => number::<1>(value),
        Value::Number(_) => number::<1>(value)
            .or_else(|_| number::<2>(value))
            .or_else(|_| number::<4>(value)),
        Value::Text(text) => {
            if let Ok(number) = text.trim().parse() {
                return any(&Value::Number(number));
            }
            addresses(&items(value)?).or_else(|_| bytes(value))
        }
        Value::List(_) => bytes(value).or_else(|_| addresses(&items(value)?)),
    }
}
