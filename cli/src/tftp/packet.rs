//! Packets, from bytes and to bytes (RFC 1350 §5, RFC 2347).

/// The longest packet that is read: no request or acknowledgement is longer
/// than a frame.
pub const LONGEST: usize = 1500;

/// Bytes of a DATA packet in front of its block.
pub const DATA_HEADER: usize = 4;

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// The longest text of an error that is sent, in bytes.
const MAX_MESSAGE: usize = 200;

/// A packet from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// It wants a file.
    Read(Request<'a>),
    /// It wants to write one.
    Write,
    /// It has all blocks up to the one with this number, of which these are
    /// the low 16 bits; 0: the option acknowledgement.
    Ack(u16),
    /// It ends the transfer.
    Error {
        /// RFC 1350 appendix I, RFC 2347.
        code: u16,
        /// For a reader.
        message: &'a [u8],
    },
    /// What no client that reads sends: DATA, OACK.
    Unexpected,
}

/// What a client wants to read, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The name of the file as it came, not empty, without NUL.
    pub file: &'a [u8],
    /// How its bytes are sent.
    pub mode: Mode,
    options: &'a [u8],
}

/// How a file's bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As they are.
    Octet,
    /// As text lines that end with CR LF (RFC 1350 §1).
    Netascii,
}

/// Why a packet makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// It ends before it says what it is.
    #[error("it is too short")]
    Truncated,
    /// No operation has this number.
    #[error("it is of no known kind ({0})")]
    UnknownKind(u16),
    /// A request for no file.
    #[error("it names no file")]
    NoFile,
    /// A request without a mode, or one that is not served.
    #[error("its mode is neither octet nor netascii")]
    BadMode,
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (kind, rest) = number(bytes).ok_or(Malformed::Truncated)?;
        match kind {
            RRQ => Request::parse(rest).map(Self::Read),
            WRQ => Ok(Self::Write),
            ACK => {
                let (block, _) = number(rest).ok_or(Malformed::Truncated)?;
                Ok(Self::Ack(block))
            }
            ERROR => {
                let (code, text) = number(rest).ok_or(Malformed::Truncated)?;
                let end = text.iter().position(|byte| *byte == 0);
                let message = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
                Ok(Self::Error { code, message })
            }
            DATA | OACK => Ok(Self::Unexpected),
            other => Err(Malformed::UnknownKind(other)),
        }
    }
}

impl<'a> Request<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (file, rest) = text(bytes).ok_or(Malformed::NoFile)?;
        let (mode, options) = text(rest).ok_or(Malformed::BadMode)?;
        let mode = if mode.eq_ignore_ascii_case(b"octet") {
            Mode::Octet
        } else if mode.eq_ignore_ascii_case(b"netascii") {
            Mode::Netascii
        } else {
            return Err(Malformed::BadMode);
        };
        Ok(Self {
            file,
            mode,
            options,
        })
    }

    /// The options, name and value, up to the first that is cut off or empty:
    /// some boot ROMs leave rubbish behind them.
    pub fn options(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.options;
        std::iter::from_fn(move || {
            let (name, after) = text(rest)?;
            let (value, after) = text(after)?;
            rest = after;
            Some((name, value))
        })
    }
}

/// Puts the head of a DATA packet into `packet`; the block's bytes follow it.
/// The number is sent with its low 16 bits: after 65535 comes 0.
pub fn begin_data(packet: &mut Vec<u8>, block: u64) {
    packet.clear();
    packet.extend(DATA.to_be_bytes());
    let [.., high, low] = block.to_be_bytes();
    packet.extend([high, low]);
}

/// An option acknowledgement of these names and values.
pub fn option_ack<'a>(options: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<u8> {
    let mut packet = OACK.to_be_bytes().to_vec();
    for (name, value) in options {
        packet.extend(name.as_bytes());
        packet.push(0);
        packet.extend(value.to_string().as_bytes());
        packet.push(0);
    }
    packet
}

/// What is told to a client that does not get what it wants (RFC 1350
/// appendix I).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// See the message.
    Undefined = 0,
    /// There is no such file.
    NotFound = 1,
    /// The file is not for clients.
    AccessViolation = 2,
    /// What it sent is no request that is served.
    IllegalOperation = 4,
}

/// An ERROR packet; of `message` as much as fits.
#[must_use]
pub fn error(code: ErrorCode, message: &str) -> Vec<u8> {
    let mut packet = ERROR.to_be_bytes().to_vec();
    packet.extend((code as u16).to_be_bytes());
    packet.extend(message.bytes().filter(|byte| *byte != 0).take(MAX_MESSAGE));
    packet.push(0);
    packet
}

/// The 16-bit number that `bytes` start with, and the rest.
fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// The text that `bytes` start with, not empty and ended by a NUL, and the
/// rest.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = bytes.get(..end).filter(|text| !text.is_empty())?;
    Some((text, bytes.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(bytes: &[u8]) -> Result<Request<'_>, Malformed> {
        match Packet::parse(bytes)? {
            Packet::Read(request) => Ok(request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_has_a_file_a_mode_and_options() {
        let bytes = b"\0\x01boot/a.efi\0OcTeT\0blksize\x001468\0tsize\x000\0";
        let request = request(bytes).unwrap();
        assert_eq!(request.file, b"boot/a.efi");
        assert_eq!(request.mode, Mode::Octet);
        let options: Vec<_> = request.options().collect();
        assert_eq!(options, [(&b"blksize"[..], &b"1468"[..]), (b"tsize", b"0")]);
    }

    #[test]
    fn an_option_that_is_cut_off_ends_the_options() {
        let cut = request(b"\0\x01f\0octet\0blksize\x001468\0tsize\x000").unwrap();
        assert_eq!(cut.options().count(), 1);
        let empty = request(b"\0\x01f\0netascii\0\0\0\0\0").unwrap();
        assert_eq!(empty.mode, Mode::Netascii);
        assert_eq!(empty.options().count(), 0);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (bytes, fault) in [
            (&b""[..], Malformed::Truncated),
            (b"\0", Malformed::Truncated),
            (b"\0\x04\0", Malformed::Truncated),
            (b"\0\x09", Malformed::UnknownKind(9)),
            (b"\0\x01", Malformed::NoFile),
            (b"\0\x01\0octet\0", Malformed::NoFile),
            (b"\0\x01file", Malformed::NoFile),
            (b"\0\x01file\0", Malformed::BadMode),
            (b"\0\x01file\0octet", Malformed::BadMode),
            (b"\0\x01file\0mail\0", Malformed::BadMode),
        ] {
            assert_eq!(Packet::parse(bytes), Err(fault), "{bytes:?}");
        }
    }

    #[test]
    fn acknowledgements_and_errors_are_read() {
        assert_eq!(Packet::parse(b"\0\x04\x01\x02"), Ok(Packet::Ack(0x102)));
        let message = &b"not wanted"[..];
        let error = Ok(Packet::Error { code: 8, message });
        assert_eq!(Packet::parse(b"\0\x05\0\x08not wanted\0more"), error);
        assert_eq!(Packet::parse(b"\0\x05\0\x08not wanted"), error);
    }

    #[test]
    fn packets_have_the_form_of_the_rfcs() {
        let mut packet = vec![9];
        begin_data(&mut packet, 65_537);
        assert_eq!(packet, b"\0\x03\0\x01");
        assert_eq!(
            option_ack([("blksize", 1468), ("tsize", 0)]),
            b"\0\x06blksize\x001468\0tsize\x000\0"
        );
        assert_eq!(
            error(ErrorCode::NotFound, "no\0 file"),
            b"\0\x05\0\x01no file\0"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(Packet::Read(request)) = Packet::parse(&bytes) {
                prop_assert!(!request.file.is_empty() && !request.file.contains(&0));
                prop_assert!(request.options().count() <= bytes.len());
            }
        }

        #[test]
        fn an_error_of_any_text_reads_back(text in ".{0,300}") {
            let packet = error(ErrorCode::Undefined, &text);
            prop_assert!(packet.len() <= 4 + MAX_MESSAGE + 1);
            let read = Packet::parse(&packet);
            prop_assert!(matches!(read, Ok(Packet::Error { code: 0, .. })), "{:?}", read);
        }
    }
}
