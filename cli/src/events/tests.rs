//! The page for users against the code, and records there and back.

use super::*;
use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../../docs/events.md");

const MAC: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 1);
const OTHER: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 2);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 9);

/// One of each kind.
fn samples() -> Vec<Event> {
    let text = |text: &str| text.to_owned();
    let (mac, address, port) = (MAC, ADDRESS, text("stream0"));
    let at = Some(port.clone());
    let (direction, reason) = (text("rx"), text("runt"));
    vec![
        Event::PortJoined {
            port: port.clone(),
            port_kind: PortKind::Stream,
        },
        Event::PortLeft {
            port: port.clone(),
            port_kind: PortKind::Tap,
            why: Some(text("the other end has closed it")),
        },
        Event::PortUp { port: port.clone() },
        Event::PortDown { port: port.clone() },
        Event::UplinkGone {
            interface: text("eth0"),
        },
        Event::UplinkBack {
            interface: text("eth0"),
        },
        Event::LeaseBound {
            mac,
            address,
            port: at.clone(),
        },
        Event::LeaseRenewed {
            mac,
            address,
            port: None,
        },
        Event::LeaseReleased {
            mac,
            address,
            port: at.clone(),
        },
        Event::LeaseExpired { mac, address },
        Event::LeaseRefused {
            mac,
            address,
            reason: text("address-in-use"),
            port: at.clone(),
        },
        Event::LeaseDeclined {
            mac,
            address,
            put_aside: true,
            port: at,
        },
        Event::AddressInUse {
            mac,
            address,
            holder: OTHER,
            put_aside: false,
        },
        Event::HostAddressTaken {
            mac,
            address,
            holder: None,
        },
        Event::DuplicateClientId {
            client_id: text("01:02"),
            macs: [MAC, OTHER],
        },
        Event::NoAddress {
            mac: Some(mac),
            reason: text("range-exhausted"),
            mend: text("widen the range under [dhcp]"),
            more: 3,
        },
        Event::LeasesStuck {
            error: text("no space left on device"),
        },
        Event::LeasesWritten,
        Event::StationMoved {
            mac,
            vlan: 0,
            from: text("c1"),
            to: text("c2"),
        },
        Event::StationFlapping {
            mac,
            vlan: 7,
            ports: [text("c1"), text("c2")],
            moves: 500,
            seconds: 10,
        },
        Event::MovesUncounted { moves: 1 << 20 },
        Event::AddressConflict {
            address,
            macs: [MAC, OTHER],
            port: port.clone(),
            times: 2,
        },
        Event::DropsBegan {
            port: port.clone(),
            direction: direction.clone(),
            reason: reason.clone(),
            rate: 5000,
        },
        Event::DropsEnded {
            port,
            direction,
            reason,
            frames: 9000,
            seconds: 4,
        },
        Event::FdbFull {
            size: 8192,
            refused: 12,
        },
        Event::HostRestored {
            what: text("somebody has changed it: it is made again"),
        },
        Event::HostChanged {
            what: text("somebody has turned it off"),
            mend: text("`vmlan reload` turns it on again"),
        },
        Event::Reloaded {
            done: vec![text("DHCP settings changed")],
            failed: vec![text("port p: no")],
        },
        Event::Failed {
            error: text("the switch has stopped"),
        },
        Event::Started {
            version: text("0.1.0"),
        },
        Event::Stopping {
            why: text("by SIGTERM"),
        },
        Event::Lost { count: Some(5) },
    ]
}

/// The kinds that serde knows: it names them where it is given another.
fn kinds() -> Vec<String> {
    let unknown = serde_json::json!({ "kind": "?" });
    let error = serde_json::from_value::<Event>(unknown)
        .unwrap_err()
        .to_string();
    let (_, names) = error.split_once("expected one of").unwrap();
    names
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The words in backticks.
fn words(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_has_each_kind_with_its_fields() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let mut page: BTreeMap<String, Vec<String>> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            let mut fields = words(cells[2]);
            fields.sort_unstable();
            (words(cells[1])[0].clone(), fields)
        })
        .collect();
    for event in samples() {
        let json = serde_json::to_value(&event).unwrap();
        let fields = json.as_object().unwrap().keys();
        let mut fields: Vec<_> = fields.filter(|key| *key != "kind").cloned().collect();
        fields.sort_unstable();
        assert_eq!(page.remove(event.kind()), Some(fields), "{}", event.kind());
    }
    assert_eq!(page, BTreeMap::new(), "no such event");
}

#[test]
fn there_is_a_sample_of_each_kind_and_its_name_is_the_one_in_json() {
    let mut sampled = Vec::new();
    for event in samples() {
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["kind"], event.kind());
        sampled.push(event.kind().to_owned());
    }
    assert_eq!(sampled, kinds());
}

#[test]
fn a_record_is_one_line_there_and_back() {
    for event in samples() {
        let record = Record {
            seq: 7,
            time: "2026-11-24T03:19:13.123Z".to_owned(),
            network: "lab".to_owned(),
            left_out: 2,
            event,
        };
        let json = serde_json::to_string(&record).unwrap();
        assert!(!json.contains('\n'), "{json}");
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        let line = record.line(&jiff::tz::TimeZone::UTC);
        assert!(line.starts_with("2026-11-24 03:19:13.123  "), "{line}");
        assert!(
            line.ends_with(" (2 more of this kind before it are left out)"),
            "{line}"
        );
        assert!(!line.contains('\n'), "{line}");
    }
}
