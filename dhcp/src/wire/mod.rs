//! DHCP messages to and from bytes: the only module that knows dhcproto.
//!
//! dhcproto trusts lengths that a client chose: `chaddr()` slices by `hlen`,
//! and option decoding stops without a word at the first option that does not
//! fit. So [`parse`] looks at the fixed fields and walks every option field
//! itself first, and hands over only what is known to hold. It then uses the
//! borrowing decoder, which leaves an option's value alone: the owning one
//! asserts lengths of values that the server does not even read.
//!
//! - `request` reads what a client sends. Options that come in several parts
//!   are joined (RFC 3396 §7), those in the `file` and `sname` fields are read
//!   when option 52 says that they are there (RFC 2131 §4.1); each field is
//!   read once, whatever stands in it.
//! - `relay` takes apart what a relay agent adds (option 82), `user_class` what
//!   a client says of its user (option 77).
//! - `find` looks for an option that the configuration or the caller asks for.
//! - `reply` writes what the server says: it splits long options, and puts
//!   options into `file` and `sname` when there is no room before.

mod find;
mod relay;
mod reply;
mod request;
mod user_class;

/// Option 52 (RFC 2132 §9.3): there are options in the field `file`.
const IN_FILE: u8 = 1;
/// Option 52: there are options in the field `sname`.
const IN_SNAME: u8 = 2;

pub use find::option;
pub(crate) use relay::RelayInfo;
pub(crate) use reply::{Header, Response, encode};
pub(crate) use request::{Kind, Request, parse};

#[cfg(test)]
mod tests;
