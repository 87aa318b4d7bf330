//! The stations that DHCP knows, as a table.

use super::table;
use crate::model::{HostOrigin, HostView};

/// The stations that DHCP knows, in the order given.
#[must_use]
pub fn hosts(views: &[HostView]) -> String {
    let or_none = |text: String| if text.is_empty() { "-".into() } else { text };
    let rows = views.iter().map(|view| {
        let host = &view.host;
        let address = host.address.map(|address| address.to_string());
        let tags: Vec<&str> = host.set.iter().map(String::as_str).collect();
        [
            or_none(host.keys()),
            or_none(address.unwrap_or_default()),
            or_none(host.name.clone().unwrap_or_default()),
            or_none(host.lease_time.clone().unwrap_or_default()),
            or_none(tags.join(",")),
            source(view),
        ]
    });
    table(
        ["Station", "IP address", "Name", "Lease", "Tags", "Source"],
        rows.collect(),
    )
}

/// Where a host stands, and whether it is served.
fn source(view: &HostView) -> String {
    let origin = match view.origin {
        HostOrigin::Config => "config",
        HostOrigin::Live => "live",
    };
    match &view.rival {
        Some(what) => format!("{origin}, left out: {what} stands in the configuration"),
        None if view.host.ignore => format!("{origin}, ignored"),
        None => origin.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(host: &str, origin: HostOrigin) -> HostView {
        HostView {
            host: serde_json::from_str(host).unwrap(),
            origin,
            rival: None,
        }
    }

    #[test]
    fn hosts_are_shown_with_where_they_stand() {
        let views = [
            view(
                r#"{"mac":["52:54:00:00:00:01","52:54:00:00:00:02"],"address":"192.168.122.10","name":"db"}"#,
                HostOrigin::Config,
            ),
            view(r#"{"name":"web","lease-time":"2h"}"#, HostOrigin::Config),
            view(
                r#"{"mac":"52:54:00:*:*:*","set":["a","b"],"ignore":true}"#,
                HostOrigin::Live,
            ),
            HostView {
                rival: Some("the name db".into()),
                ..view(r#"{"client-id":"01:52:54","name":"db"}"#, HostOrigin::Live)
            },
        ];
        assert_eq!(
            hosts(&views),
            "\x20Station                                IP address       Name   Lease   Tags   Source
----------------------------------------------------------------------------------------------------------------------------------------
 52:54:00:00:00:01, 52:54:00:00:00:02   192.168.122.10   db     -       -      config
 -                                      -                web    2h      -      config
 52:54:00:*:*:*                         -                -      -       a,b    live, ignored
 client-id 01:52:54                     -                db     -       -      live, left out: the name db stands in the configuration
"
        );
    }
}
