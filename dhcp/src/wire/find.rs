//! Finding one option in a client's message.

use dhcproto::v4::borrowed::DhcpOptionIterator;

use super::request::{OPTIONS, guard, overloaded};

const OVERLOAD: u8 = 52;

/// The value of option `code` in a client's message, the UDP payload: joined
/// from its parts (RFC 3396 §7), those in the fields `file` and `sname`
/// included where option 52 says that they are there. `None` if it has none. Any
/// bytes may come in: a field with an option that does not fit in it counts
/// for nothing.
#[must_use]
pub fn option(message: &[u8], code: u8) -> Option<Vec<u8>> {
    let (mut found, mut overload) = (None, None);
    let options = message.get(OPTIONS)?;
    join(options, OVERLOAD, &mut overload);
    join(options, code, &mut found);
    let overload = overload.and_then(|value| value.first().copied());
    for field in overloaded(message, overload.unwrap_or_default()) {
        join(field, code, &mut found);
    }
    found
}

/// Appends what `field` has of option `code`.
fn join(field: &[u8], code: u8, value: &mut Option<Vec<u8>>) {
    let Ok(field) = guard(field) else { return };
    for part in DhcpOptionIterator::new(field).filter(|part| u8::from(part.code()) == code) {
        value.get_or_insert_default().extend_from_slice(part.data());
    }
}
