//! dnsmasq's lease file: one line a lease.
//!
//! ```text
//! 1700003600 52:54:00:aa:bb:cc 192.168.122.10 db 01:52:54:00:aa:bb:cc
//! 0 52:54:00:aa:bb:dd 192.168.122.11 * *
//! ```
//!
//! The expiry in epoch seconds (0: never), the MAC, the address, the host name
//! and the client identifier in hex, `*` where there is none. A line that
//! starts with `duid` begins dnsmasq's IPv6 part, which is skipped. Leases that
//! ran out stand in it too: an expiry in the past is what tells them.

use std::fmt::{self, Write};
use std::str::FromStr;

use thiserror::Error;

use crate::hostname;
use crate::lease::Lease;

/// A line that is no lease.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct LineError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// The last line has no line end: it was cut off while it was written.
    #[error("cut off: there is no line end")]
    Torn,
    /// Not UTF-8.
    #[error("not text")]
    NotText,
    /// Fewer or more fields than five.
    #[error("not five fields: EXPIRY MAC ADDRESS HOSTNAME CLIENT-ID")]
    Fields,
    /// The first field is no number.
    #[error("the expiry is no number of seconds")]
    Expiry,
    /// The second field is no Ethernet address.
    #[error("the hardware address is not six bytes in hex")]
    Mac,
    /// The third field is no IPv4 address.
    #[error("the address is no IPv4 address")]
    Address,
    /// The fourth field is no host name.
    #[error("the host name is not a label of letters, digits and inner hyphens")]
    Hostname,
    /// The last field is no client identifier.
    #[error("the client identifier is not 1 to 255 bytes in hex with colons")]
    ClientId,
}

/// Reads a lease file: each line as a lease, or why it is none. What to do
/// about a bad line is the caller's choice; the others do not depend on it.
pub fn parse(file: &[u8]) -> impl Iterator<Item = Result<Lease, LineError>> + '_ {
    file.split_inclusive(|b| *b == b'\n')
        .take_while(|line| !line.starts_with(b"duid"))
        .enumerate()
        .filter_map(|(index, line)| {
            let result = match line.strip_suffix(b"\n") {
                None => Err(Fault::Torn),
                Some(line) if line.iter().all(u8::is_ascii_whitespace) => return None,
                Some(line) => str::from_utf8(line)
                    .map_err(|_| Fault::NotText)
                    .and_then(parse_line),
            };
            Some(result.map_err(|fault| LineError {
                line: index + 1,
                fault,
            }))
        })
}

/// Reads one line, with no line end.
///
/// # Errors
///
/// The first field that is wrong.
pub fn parse_line(line: &str) -> Result<Lease, Fault> {
    let mut fields = line.split_ascii_whitespace();
    let mut next = || fields.next().ok_or(Fault::Fields);
    let (expiry, mac, address, name, id) = (next()?, next()?, next()?, next()?, next()?);
    if fields.next().is_some() {
        return Err(Fault::Fields);
    }
    Ok(Lease {
        mac: mac.parse().map_err(|_| Fault::Mac)?,
        address: address.parse().map_err(|_| Fault::Address)?,
        expiry: u64::from_str(expiry).map_err(|_| Fault::Expiry)?,
        hostname: match name {
            "*" => None,
            name if hostname::is_label(name) => Some(name.into()),
            _ => return Err(Fault::Hostname),
        },
        client_id: match id {
            "*" => None,
            id => Some(parse_hex(id).ok_or(Fault::ClientId)?.into()),
        },
    })
}

/// Writes one lease as a line, with its line end.
///
/// # Errors
///
/// Those of `to`.
pub fn write_line(to: &mut impl Write, lease: &Lease) -> fmt::Result {
    let name = lease.hostname.as_deref().unwrap_or("*");
    write!(
        to,
        "{} {} {} {name} ",
        lease.expiry, lease.mac, lease.address
    )?;
    match lease.client_id.as_deref() {
        Some(id) if !id.is_empty() => write_hex(to, id)?,
        _ => to.write_char('*')?,
    }
    to.write_char('\n')
}

/// A whole lease file.
pub fn format<'a>(leases: impl IntoIterator<Item = &'a Lease>) -> String {
    let mut file = String::new();
    for lease in leases {
        // Writing to a string does not fail.
        let _ = write_line(&mut file, lease);
    }
    file
}

/// Reads bytes in hex with colons, as a client identifier is written in the
/// lease file and the configuration: 1 to 255 of them.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|pair| {
            let digits = pair.len() <= 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            u8::from_str_radix(pair, 16).ok().filter(|_| digits)
        })
        .collect();
    bytes.filter(|b| b.len() <= 255)
}

/// Writes bytes in hex with colons.
///
/// # Errors
///
/// Those of `to`.
pub fn write_hex(to: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    for (i, byte) in bytes.iter().enumerate() {
        let colon = if i == 0 { "" } else { ":" };
        write!(to, "{colon}{byte:02x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "\
1700003600 52:54:00:aa:bb:cc 192.168.122.10 db 01:52:54:00:aa:bb:cc
0 52:54:00:aa:bb:dd 192.168.122.11 * *
";

    fn read(file: &[u8]) -> Vec<Result<Lease, LineError>> {
        parse(file).collect()
    }

    fn faults(file: &[u8]) -> Vec<(usize, Fault)> {
        let errors = parse(file).filter_map(Result::err);
        errors.map(|e| (e.line, e.fault)).collect()
    }

    #[test]
    fn dnsmasqs_lines_are_read_and_written_alike() {
        let leases: Vec<Lease> = parse(FILE.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(leases[0].expiry, 1_700_003_600);
        assert_eq!(leases[0].hostname.as_deref(), Some("db"));
        assert_eq!(
            leases[0].client_id.as_deref(),
            Some(&[1, 0x52, 0x54, 0, 0xaa, 0xbb, 0xcc][..])
        );
        assert_eq!((leases[1].expiry, &leases[1].client_id), (0, &None));
        assert_eq!(format(&leases), FILE);
    }

    #[test]
    fn the_ipv6_part_is_skipped() {
        let file = format!("{FILE}duid 00:01:00:01\n1700003600 1 fd00::1 db 00:01\n");
        assert_eq!(read(file.as_bytes()), read(FILE.as_bytes()));
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_are_read() {
        let file = format!("x\n{FILE}\n1 52:54:00:aa:bb 1.2.3.4 * *\n");
        assert_eq!(
            faults(file.as_bytes()),
            [(1, Fault::Fields), (5, Fault::Mac)]
        );
        assert_eq!(read(file.as_bytes()).iter().flatten().count(), 2);
    }

    #[test]
    fn each_field_has_its_fault() {
        let mac = "52:54:00:aa:bb:cc";
        for (line, fault) in [
            (format!("x {mac} 1.2.3.4 * *"), Fault::Expiry),
            (format!("-1 {mac} 1.2.3.4 * *"), Fault::Expiry),
            (format!("1 06-{mac} 1.2.3.4 * *"), Fault::Mac),
            (format!("1 {mac} 1.2.3 * *"), Fault::Address),
            (format!("1 {mac} 1.2.3.4 a_b *"), Fault::Hostname),
            (format!("1 {mac} 1.2.3.4 * 1:+2"), Fault::ClientId),
            (format!("1 {mac} 1.2.3.4 * 1::2"), Fault::ClientId),
            (format!("1 {mac} 1.2.3.4 * * *"), Fault::Fields),
        ] {
            assert_eq!(parse_line(&line), Err(fault), "{line}");
        }
        assert_eq!(faults(b"\xff\n"), [(1, Fault::NotText)]);
    }

    #[test]
    fn a_torn_last_line_is_told_even_if_it_looks_whole() {
        let torn = &FILE.as_bytes()[..FILE.len() - 1];
        assert_eq!(faults(torn), [(2, Fault::Torn)]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            mac in any::<[u8; 6]>(),
            address in any::<[u8; 4]>(),
            expiry in any::<u64>(),
            name in proptest::option::of("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
            id in proptest::option::of(prop::collection::vec(any::<u8>(), 1..=255)),
        ) {
            let lease = Lease {
                mac: mac.into(),
                address: address.into(),
                expiry,
                hostname: name.map(Into::into),
                client_id: id.map(Into::into),
            };
            prop_assert_eq!(read(format([&lease]).as_bytes()), [Ok(lease)]);
        }

        #[test]
        fn any_bytes_are_read_without_panic(file in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&file);
        }
    }
}
