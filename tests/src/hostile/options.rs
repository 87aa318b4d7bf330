//! A second opinion on the options of a DHCP message (RFC 2131 §4.1, RFC 3396).

use std::collections::BTreeMap;

const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const OPTIONS: std::ops::RangeFrom<usize> = 240..;

const PAD: u8 = 0;
const OVERLOAD: u8 = 52;
const END: u8 = 255;

/// The options of a message by code, each joined from its parts in all fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    /// Reads `message`; `None` where an option runs past the end of its field.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut options = Self::default();
        options.add(message.get(OPTIONS)?)?;
        let overload = options
            .get(OVERLOAD)
            .and_then(|value| value.first().copied());
        let overload = overload.unwrap_or_default();
        if overload & 1 != 0 {
            options.add(message.get(FILE)?)?;
        }
        if overload & 2 != 0 {
            options.add(message.get(SNAME)?)?;
        }
        Some(options)
    }

    /// The value of an option.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    fn add(&mut self, mut field: &[u8]) -> Option<()> {
        while let Some((code, rest)) = field.split_first() {
            match *code {
                PAD => field = rest,
                END => break,
                code => {
                    let (len, rest) = rest.split_first()?;
                    let (value, rest) = rest.split_at_checked((*len).into())?;
                    self.0.entry(code).or_default().extend_from_slice(value);
                    field = rest;
                }
            }
        }
        Some(())
    }
}
