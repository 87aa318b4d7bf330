//! Options as users write them, and what of them which client gets.
//!
//! [`encode`] turns a value in text, under the number of its option or under
//! dnsmasq's name, into bytes. A [`Setting`] says on which conditions a client
//! gets these, a [`Boot`] which file it boots.
//!
//! ```
//! use vmlan_dhcp::options::{self, Value};
//!
//! let server = "192.168.122.1".parse()?;
//! let value = Value::List(vec![Value::Text("0.0.0.0".into())]);
//! let option = options::encode("ntp-server", &value, server);
//! assert_eq!(option, Ok((42, vec![192, 168, 122, 1])));
//!
//! let value = Value::Text("10.0.0.0/8,192.168.122.1".into());
//! let option = options::encode("121", &value, server);
//! assert_eq!(option, Ok((121, vec![8, 10, 192, 168, 122, 1])));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod architecture;
mod boot;
mod domains;
mod names;
mod setting;
mod value;

use std::net::Ipv4Addr;

use thiserror::Error;

pub use architecture::{Architecture, UnknownArchitecture};
pub use boot::{Boot, BootError};
pub use names::{Form, all, name_of};
pub(crate) use setting::check;
pub use setting::{Scope, Setting, SettingError};

/// The longest value of an option: one that leaves room for others in a
/// message of one Ethernet frame.
pub const MAX_VALUE: usize = 1024;

/// The longest value of an option inside of another (RFC 2132 §8.4).
pub const MAX_ENCAPSULATED: usize = 253;

/// A value as a configuration file gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `"192.168.122.1,192.168.122.2"`: for all but text options, commas part
    /// it into a list.
    Text(String),
    /// `1500`
    Number(i64),
    /// `true`
    Bool(bool),
    /// `["192.168.122.1"]`
    List(Vec<Value>),
}

/// Why an option cannot be sent, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionError {
    /// Neither a number nor a known name.
    #[error("unknown option '{name}'; did you mean '{nearest}', or a number from 1 to 254?")]
    Unknown {
        /// What was given.
        name: String,
        /// The known name that is most like it.
        nearest: &'static str,
    },
    /// One that the server fills in itself.
    #[error("option {0} is computed by the server and cannot be set")]
    Computed(u8),
    /// The value does not suit the option.
    #[error("option {name}: '{value}' is not {wanted}")]
    Value {
        /// The option.
        name: String,
        /// The part of the value that does not suit.
        value: String,
        /// What would.
        wanted: &'static str,
    },
    /// The value is too long.
    #[error(
        "option {name}: the value has {length} bytes, but {most} are the most that can be sent"
    )]
    Long {
        /// The option.
        name: String,
        /// Bytes of the value.
        length: usize,
        /// How many it could have.
        most: usize,
    },
}

/// Whether the server alone decides about option `code`.
#[must_use]
pub fn is_computed(code: u8) -> bool {
    matches!(code, 0 | 50..=55 | 57 | 61 | 80..=82 | 118 | 255)
}

/// The code and value in wire form of the option `key` (a number or dnsmasq's
/// name) with `value`, as sent by `server`, which the address 0.0.0.0 stands
/// for. An empty text or list gives an empty value: the option is not sent.
///
/// # Errors
///
/// The key is unknown or not to be set, or the value does not suit it.
pub fn encode(key: &str, value: &Value, server: Ipv4Addr) -> Result<(u8, Vec<u8>), OptionError> {
    let (code, form) = match key.parse::<u8>() {
        Ok(code) => (code, names::form_of(code)),
        Err(_) => names::find(key).ok_or_else(|| OptionError::Unknown {
            name: key.to_owned(),
            nearest: names::nearest(key),
        })?,
    };
    if is_computed(code) {
        return Err(OptionError::Computed(code));
    }
    let bytes = bounded(key, form, value, MAX_VALUE, server)?;
    Ok((code, bytes))
}

/// The value in wire form of a sub-option of a vendor, whose form is guessed
/// from the value as dnsmasq does; the address 0.0.0.0 stands for itself.
///
/// # Errors
///
/// The value is none of the forms, or too long.
pub fn encode_encapsulated(code: u8, value: &Value) -> Result<Vec<u8>, OptionError> {
    let (key, own) = (code.to_string(), Ipv4Addr::UNSPECIFIED);
    bounded(&key, Form::Any, value, MAX_ENCAPSULATED, own)
}

fn bounded(
    key: &str,
    form: Form,
    value: &Value,
    most: usize,
    server: Ipv4Addr,
) -> Result<Vec<u8>, OptionError> {
    let bytes = value::encode(form, value, server).map_err(|value::Mismatch(value)| {
        OptionError::Value {
            name: key.to_owned(),
            value,
            wanted: form.description(),
        }
    })?;
    if bytes.len() > most {
        return Err(OptionError::Long {
            name: key.to_owned(),
            length: bytes.len(),
            most,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
