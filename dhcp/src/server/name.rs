//! The name that a client is told that it has: options 12 and 81.

use super::client::Client;
use crate::wire::{Request, Response};

/// Option 81: the server keeps the address record up to date (RFC 4702 §2.1).
const SERVER_UPDATES: u8 = 0x01;
/// Option 81: that is not what the client asked for.
const OVERRIDDEN: u8 = 0x02;
/// Option 81: the name is in wire form.
const WIRE_FORM: u8 = 0x04;
/// Option 81: what was the result code of an update, and is to be ignored.
const NO_RESULT: u8 = 255;

/// The name that a reply has: the configured one, else the one that the client
/// gives itself. As in dnsmasq, no OFFER has another name than the client has
/// given itself in option 12, which some clients take for a failure.
pub(super) fn told<'a>(
    request: &'a Request,
    client: &'a Client,
    response: Response,
) -> Option<&'a str> {
    let given = request.given_name().flatten();
    match (response, client.name()) {
        (Response::Offer, own) if request.fqdn.is_none() => {
            own.filter(|own| given.is_none_or(|given| given.eq_ignore_ascii_case(own)))
        }
        (_, own) => own.or(given),
    }
}

/// The answer to option 81 (RFC 4702 §4), where the client sent that and has a
/// `name`: the whole name in the client's own form, and that the client need
/// not update any record.
pub(super) fn fqdn(request: &Request, name: Option<&str>, domain: Option<&str>) -> Option<Vec<u8>> {
    let asked = request.fqdn.as_deref()?.first()?;
    let name = name?;
    let mut flags = asked & (SERVER_UPDATES | OVERRIDDEN | WIRE_FORM);
    if flags & SERVER_UPDATES == 0 {
        flags |= SERVER_UPDATES | OVERRIDDEN;
    }
    let mut value = vec![flags, NO_RESULT, NO_RESULT];
    let labels = std::iter::once(name).chain(domain.into_iter().flat_map(|d| d.split('.')));
    if flags & WIRE_FORM == 0 {
        let labels: Vec<&str> = labels.collect();
        value.extend(labels.join(".").bytes());
    } else {
        for label in labels {
            // A label has at most 63 bytes.
            value.push(u8::try_from(label.len()).ok()?);
            value.extend(label.bytes());
        }
        // Without its end it is not the whole name (RFC 4702 §2.3.1).
        value.extend(domain.map(|_| 0));
    }
    Some(value)
}
