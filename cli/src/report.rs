//! Tables for readers, in the layout of `virsh`: a leading space, columns
//! three spaces apart, a dashed line under the header (`vshTable` in
//! libvirt's `tools/vsh-table.c`).

use crate::doctor::{Finding, Level};
use crate::model::{
    Counters, DhcpView, DnsView, FdbEntryView, LeaseState, LeaseView, LinkState, PortView,
    StatusView, TftpView,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

mod hosts;

pub use hosts::hosts;

/// The network at a glance, `key: value` on each line.
#[must_use]
pub fn status(view: &StatusView) -> String {
    let none = || "-".to_owned();
    let mut lines = vec![
        ("network", view.network.clone()),
        ("interface", view.interface.clone().unwrap_or_else(none)),
        ("address", view.address.clone().unwrap_or_else(none)),
        ("mac", view.mac.map_or_else(none, |mac| mac.to_string())),
        ("mtu", view.mtu.to_string()),
        ("forward", view.forward.clone()),
        ("uplink", view.uplink.clone().unwrap_or_else(none)),
        ("ports", view.ports.to_string()),
        ("fdb", fdb_fill(view)),
        (
            "leases",
            format!("{} of {}", view.leases.used, view.leases.size),
        ),
        (
            "lease store",
            view.dhcp
                .as_ref()
                .map_or_else(none, |dhcp| dhcp.store.clone()),
        ),
        (
            "unanswered",
            view.dhcp.as_ref().map_or_else(none, unanswered_text),
        ),
        ("uptime", uptime(view.uptime)),
        ("version", view.version.clone()),
    ];
    if let Some(dns) = &view.dns {
        lines.insert(lines.len() - 2, ("dns", dns_text(dns)));
    }
    if let Some(tftp) = &view.tftp {
        lines.insert(lines.len() - 2, ("tftp", tftp_text(tftp)));
    }
    let mut text = String::new();
    for (key, value) in lines {
        let _ = writeln!(text, "{:<12} {}", format!("{key}:"), printable(&value));
    }
    text
}

fn fdb_fill(view: &StatusView) -> String {
    let fill = format!("{} of {}", view.fdb.used, view.fdb.size);
    match view.fdb.refused {
        0 => fill,
        n => format!("{fill}, {n} times full"),
    }
}

/// DHCP messages without an answer, by reason.
fn unanswered_text(dhcp: &DhcpView) -> String {
    let reasons = dhcp.unanswered.iter();
    let reasons: Vec<String> = reasons.map(|(reason, n)| format!("{n} {reason}")).collect();
    match reasons.is_empty() {
        true => "0".to_owned(),
        false => reasons.join(", "),
    }
}

fn dns_text(dns: &DnsView) -> String {
    let mut text = format!(
        "{} own names, {} from the cache, {} by others",
        dns.own, dns.cached, dns.forwarded
    );
    for (reason, n) in &dns.refused {
        let _ = write!(text, ", {n} {reason}");
    }
    text
}

fn tftp_text(tftp: &TftpView) -> String {
    let TftpView {
        running,
        sent,
        failed,
        refused,
        ..
    } = tftp;
    format!("{running} running, {sent} sent, {failed} broken off, {refused} refused")
}

fn uptime(seconds: u64) -> String {
    crate::config::value::duration_text(std::time::Duration::from_secs(seconds))
}

/// What the doctor has found: a line each, the mend below it.
#[must_use]
pub fn findings(found: &[Finding]) -> String {
    let mut text = String::new();
    for finding in found {
        let level = match finding.level {
            Level::Fine => "ok",
            Level::Unknown => "?",
            Level::Warning => "warning",
            Level::Obstacle => "OBSTACLE",
        };
        let message = printable(&finding.message);
        let _ = writeln!(text, "{level:<9} {:<11} {message}", finding.check);
        if let Some(help) = &finding.help {
            let _ = writeln!(text, "{:21} help: {}", "", printable(help));
        }
    }
    text
}

/// The ports, in the order given.
#[must_use]
pub fn ports(views: &[PortView]) -> String {
    let drops = |counters: &Counters| {
        counters
            .drops
            .values()
            .fold(0, |sum: u64, n| sum.saturating_add(*n))
            .to_string()
    };
    let rows = views.iter().map(|port| {
        [
            port.name.clone(),
            port.kind.to_string(),
            port.interface.clone().unwrap_or_else(|| "-".to_owned()),
            match port.state {
                LinkState::Up => "up".to_owned(),
                LinkState::Down => "down".to_owned(),
            },
            port.rx.frames.to_string(),
            port.rx.bytes.to_string(),
            drops(&port.rx),
            port.tx.frames.to_string(),
            port.tx.bytes.to_string(),
            drops(&port.tx),
        ]
    });
    table(
        [
            "Name",
            "Kind",
            "Interface",
            "State",
            "RX frames",
            "RX bytes",
            "RX drops",
            "TX frames",
            "TX bytes",
            "TX drops",
        ],
        rows.collect(),
    )
}

/// The MAC table, in the order given.
#[must_use]
pub fn fdb(views: &[FdbEntryView]) -> String {
    let rows = views.iter().map(|entry| {
        [
            entry.mac.to_string(),
            if entry.vlan == 0 {
                "-".to_owned()
            } else {
                entry.vlan.to_string()
            },
            entry.port.clone(),
            if entry.fixed {
                "static".to_owned()
            } else {
                format!("{:.1}s", entry.age)
            },
        ]
    });
    table(["MAC address", "VLAN", "Port", "Age"], rows.collect())
}

/// The leases that stations have, sorted by MAC, in the columns of `virsh
/// net-dhcp-leases`; times in `zone`. Addresses that are only offered, were
/// declined or have expired are no leases to `virsh`; they stand in the JSON.
#[must_use]
pub fn leases(views: &[LeaseView], zone: &TimeZone) -> String {
    let mut bound: Vec<_> = views
        .iter()
        .filter(|lease| lease.state == LeaseState::Bound)
        .collect();
    bound.sort_by_key(|lease| lease.mac);
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rows = bound.into_iter().map(|lease| {
        [
            expiry(lease.expiry, zone),
            lease.mac.to_string(),
            lease.protocol.clone(),
            lease.address.clone(),
            or_none(&lease.hostname),
            or_none(&lease.client_id),
        ]
    });
    table(
        [
            "Expiry Time",
            "MAC address",
            "Protocol",
            "IP address",
            "Hostname",
            "Client ID or DUID",
        ],
        rows.collect(),
    )
}

/// The local time of `epoch`; 0 is never.
fn expiry(epoch: i64, zone: &TimeZone) -> String {
    if epoch == 0 {
        return "never".to_owned();
    }
    match Timestamp::from_second(epoch) {
        Ok(time) => {
            let local = time.to_zoned_datetime(zone.clone());
            local.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        Err(_) => "-".to_owned(),
    }
}

/// A table with a header; cells are made [`printable`].
fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(header.map(str::to_owned))
        .chain(rows.into_iter().map(|row| row.map(|cell| printable(&cell))))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        let line: String = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!(" {cell:<width$}  "))
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
        if i == 0 {
            text.push_str(&"-".repeat(widths.iter().map(|width| width + 3).sum()));
            text.push('\n');
        }
    }
    text
}

/// A message of the server, which may quote a guest: it keeps its lines, but
/// cannot command the terminal.
#[must_use]
pub fn message(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `text` with all but printable ASCII escaped: host names come from guests,
/// and must neither command the terminal nor forge another line.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == ' ' || c.is_ascii_graphic() {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PortKind;
    use crate::model::{FdbFill, Fill};
    use pnet_base::MacAddr;
    use proptest::prelude::*;

    fn lease(last: u8, hostname: Option<&str>, client_id: Option<&str>) -> LeaseView {
        LeaseView {
            expiry: 1_700_000_000,
            mac: MacAddr::new(0x52, 0x54, 0, 0, 0, last),
            protocol: "ipv4".into(),
            address: format!("192.168.122.{last}/24"),
            hostname: hostname.map(Into::into),
            client_id: client_id.map(Into::into),
            state: LeaseState::Bound,
        }
    }

    #[test]
    fn leases_look_as_in_virsh() {
        let mut offered = lease(9, None, None);
        offered.state = LeaseState::Offered;
        let mut infinite = lease(20, None, None);
        infinite.expiry = 0;
        let views = [
            infinite,
            lease(11, Some("db"), None),
            offered,
            lease(4, Some("a-long-host-name"), Some("01:52:54:00:00:00:04")),
        ];
        assert_eq!(
            leases(&views, &TimeZone::UTC),
            "\x20Expiry Time           MAC address         Protocol   IP address          Hostname           Client ID or DUID
-------------------------------------------------------------------------------------------------------------------
 2023-11-14 22:13:20   52:54:00:00:00:04   ipv4       192.168.122.4/24    a-long-host-name   01:52:54:00:00:00:04
 2023-11-14 22:13:20   52:54:00:00:00:0b   ipv4       192.168.122.11/24   db                 -
 never                 52:54:00:00:00:14   ipv4       192.168.122.20/24   -                  -
"
        );
    }

    #[test]
    fn no_lease_leaves_the_header() {
        let text = leases(&[], &TimeZone::UTC);
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with(" Expiry Time   MAC address   Protocol   IP address"));
    }

    #[test]
    fn a_guest_cannot_command_the_terminal() {
        let views = [lease(4, Some("\u{1b}[2J\nevil\u{202e}\u{9b}x"), None)];
        let text = leases(&views, &TimeZone::UTC);
        assert_eq!(text.lines().count(), 3);
        assert!(
            text.contains("\\u{1b}[2J\\nevil\\u{202e}\\u{9b}x"),
            "{text}"
        );
    }

    #[test]
    fn a_message_keeps_its_lines_and_loses_its_commands() {
        let text = message("deleted \u{1b}[2J…\nhelp: none\r\u{9b}");
        assert_eq!(text, "deleted \\u{1b}[2J…\nhelp: none\\r\\u{9b}");
    }

    #[test]
    fn ports_are_shown_with_their_counters() {
        let port = PortView {
            name: "vnet0".into(),
            kind: PortKind::Packet,
            interface: Some("vnet0".into()),
            queues: 1,
            offload: true,
            dhcp: true,
            state: LinkState::Up,
            rx: Counters {
                frames: 3,
                bytes: 180,
                drops: [("runt".to_owned(), 1), ("too-big".to_owned(), 2)].into(),
            },
            tx: Counters::default(),
            external_ids: Default::default(),
        };
        assert_eq!(
            ports(&[port]),
            "\x20Name    Kind     Interface   State   RX frames   RX bytes   RX drops   TX frames   TX bytes   TX drops
---------------------------------------------------------------------------------------------------------
 vnet0   packet   vnet0       up      3           180        3          0           0          0
"
        );
    }

    #[test]
    fn stations_are_shown_with_their_age() {
        let entry = FdbEntryView {
            mac: MacAddr::new(0x52, 0x54, 0, 0, 0, 1),
            vlan: 0,
            port: "vnet0".into(),
            fixed: false,
            age: 12.34,
        };
        let fixed = FdbEntryView {
            vlan: 10,
            fixed: true,
            ..entry.clone()
        };
        assert_eq!(
            fdb(&[entry, fixed]),
            "\x20MAC address         VLAN   Port    Age
--------------------------------------------
 52:54:00:00:00:01   -      vnet0   12.3s
 52:54:00:00:00:01   10     vnet0   static
"
        );
    }

    #[test]
    fn the_status_has_a_line_for_each_key() {
        let view = StatusView {
            network: "default".into(),
            interface: Some("vmlan0".into()),
            address: Some("192.168.122.1/24".into()),
            mac: None,
            mtu: 1500,
            forward: "isolated".into(),
            uplink: None,
            ports: 3,
            fdb: FdbFill {
                used: 2,
                size: 8192,
                refused: 0,
            },
            leases: Fill { used: 2, size: 253 },
            dhcp: Some(DhcpView {
                store: "ok".into(),
                unanswered: [("not-known".into(), 2), ("range-exhausted".into(), 9)].into(),
            }),
            dns: Some(DnsView {
                own: 9,
                cached: 5,
                forwarded: 2,
                asking: 0,
                cache: 2,
                refused: [("malformed".into(), 1)].into(),
            }),
            tftp: Some(TftpView {
                running: 1,
                sent: 20,
                failed: 3,
                refused: 4,
                bytes: 5,
            }),
            uptime: 3725,
            version: "0.1.0".into(),
        };
        let text = status(&view);
        assert!(text.contains("address:     192.168.122.1/24\n"), "{text}");
        assert!(text.contains("fdb:         2 of 8192\n"), "{text}");
        assert!(text.contains("uplink:      -\n"), "{text}");
        assert!(text.contains("uptime:      1h 2m 5s\n"), "{text}");
        let tftp = "tftp:        1 running, 20 sent, 3 broken off, 4 refused\n";
        assert!(text.contains(tftp), "{text}");
        let dns = "dns:         9 own names, 5 from the cache, 2 by others, 1 malformed\n";
        assert!(text.contains(dns), "{text}");
        let unanswered = "unanswered:  2 not-known, 9 range-exhausted\n";
        assert!(text.contains(unanswered), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_becomes_printable_ascii(text in any::<String>()) {
            let shown = printable(&text);
            prop_assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }

        #[test]
        fn any_expiry_is_shown(epoch in any::<i64>()) {
            prop_assert!(!expiry(epoch, &TimeZone::UTC).is_empty());
        }
    }
}
