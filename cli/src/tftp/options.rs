//! What client and server agree on before the first block (RFC 2347).

use super::packet::{self, Mode, Request};
use std::time::Duration;

/// The size of a block without options, in bytes (RFC 1350 §2).
pub const BLOCK: u16 = 512;
/// The smallest block that can be asked for (RFC 2348).
pub const LEAST_BLOCK: u16 = 8;
/// The largest (RFC 2348).
pub const LARGEST_BLOCK: u16 = 65_464;
/// Blocks that are sent before an acknowledgement is waited for, at most: as
/// dnsmasq has it.
pub const LARGEST_WINDOW: u16 = 32;

const BLKSIZE: &str = "blksize";
const TIMEOUT: &str = "timeout";
const TSIZE: &str = "tsize";
const WINDOWSIZE: &str = "windowsize";
const KNOWN: [&str; 4] = [BLKSIZE, TIMEOUT, TSIZE, WINDOWSIZE];

/// What both go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Bytes of a block; the last one has less.
    pub block: u16,
    /// Blocks that are sent before an acknowledgement is waited for (RFC 7440).
    pub window: u16,
    /// The time after which something is sent again, if the client wants one
    /// (RFC 2349).
    pub timeout: Option<Duration>,
    /// The option acknowledgement, a whole packet; none if the client wants
    /// nothing that is known.
    pub packet: Option<Vec<u8>>,
}

/// Agrees to what `request` wants of a file of `size` bytes, with blocks of
/// `largest` bytes at most. Options that are unknown, or whose value makes no
/// sense, are left out of the acknowledgement (RFC 2347); of one that is there
/// twice the first counts.
///
/// Text has neither a size that is known before nor windows, as with dnsmasq.
#[must_use]
pub fn agree(request: &Request<'_>, size: u64, largest: u16) -> Agreed {
    let mut agreed = Agreed {
        block: BLOCK.min(largest),
        window: 1,
        timeout: None,
        packet: None,
    };
    let binary = request.mode == Mode::Octet;
    let mut answers: Vec<(&str, u64)> = Vec::new();
    for (name, value) in request.options() {
        let is = |option: &&str| name.eq_ignore_ascii_case(option.as_bytes());
        let Some(option) = KNOWN.into_iter().find(is) else {
            continue;
        };
        let Some(value) = number(value) else { continue };
        if answers.iter().any(|(answered, _)| *answered == option) {
            continue;
        }
        let answer = match option {
            BLKSIZE if value >= LEAST_BLOCK.into() => {
                agreed.block = clamp(value, largest.min(LARGEST_BLOCK));
                agreed.block.into()
            }
            WINDOWSIZE if value >= 1 && binary => {
                agreed.window = clamp(value, LARGEST_WINDOW);
                agreed.window.into()
            }
            TIMEOUT if (1..=255).contains(&value) => {
                agreed.timeout = Some(Duration::from_secs(value));
                value
            }
            TSIZE if binary => size,
            _ => continue,
        };
        answers.push((option, answer));
    }
    if !answers.is_empty() {
        agreed.packet = Some(packet::option_ack(answers));
    }
    agreed
}

/// `value`, at most `largest`.
fn clamp(value: u64, largest: u16) -> u16 {
    u16::try_from(value).map_or(largest, |value| value.min(largest))
}

/// A decimal number; one that is too large counts as the largest.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tftp::packet::Packet;

    /// What is agreed on for a file of 1,000,000 bytes and blocks of 1,468 at
    /// most, with the acknowledgement as text.
    fn agreed(mode: &str, options: &[&str]) -> (Agreed, String) {
        let mut bytes = format!("\0\x01f\0{mode}\0");
        for text in options {
            bytes += text;
            bytes.push('\0');
        }
        let Ok(Packet::Read(request)) = Packet::parse(bytes.as_bytes()) else {
            panic!("{bytes:?}");
        };
        let agreed = agree(&request, 1_000_000, 1468);
        let packet = agreed.packet.clone().unwrap_or_default();
        let text = String::from_utf8(packet.get(2..).unwrap_or_default().to_vec()).unwrap();
        (agreed, text.replace('\0', " "))
    }

    #[test]
    fn options_are_agreed_to_within_bounds() {
        for (options, packet) in [
            (&["blksize", "1024"][..], "blksize 1024 "),
            (&["blksize", "65464"], "blksize 1468 "),
            (&["BLKSIZE", "99999999999999999999999"], "blksize 1468 "),
            (&["tsize", "0"], "tsize 1000000 "),
            (
                &["timeout", "5", "windowsize", "8"],
                "timeout 5 windowsize 8 ",
            ),
            (&["windowsize", "65535"], "windowsize 32 "),
            (&["blksize", "512", "blksize", "600"], "blksize 512 "),
        ] {
            let (agreed, text) = agreed("octet", options);
            assert_eq!(text, packet, "{options:?}");
            assert!(agreed.packet.is_some());
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_acknowledged() {
        for options in [
            &["blksize", "7"][..],
            &["blksize", "-1"],
            &["blksize", "0x200"],
            &["timeout", "0"],
            &["timeout", "256"],
            &["windowsize", "0"],
            &["multicast", "1"],
            &[],
        ] {
            let (agreed, _) = agreed("octet", options);
            let plain = Agreed {
                block: 512,
                window: 1,
                timeout: None,
                packet: None,
            };
            assert_eq!(agreed, plain, "{options:?}");
        }
    }

    #[test]
    fn text_has_no_size_and_no_window() {
        let (agreed, text) = agreed(
            "netascii",
            &["tsize", "0", "windowsize", "4", "blksize", "8"],
        );
        assert_eq!((agreed.block, agreed.window), (8, 1));
        assert_eq!(text, "blksize 8 ");
    }
}
