//! Options as users write them: by number or by dnsmasq's name, with a value
//! in text.
//!
//! ```
//! use vmlan_dhcp::options::{self, Value};
//!
//! let value = Value::List(vec![Value::Text("192.168.122.1".into())]);
//! let option = options::encode("ntp-server", &value);
//! assert_eq!(option, Ok((42, vec![192, 168, 122, 1])));
//!
//! let value = Value::Text("10.0.0.0/8,192.168.122.1".into());
//! let option = options::encode("121", &value);
//! assert_eq!(option, Ok((121, vec![8, 10, 192, 168, 122, 1])));
//! ```

mod names;
mod value;

use thiserror::Error;

pub use names::{Form, name_of};

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
}

/// Whether the server alone decides about option `code`.
#[must_use]
pub fn is_computed(code: u8) -> bool {
    matches!(code, 0 | 50..=55 | 58 | 59 | 61 | 82 | 255)
}

/// The code and value in wire form of the option `key` (a number or dnsmasq's
/// name) with `value`. An empty text or list gives an empty value: the option
/// is not sent.
///
/// # Errors
///
/// The key is unknown or not to be set, or the value does not suit it.
pub fn encode(key: &str, value: &Value) -> Result<(u8, Vec<u8>), OptionError> {
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
    match value::encode(form, value) {
        Ok(bytes) => Ok((code, bytes)),
        Err(value::Mismatch(value)) => Err(OptionError::Value {
            name: key.to_owned(),
            value,
            wanted: form.description(),
        }),
    }
}

#[cfg(test)]
mod tests;
