//! What a relay agent adds to a client's message: option 82 (RFC 3046).

use std::net::Ipv4Addr;

/// The relay agent information of a message.
///
/// A client behind no relay agent can send it as well: it is to be believed as
/// far as the place is that the message came by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RelayInfo {
    /// The whole option, which every answer gives back (RFC 3046 §2.2).
    pub(crate) bytes: Box<[u8]>,
    /// Sub-option 1: the port of the agent that the client is behind.
    pub(crate) circuit_id: Option<Box<[u8]>>,
    /// Sub-option 2: the client's end of that circuit.
    pub(crate) remote_id: Option<Box<[u8]>>,
    /// Sub-option 6 (RFC 3993): the subscriber.
    pub(crate) subscriber_id: Option<Box<[u8]>>,
    /// Sub-option 5 (RFC 3527): an address of the client's subnet, where that
    /// is not `giaddr`'s.
    pub(crate) link_selection: Option<Ipv4Addr>,
    /// Sub-option 11 (RFC 5107): the address by which the client is to know
    /// the server, so that all that it sends passes the agent.
    pub(crate) server_override: Option<Ipv4Addr>,
}

impl RelayInfo {
    /// Reads the option's value. A sub-option that does not fit ends the list
    /// (the value is given back whole all the same), one of the wrong length
    /// does not count, and of two the first does, as in dnsmasq.
    pub(super) fn parse(option: Vec<u8>) -> Self {
        let mut info = Self::default();
        let mut rest = option.as_slice();
        while let [code, len, after @ ..] = rest {
            let Some((value, next)) = after.split_at_checked(usize::from(*len)) else {
                break;
            };
            rest = next;
            match code {
                1 => keep(&mut info.circuit_id, value),
                2 => keep(&mut info.remote_id, value),
                5 => keep_address(&mut info.link_selection, value),
                6 => keep(&mut info.subscriber_id, value),
                11 => keep_address(&mut info.server_override, value),
                _ => {}
            }
        }
        info.bytes = option.into();
        info
    }
}

fn keep(slot: &mut Option<Box<[u8]>>, value: &[u8]) {
    if slot.is_none() && !value.is_empty() {
        *slot = Some(value.into());
    }
}

fn keep_address(slot: &mut Option<Ipv4Addr>, value: &[u8]) {
    if slot.is_none()
        && let Ok(octets) = <[u8; 4]>::try_from(value)
        && octets != [0; 4]
    {
        *slot = Some(octets.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sub_options_are_told_apart() {
        let option =
            b"\x01\x04eth1\x02\x02ab\x05\x04\x0a\x01\x00\x00\x06\x01s\x0b\x04\x0a\x01\x00\x01";
        let info = RelayInfo::parse(option.to_vec());
        assert_eq!(info.bytes[..], option[..]);
        assert_eq!(info.circuit_id.as_deref(), Some(&b"eth1"[..]));
        assert_eq!(info.remote_id.as_deref(), Some(&b"ab"[..]));
        assert_eq!(info.subscriber_id.as_deref(), Some(&b"s"[..]));
        assert_eq!(info.link_selection, Some([10, 1, 0, 0].into()));
        assert_eq!(info.server_override, Some([10, 1, 0, 1].into()));
    }

    #[test]
    fn of_two_the_first_counts_and_a_wrong_length_does_not() {
        let info = RelayInfo::parse(b"\x05\x03abc\x01\x01a\x01\x01b\x0b\x04\0\0\0\0".to_vec());
        assert_eq!(info.circuit_id.as_deref(), Some(&b"a"[..]));
        assert_eq!((info.link_selection, info.server_override), (None, None));
    }

    #[test]
    fn what_runs_past_the_end_is_given_back_and_not_read() {
        let info = RelayInfo::parse(b"\x01\x01a\x02\x05b".to_vec());
        assert_eq!(info.circuit_id.as_deref(), Some(&b"a"[..]));
        assert_eq!(info.remote_id, None);
        assert_eq!(info.bytes[..], b"\x01\x01a\x02\x05b"[..]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_given_back_as_they_came(option in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(&RelayInfo::parse(option.clone()).bytes[..], &option[..]);
        }
    }
}
