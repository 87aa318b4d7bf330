//! Finding one option in a client's message.

use dhcproto::v4::borrowed::DhcpOptionIterator;

use super::request::{OPTIONS, guard};

/// The value of option `code` among a message's options, joined from its parts
/// (RFC 3396 §7). What stands in the `file` and `sname` fields is not looked at:
/// clients put nothing there.
pub(crate) fn option(message: &[u8], code: u8) -> Option<Vec<u8>> {
    let field = guard(message.get(OPTIONS)?).ok()?;
    let parts = DhcpOptionIterator::new(field).filter(|part| u8::from(part.code()) == code);
    parts.fold(None, |found: Option<Vec<u8>>, part| {
        let mut value = found.unwrap_or_default();
        value.extend_from_slice(part.data());
        Some(value)
    })
}
