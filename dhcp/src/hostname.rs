//! The name that a client gives itself.

use crate::wire;

/// Option 12 (RFC 2132 §3.14).
const HOSTNAME: u8 = 12;
/// Option 81 (RFC 4702).
const FQDN: u8 = 81;

/// The longest label (RFC 1035 §2.3.4), in bytes.
const MAX_LABEL: usize = 63;

/// Whether `name` is one label of a host name: letters, digits and inner
/// hyphens, 1 to 63 of them (RFC 952, RFC 1123 §2.1).
#[must_use]
pub fn is_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=MAX_LABEL).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// Whether `name` is a domain name: labels as of [`is_label`], joined by dots,
/// at most 253 bytes.
#[must_use]
pub fn is_domain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The name by which the client that sent `message` is recorded if the
/// configuration gives it none: one label, as of [`is_label`]. `None` where it
/// gives itself none, or one that is no host name. Any bytes may come in.
#[must_use]
pub fn in_message(message: &[u8]) -> Option<String> {
    let [fqdn, option] = [FQDN, HOSTNAME].map(|code| wire::option(message, code));
    let name = given(fqdn.as_deref(), option.as_deref()).flatten()?;
    Some(name.to_owned())
}

/// The name that a client gives itself by option 81, `fqdn`, or by option 12,
/// `option`; `Some(None)` if it is no host name.
pub(crate) fn given<'a>(
    fqdn: Option<&'a [u8]>,
    option: Option<&'a [u8]>,
) -> Option<Option<&'a str>> {
    // RFC 4702 §3.1: option 12 says nothing new beside option 81.
    let fqdn = fqdn.map(from_fqdn);
    let option = option.map(from_option);
    fqdn.filter(Option::is_some).or(option).or(fqdn)
}

/// The first label of a name as it stands in option 12 (RFC 2132 §3.14), which
/// some clients end with a NUL; `None` if it is no host name.
fn from_option(data: &[u8]) -> Option<&str> {
    let end = data.iter().rposition(|b| *b != 0)? + 1;
    let name = str::from_utf8(data.get(..end)?).ok()?;
    let label = name.split('.').next()?;
    is_label(label).then_some(label)
}

/// The first label of the name in option 81 (RFC 4702 §2): three bytes of
/// flags and result codes, then a name in wire form if flag E (0x04) is set,
/// else in text; `None` if there is no host name.
fn from_fqdn(data: &[u8]) -> Option<&str> {
    const WIRE_FORM: u8 = 0x04;
    let (flags, name) = (data.first()?, data.get(3..)?);
    if flags & WIRE_FORM == 0 {
        return from_option(name);
    }
    let (len, rest) = name.split_first()?;
    // A compression pointer or an over-long label is no length.
    from_option(rest.get(..usize::from(*len))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_letters_digits_and_inner_hyphens() {
        for good in ["a", "db-1", "3com", "X", &"a".repeat(63)] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a_b", "a b", "a.b", "ä", &"a".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
    }

    #[test]
    fn option_12_gives_its_first_label() {
        assert_eq!(from_option(b"db"), Some("db"));
        assert_eq!(from_option(b"db.example.org\0"), Some("db"));
        assert_eq!(from_option(b"a;reboot"), None);
        assert_eq!(from_option(b"*"), None);
        assert_eq!(from_option(b"\0"), None);
        assert_eq!(from_option(b"\xff\xfe"), None);
    }

    #[test]
    fn a_message_gives_the_name_of_option_81_before_that_of_12() {
        let message = |options: &[u8]| [&[0; 240], options, b"\xff"].concat();
        let name = |options: &[u8]| in_message(&message(options));
        assert_eq!(name(b"\x0c\x01a\x51\x04\0\0\0b").as_deref(), Some("b"));
        assert_eq!(name(b"\x51\x04\0\0\0b").as_deref(), Some("b"));
        assert_eq!(name(b"\x0c\x01a\x51\x04\0\0\0*").as_deref(), Some("a"));
        assert_eq!(name(b"\x0c\x08a;reboot"), None);
        assert_eq!(name(b""), None);
        assert_eq!(in_message(b""), None);
    }

    #[test]
    fn option_81_gives_its_first_label_in_either_form() {
        assert_eq!(from_fqdn(b"\x00\x00\x00db.vm"), Some("db"));
        assert_eq!(from_fqdn(b"\x04\x00\x00\x02db\x02vm\x00"), Some("db"));
        assert_eq!(from_fqdn(b"\x04\x00\x00\xc0\x0c"), None);
        assert_eq!(from_fqdn(b"\x04\x00\x00\x40ab"), None);
        assert_eq!(from_fqdn(b"\x04\x00"), None);
        assert_eq!(from_fqdn(b""), None);
    }
}
