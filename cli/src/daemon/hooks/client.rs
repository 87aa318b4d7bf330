//! What a client's message says beside what its lease does, for the hook's
//! environment.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStringExt;
use vmlan_dhcp::{Tag, Tags, hostname, option};

/// Where the relay agent's address stands in a message (RFC 2131 §2).
const GIADDR: std::ops::Range<usize> = 24..28;

const REQUESTED_ADDRESS: u8 = 50;
const PARAMETERS: u8 = 55;
const VENDOR_CLASS: u8 = 60;
const USER_CLASS: u8 = 77;
const RELAY: u8 = 82;
const VENDOR_OPTIONS: u8 = 125;
const MUD_URL: u8 = 161;

/// The enterprise number of the Broadband Forum (TR-069).
const BROADBAND_FORUM: u32 = 3561;

/// User classes that are passed on, at most.
const MAX_USER_CLASSES: usize = 32;

/// A client's message as the environment has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ClientData {
    /// Names without `DNSMASQ_`, and values.
    pub(super) variables: Vec<(String, OsString)>,
    /// It takes up a lease that it has had, or a new one, other than to renew
    /// the one that it is using.
    pub(super) takes_up: bool,
}

impl ClientData {
    /// Reads `message`, which the server has answered: so its options are
    /// known to be whole. What is not there is left out. `tags` is what the
    /// server has marked the client with.
    pub(super) fn read(message: &[u8], tags: &Tags) -> Self {
        let option = |code| option(message, code);
        let mut data = Self {
            takes_up: option(REQUESTED_ADDRESS).is_some(),
            variables: Vec::new(),
        };
        data.text("VENDOR_CLASS", option(VENDOR_CLASS));
        let name = hostname::in_message(message);
        data.text("SUPPLIED_HOSTNAME", name.map(String::into_bytes));
        if let Some(vendor) = option(VENDOR_OPTIONS)
            && let Some(gateway) = broadband_forum(&vendor)
        {
            data.text("CPEWAN_OUI", part(gateway, 1));
            data.text("CPEWAN_SERIAL", part(gateway, 2));
            data.text("CPEWAN_CLASS", part(gateway, 3));
        }
        if let Some(relay) = option(RELAY) {
            data.text("CIRCUIT_ID", part(&relay, 1));
            data.text("SUBSCRIBER_ID", part(&relay, 6));
            data.text("REMOTE_ID", part(&relay, 2));
        }
        if let Some(codes) = option(PARAMETERS) {
            let codes: Vec<_> = codes.iter().map(u8::to_string).collect();
            data.text("REQUESTED_OPTIONS", Some(codes.join(",").into_bytes()));
        }
        let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        data.text("TAGS", Some(tags.join(" ").into_bytes()));
        data.text("MUD_URL", option(MUD_URL));
        if let Some(Ok(relay)) = message.get(GIADDR).map(<[u8; 4]>::try_from)
            && relay != [0; 4]
        {
            let relay = Ipv4Addr::from(relay).to_string();
            data.text("RELAY_ADDRESS", Some(relay.into_bytes()));
        }
        let classes = option(USER_CLASS).unwrap_or_default();
        for (n, class) in user_classes(&classes).enumerate() {
            data.text(&format!("USER_CLASS{n}"), Some(class.to_vec()));
        }
        data
    }

    /// As dnsmasq, a text goes to the first NUL or `=`; an empty one is left
    /// out.
    fn text(&mut self, name: &str, value: Option<Vec<u8>>) {
        let mut value = value.unwrap_or_default();
        let end = value.iter().position(|byte| matches!(byte, 0 | b'='));
        value.truncate(end.unwrap_or(value.len()));
        if !value.is_empty() {
            self.variables
                .push((name.to_owned(), OsString::from_vec(value)));
        }
    }
}

/// The first of `parts`, the options inside an option, that has the number
/// `code`.
fn part(mut parts: &[u8], code: u8) -> Option<Vec<u8>> {
    loop {
        let ([found, length], rest) = parts.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked((*length).into())?;
        if *found == code {
            return Some(value.to_vec());
        }
        parts = rest;
    }
}

/// The options of the Broadband Forum in option 125 (RFC 3925).
fn broadband_forum(mut vendors: &[u8]) -> Option<&[u8]> {
    loop {
        let (number, rest) = vendors.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (options, rest) = rest.split_at_checked((*length).into())?;
        if u32::from_be_bytes(*number) == BROADBAND_FORUM {
            return Some(options);
        }
        vendors = rest;
    }
}

/// The user classes of option 77: counted texts (RFC 3004), or the one text
/// that some clients send.
fn user_classes(option: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = option;
    let mut counted = Vec::new();
    while let Some((length, after)) = rest.split_first() {
        let Some((class, after)) = after.split_at_checked((*length).into()) else {
            break;
        };
        counted.push(class);
        rest = after;
    }
    let whole = rest.is_empty() && !counted.is_empty();
    let classes = if whole { counted } else { vec![option] };
    classes.into_iter().take(MAX_USER_CLASSES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(options: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![0; 240];
        for option in options {
            message.extend_from_slice(option);
        }
        message.push(255);
        message
    }

    fn read(options: &[&[u8]]) -> Vec<(String, String)> {
        let data = ClientData::read(&message(options), &Tags::default());
        data.variables
            .into_iter()
            .map(|(name, value)| (name, value.into_string().unwrap()))
            .collect()
    }

    #[test]
    fn options_become_variables() {
        let read = read(&[
            b"\x3c\x03MSF",
            b"\x0c\x03web",
            b"\x37\x03\x01\x03\x06",
            b"\x52\x0b\x01\x03eth\x06\x00\x02\x02ab",
            b"\xa1\x05http:",
            b"\x4d\x08\x03one\x03two",
        ]);
        let read: Vec<_> = read
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            read,
            [
                "VENDOR_CLASS=MSF",
                "SUPPLIED_HOSTNAME=web",
                "CIRCUIT_ID=eth",
                "REMOTE_ID=ab",
                "REQUESTED_OPTIONS=1,3,6",
                "MUD_URL=http:",
                "USER_CLASS0=one",
                "USER_CLASS1=two",
            ]
        );
    }

    #[test]
    fn the_supplied_name_is_the_one_that_the_server_goes_by() {
        let name = |options: &[&[u8]]| read(options).pop().map(|(_, value)| value);
        let fqdn = b"\x51\x0b\x04\0\0\x03web\x02vm\0";
        assert_eq!(name(&[fqdn]).as_deref(), Some("web"));
        assert_eq!(name(&[b"\x0c\x02db", fqdn]).as_deref(), Some("web"));
        assert_eq!(name(&[b"\x0c\x05db.vm"]).as_deref(), Some("db"));
        assert_eq!(name(&[b"\x0c\x08a;reboot"]), None);
    }

    #[test]
    fn options_in_the_fields_of_file_and_server_name_are_read() {
        let mut message = message(&[b"\x34\x01\x03", b"\x3c\x02MS"]);
        let (server_name, file) = (44, 108);
        message[file..][..10].copy_from_slice(b"\x3c\x01F\x32\x04\x0a\0\0\x01\xff");
        message[server_name..][..6].copy_from_slice(b"\x0c\x03web\xff");
        let data = ClientData::read(&message, &Tags::default());
        assert!(data.takes_up);
        let variables = [("VENDOR_CLASS", "MSF"), ("SUPPLIED_HOSTNAME", "web")];
        assert_eq!(
            data.variables,
            variables.map(|(name, value)| (name.to_owned(), value.into()))
        );
    }

    #[test]
    fn a_plain_user_class_is_one() {
        let class = read(&[b"\x4d\x04iPXE"]);
        assert_eq!(class, [("USER_CLASS0".to_owned(), "iPXE".to_owned())]);
    }

    #[test]
    fn a_gateway_of_the_broadband_forum_is_known() {
        let read = read(&[b"\x7d\x12\0\0\0\x09\x01x\0\0\x0d\xe9\x07\x01\x02AB\x02\x01s"]);
        assert_eq!(read[0], ("CPEWAN_OUI".to_owned(), "AB".to_owned()));
        assert_eq!(read[1], ("CPEWAN_SERIAL".to_owned(), "s".to_owned()));
    }

    #[test]
    fn a_text_ends_at_a_nul_or_an_equals_sign() {
        let class = read(&[b"\x3c\x07a=b\0c\0d", b"\x0c\x01\0"]);
        assert_eq!(class, [("VENDOR_CLASS".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn a_client_that_renews_takes_nothing_up() {
        let takes_up = |options| ClientData::read(&message(options), &Tags::default()).takes_up;
        assert!(!takes_up(&[]));
        assert!(takes_up(&[b"\x32\x04\x0a\0\0\x01"]));
    }

    #[test]
    fn tags_are_one_text() {
        let mut tags = Tags::default();
        tags.insert_all(&["vmlan0", "known", "red"].map(|tag| tag.parse().unwrap()));
        let data = ClientData::read(&message(&[]), &tags);
        assert_eq!(
            data.variables,
            [("TAGS".to_owned(), "vmlan0 known red".into())]
        );
    }

    #[test]
    fn a_relay_is_named() {
        let mut message = message(&[]);
        message[GIADDR].copy_from_slice(&[10, 0, 0, 1]);
        let data = ClientData::read(&message, &Tags::default());
        assert_eq!(
            data.variables,
            [("RELAY_ADDRESS".to_owned(), "10.0.0.1".into())]
        );
    }

    proptest! {
        #[test]
        fn any_message_is_read(message in prop::collection::vec(any::<u8>(), 0..700)) {
            for (name, value) in ClientData::read(&message, &Tags::default()).variables {
                prop_assert!(!name.contains('='));
                prop_assert!(!value.as_encoded_bytes().contains(&0));
            }
        }
    }
}
