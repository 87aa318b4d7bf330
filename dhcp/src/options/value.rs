//! Values in text to values in bytes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Form, Value, domains};

/// The part of a value that does not suit its option.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch(pub(super) String);

/// The bytes of `value` in the given form, 0.0.0.0 being `server`.
pub(super) fn encode(form: Form, value: &Value, server: Ipv4Addr) -> Result<Vec<u8>, Mismatch> {
    match form {
        Form::Text => text(value),
        Form::U8 => number::<1>(value),
        Form::U16 => number::<2>(value),
        Form::U32 => number::<4>(value),
        Form::Offset => offset(value),
        Form::Time => time(value),
        Form::Bytes => bytes(value),
        Form::Addresses => addresses(&items(value)?, server),
        Form::Address => single(value, server),
        Form::AddressPairs => pairs(&items(value)?),
        Form::Domains => domains::search_list(&items(value)?).map_err(mismatch),
        Form::Sip => sip(&items(value)?),
        Form::Routes => routes(&items(value)?),
        Form::Any => any(value, server),
    }
}

fn mismatch(part: &str) -> Mismatch {
    Mismatch(part.to_owned())
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
        Value::Text(text) => match hex(text) {
            Some(bytes) if bytes.len() == N => return Ok(bytes),
            _ => text.trim().parse().map_err(|_| mismatch())?,
        },
        Value::List(list) if list.is_empty() => return Ok(Vec::new()),
        _ => return Err(mismatch()),
    };
    let all = u32::try_from(number).map_err(|_| mismatch())?.to_be_bytes();
    match all.split_last_chunk::<N>() {
        Some((high, low)) if high.iter().all(|b| *b == 0) => Ok(low.to_vec()),
        _ => Err(mismatch()),
    }
}

/// Seconds in two's complement (RFC 2132 §3.4).
fn offset(value: &Value) -> Result<Vec<u8>, Mismatch> {
    let seconds = match value {
        Value::Number(number) => *number,
        Value::Text(text) => match text.trim().parse() {
            Ok(number) => number,
            Err(_) => return number::<4>(value),
        },
        _ => return number::<4>(value),
    };
    match i32::try_from(seconds) {
        Ok(seconds) => Ok(seconds.to_be_bytes().to_vec()),
        Err(_) => Err(Mismatch(show(value))),
    }
}

/// A number of seconds, or one with a unit, as dnsmasq has them: `45m`.
fn time(value: &Value) -> Result<Vec<u8>, Mismatch> {
    let with_unit = |text: &str| {
        let unit = match text.bytes().last()?.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        let (number, _) = text.split_at_checked(text.len() - 1)?;
        number.trim().parse::<u32>().ok()?.checked_mul(unit)
    };
    match value {
        Value::Text(text) => match with_unit(text.trim()) {
            Some(seconds) => Ok(seconds.to_be_bytes().to_vec()),
            None => number::<4>(value),
        },
        _ => number::<4>(value),
    }
}

/// Bytes in hex with colons, one or two digits each, at least two of them.
fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.contains(':') {
        return None;
    }
    let byte = |digits: &str| {
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        let short = (1..=2).contains(&digits.len());
        u8::from_str_radix(digits, 16).ok().filter(|_| hex && short)
    };
    text.split(':').map(byte).collect()
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
    text.parse().map_err(|_| mismatch(text))
}

/// As in dnsmasq, 0.0.0.0 means the server itself.
fn addresses(items: &[&str], server: Ipv4Addr) -> Result<Vec<u8>, Mismatch> {
    let octets: Result<Vec<_>, _> = items
        .iter()
        .map(|item| {
            let given = address(item)?;
            let address = if given.is_unspecified() {
                server
            } else {
                given
            };
            Ok(address.octets())
        })
        .collect();
    Ok(octets?.concat())
}

fn single(value: &Value, server: Ipv4Addr) -> Result<Vec<u8>, Mismatch> {
    match items(value)?.as_slice() {
        list @ ([] | [_]) => addresses(list, server),
        _ => Err(Mismatch(show(value))),
    }
}

/// Two by two, as they are: 0.0.0.0 can be a mask or a destination here.
fn pairs(items: &[&str]) -> Result<Vec<u8>, Mismatch> {
    match items.chunks(2).find(|pair| pair.len() != 2) {
        Some(odd) => Err(Mismatch(odd.concat())),
        None => addresses(items, Ipv4Addr::UNSPECIFIED),
    }
}

/// RFC 3361 §3: what follows is names (0) or addresses (1).
fn sip(items: &[&str]) -> Result<Vec<u8>, Mismatch> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let (encoding, list) = match addresses(items, Ipv4Addr::UNSPECIFIED) {
        Ok(list) => (1, list),
        Err(_) => (0, domains::plain(items).map_err(mismatch)?),
    };
    // Digits and dots make a name too, which nobody means.
    match items
        .iter()
        .find(|item| encoding == 0 && address(item).is_ok())
    {
        Some(address) => Err(mismatch(address)),
        None => Ok([vec![encoding], list].concat()),
    }
}

/// RFC 3442: prefix length and as many bytes of the prefix as it needs.
fn destination(text: &str) -> Result<Vec<u8>, Mismatch> {
    let prefix: Ipv4Net = if text == "default" {
        Ipv4Net::default()
    } else if text.contains('/') {
        text.parse().map_err(|_| mismatch(text))?
    } else {
        Ipv4Net::from(address(text)?)
    };
    if prefix != prefix.trunc() {
        return Err(mismatch(text));
    }
    let significant = usize::from(prefix.prefix_len().div_ceil(8));
    let octets = prefix.network().octets();
    Ok(std::iter::once(prefix.prefix_len())
        .chain(octets.into_iter().take(significant))
        .collect())
}

fn routes(items: &[&str]) -> Result<Vec<u8>, Mismatch> {
    let mut bytes = Vec::new();
    for pair in items.chunks(2) {
        let [prefix, router] = pair else {
            return Err(Mismatch(pair.concat()));
        };
        bytes.extend(destination(prefix)?);
        bytes.extend(address(router)?.octets());
    }
    Ok(bytes)
}

/// A number with the letter that dnsmasq has for its width: `300s` is two
/// bytes. `None` if it is something else.
fn with_width(text: &str) -> Option<Result<Vec<u8>, Mismatch>> {
    let (number, width) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value = Value::Number(number.parse().ok()?);
    match width {
        "b" => Some(self::number::<1>(&value)),
        "s" => Some(self::number::<2>(&value)),
        "i" => Some(self::number::<4>(&value)),
        _ => None,
    }
}

/// As dnsmasq guesses: a number takes as many bytes as it needs (1, 2 or 4; 4 if
/// it is negative), a list of addresses is one, prefixes among them are descriptors (RFC 3442),
/// hex with colons is bytes, the rest text.
fn any(value: &Value, server: Ipv4Addr) -> Result<Vec<u8>, Mismatch> {
    match value {
        Value::Bool(_) => number::<1>(value),
        Value::Number(_) => number::<1>(value)
            .or_else(|_| number::<2>(value))
            .or_else(|_| number::<4>(value))
            .or_else(|_| offset(value)),
        Value::Text(text) => {
            let text = text.trim();
            if let Ok(number) = text.parse() {
                return any(&Value::Number(number), server);
            }
            if let Some(number) = with_width(text) {
                return number;
            }
            let items = items(value)?;
            addresses(&items, server)
                .or_else(|_| prefixes(&items))
                .or_else(|_| bytes(value))
        }
        Value::List(_) => bytes(value).or_else(|_| {
            let items = items(value)?;
            addresses(&items, server).or_else(|_| prefixes(&items))
        }),
    }
}

/// Prefixes and addresses in any order.
fn prefixes(items: &[&str]) -> Result<Vec<u8>, Mismatch> {
    let parts: Result<Vec<Vec<u8>>, _> = items
        .iter()
        .map(|item| match item.contains('/') {
            true => destination(item),
            false => address(item).map(|a| a.octets().to_vec()),
        })
        .collect();
    Ok(parts?.concat())
}
