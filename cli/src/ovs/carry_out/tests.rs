use super::super::grammar;
use super::*;
use crate::model::{Counters, LinkState};

fn line(text: &str) -> Line {
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    grammar::parse(&words).unwrap()
}

/// No network runs in this folder.
fn nowhere() -> (tempfile::TempDir, Networks) {
    let folder = tempfile::tempdir().unwrap();
    let networks = Networks::new(folder.path().to_owned(), None);
    (folder, networks)
}

fn port() -> PortView {
    PortView {
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
            drops: [("runt".to_owned(), 1), ("bad-offload".to_owned(), 2)].into(),
        },
        tx: Counters::default(),
        external_ids: ExternalIds::new(),
    }
}

#[test]
fn statistics_are_listed_as_libvirt_reads_them() {
    let statistics = statistics(&port());
    let asked = line(
        "--if-exists --format=list --data=json --no-headings --columns=statistics list Interface \
         vnet0",
    );
    assert_eq!(
        listed(&statistics, &asked),
        "[\"map\",[[\"rx_bytes\",180],[\"rx_dropped\",3],[\"rx_errors\",0],[\"rx_packets\",3],\
         [\"tx_bytes\",0],[\"tx_dropped\",0],[\"tx_errors\",0],[\"tx_packets\",0]]]\n"
    );
    let asked = line("--columns=statistics list Interface vnet0");
    let text = listed(&statistics, &asked);
    assert!(
        text.starts_with("statistics          : {rx_bytes=180, "),
        "{text}"
    );
}

#[test]
fn a_vlan_is_refused_before_anything_is_done() {
    let (_folder, networks) = nowhere();
    for text in [
        "--timeout=5 -- --may-exist add-port virbr0 vnet0 tag=42 -- set Interface vnet0 \
         external-ids:iface-status=active",
        "--timeout=5 -- --if-exists clear Port vnet0 tag -- --if-exists set Port vnet0 tag=42",
    ] {
        let problem = carry_out(&line(text), &networks).unwrap_err();
        assert!(
            problem
                .message
                .starts_with("vnet0 is to be in a VLAN (tag=42)"),
            "{problem:?}"
        );
    }
}

#[test]
fn with_no_network_running_only_what_may_be_missing_is_fine() {
    let (_folder, networks) = nowhere();
    for text in [
        "--timeout=5 -- --if-exists del-port vnet0",
        "--timeout=5 --if-exists get Interface vnet0 external_ids:PortData",
        "--timeout=5 --if-exists --data=json --columns=statistics list Interface vnet0",
        "--timeout=5 --no-heading --columns=_uuid find qos external-ids:vm-id=\"u\"",
    ] {
        assert_eq!(carry_out(&line(text), &networks).unwrap(), "", "{text}");
    }
    for text in [
        "del-port vnet0",
        "iface-to-br vnet0",
        "get Interface vnet0 name",
        "set Interface vnet0 external_ids:PortData=x",
        "find Interface options:vhost-server-path=/run/a.sock",
    ] {
        assert!(carry_out(&line(text), &networks).is_err(), "{text}");
    }
    let text = "--timeout=5 -- --may-exist add-port no-such-bridge vnet0";
    let problem = carry_out(&line(text), &networks).unwrap_err();
    assert!(problem.message.contains("no-such-bridge"), "{problem:?}");
}

#[test]
fn identifiers_are_gathered_of_the_port_that_is_added() {
    let asked = line(
        "add-port virbr0 vnet0 -- set Interface vnet0 external-ids:a=1 -- set Interface vnet1 \
         external-ids:b=2 -- set Interface vnet0 ingress_policing_rate=8",
    );
    let ids = ids_of("vnet0", &asked.commands);
    assert_eq!(ids.get("a").map(String::as_str), Some("1"));
    assert_eq!(ids.get(BANDWIDTH).map(String::as_str), Some(NOT_LIMITED));
    assert_eq!(ids.len(), 2);
}
