use super::*;
use proptest::prelude::*;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn one(line: &str) -> Command {
    let mut commands = parse(&words(line)).unwrap().commands;
    assert_eq!(commands.len(), 1, "{line}");
    commands.remove(0)
}

fn add_port(vlan: &[&str]) -> Command {
    Command::AddPort {
        bridge: "virbr0".into(),
        port: "vnet0".into(),
        may_exist: true,
        vlan: vlan.iter().map(|&text| text.into()).collect(),
    }
}

fn external_id(key: &str, value: &str) -> Command {
    Command::SetInterface {
        interface: "vnet0".into(),
        if_exists: false,
        external_ids: vec![(key.into(), value.into())],
        rate: false,
    }
}

#[test]
fn a_port_is_added_as_libvirt_does() {
    let line = r#"--timeout=5 -- --may-exist add-port virbr0 vnet0
-- set Interface vnet0 external-ids:attached-mac="52:54:00:00:00:01"
-- set Interface vnet0 external-ids:iface-id="ab8404d7-c1e4-49a2-a137-1c57c4ecb5fd"
-- set Interface vnet0 external-ids:vm-id="d7a4f8c0-0000-4000-8000-000000000001"
-- set Interface vnet0 external-ids:iface-status=active"#
        .replace('\n', " ");
    let line = parse(&words(&line)).unwrap();
    assert_eq!(line.timeout, Some(Duration::from_secs(5)));
    assert_eq!(
        line.commands,
        [
            add_port(&[]),
            external_id("attached-mac", "52:54:00:00:00:01"),
            external_id("iface-id", "ab8404d7-c1e4-49a2-a137-1c57c4ecb5fd"),
            external_id("vm-id", "d7a4f8c0-0000-4000-8000-000000000001"),
            external_id("iface-status", "active"),
        ]
    );
}

#[test]
fn vlans_are_kept_as_they_were_given() {
    for (settings, vlan) in [
        ("tag=42", vec!["tag=42"]),
        ("trunk=1,2", vec!["trunk=1,2"]),
        (
            "vlan_mode=native-untagged tag=7 trunk=7,8",
            vec!["vlan_mode=native-untagged", "tag=7", "trunk=7,8"],
        ),
    ] {
        let line = format!("--timeout=5 -- --may-exist add-port virbr0 vnet0 {settings}");
        assert_eq!(one(&line), add_port(&vlan));
        let line = format!("--timeout=5 -- --if-exists set Port vnet0 {settings}");
        let Command::SetPort {
            vlan: set, rate, ..
        } = one(&line)
        else {
            panic!("{line}");
        };
        assert_eq!(
            (set, rate),
            (vlan.iter().map(|&t| t.into()).collect(), false)
        );
    }
}

#[test]
fn a_port_is_deleted_and_asked_about_as_libvirt_does() {
    let (interface, port) = (String::from("vnet0"), String::from("vnet0"));
    for (line, want) in [
        (
            "--timeout=5 -- --if-exists del-port vnet0",
            Command::DelPort {
                port,
                if_exists: true,
            },
        ),
        (
            "--timeout=5 --if-exists get Interface vnet0 external_ids:PortData",
            Command::GetExternalId {
                interface: interface.clone(),
                key: "PortData".into(),
                if_exists: true,
            },
        ),
        (
            "--timeout=5 set Interface vnet0 external_ids:PortData=\"a\"",
            external_id("PortData", "a"),
        ),
        (
            "--timeout=5 iface-to-br vnet0",
            Command::InterfaceToBridge {
                interface: interface.clone(),
            },
        ),
        (
            "--timeout=5 get Interface vnet0 name",
            Command::GetName {
                interface: interface.clone(),
                if_exists: false,
            },
        ),
        (
            "--timeout=5 --no-headings --columns=name find Interface \
             options:vhost-server-path=/run/a.sock",
            Command::FindSocket {
                path: "/run/a.sock".into(),
            },
        ),
        (
            "--timeout=5 get Interface vnet0 statistics:rx_bytes",
            Command::GetStatistic {
                interface: interface.clone(),
                key: "rx_bytes".into(),
                if_exists: false,
            },
        ),
    ] {
        assert_eq!(one(line), want, "{line}");
    }
    let line = parse(&words(
        "--timeout=5 --if-exists --format=list --data=json --no-headings --columns=statistics \
         list Interface vnet0",
    ))
    .unwrap();
    assert!(line.json && line.no_headings);
    assert_eq!(
        line.commands,
        [Command::ListStatistics {
            interface,
            if_exists: true
        }]
    );
}

#[test]
fn live_vlans_are_cleared_before_they_are_set() {
    let line = "--timeout=5 -- --if-exists clear Port vnet0 tag \
                -- --if-exists clear Port vnet0 trunk \
                -- --if-exists clear Port vnet0 vlan_mode \
                -- --if-exists set Port vnet0 tag=42";
    let commands = parse(&words(line)).unwrap().commands;
    let clear = Command::ClearPort {
        port: "vnet0".into(),
        if_exists: true,
    };
    assert_eq!(commands[..3], [clear.clone(), clear.clone(), clear]);
    assert!(matches!(&commands[3], Command::SetPort { vlan, .. } if vlan == &["tag=42"]));
}

#[test]
fn rates_are_told_from_their_absence() {
    let ids = "external-ids:vm-id=\"u\" external-ids:ifname=\"vnet0\"";
    let set = format!(
        "--timeout=5 set port vnet0 qos=@qos1 {ids} -- --id=@qos1 create qos type=linux-htb \
         other_config:min-rate=8000 queues:0=@queue0 {ids} -- --id=@queue0 create queue \
         other_config:min-rate=8000 {ids}"
    );
    let commands = parse(&words(&set)).unwrap().commands;
    assert!(matches!(commands[0], Command::SetPort { rate: true, .. }));
    assert_eq!(commands[1..], [Command::Nothing, Command::Nothing]);

    for (rate, limited) in [("0", false), ("8000", true)] {
        let line = format!(
            "--timeout=5 set Interface vnet0 ingress_policing_rate={rate} \
             ingress_policing_burst=0"
        );
        assert!(
            matches!(one(&line), Command::SetInterface { rate, .. } if rate == limited),
            "{line}"
        );
    }
    for line in [
        format!("--timeout=5 --no-heading --columns=_uuid find queue {ids}"),
        format!("--timeout=5 --no-heading --columns=_uuid find qos {ids}"),
        "--timeout=5 -- --if-exists del-port".into(),
        "--timeout=5 --no-heading --columns=_uuid --if-exists list port vnet0 qos".into(),
    ] {
        assert_eq!(one(&line), Command::Nothing, "{line}");
    }
}

#[test]
fn what_libvirt_never_asks_is_refused_with_its_words() {
    for (line, want) in [
        ("show", "`show` is not among"),
        ("add-br br0", "`add-br br0`"),
        ("add-port br0", "`add-port br0`"),
        ("add-port br0 vnet0 bond_mode=x", "no `bond_mode` of a port"),
        ("set Interface vnet0 type=dpdk", "no `type` of an interface"),
        ("set Interface vnet0 external_ids", "no COLUMN[:KEY]=VALUE"),
        ("set Controller x y=z", "no `controller` of the database"),
        ("clear Port vnet0 mac", "no `mac` of a port"),
        ("get Interface vnet0 mtu", "no `mtu` of an interface"),
        ("--db=x iface-to-br vnet0", "--db=x"),
        ("--timeout=x iface-to-br vnet0", "--timeout=x"),
        ("--timeout=5", "no command"),
    ] {
        let problem = parse(&words(line)).unwrap_err();
        assert!(problem.message.contains(want), "{line}: {problem:?}");
    }
}

proptest! {
    #[test]
    fn no_line_makes_the_parser_panic(
        line in prop::collection::vec(
            prop_oneof!["\\PC{0,12}", "--|add-port|set|Interface|Port|get|list|find|=|:|\""],
            0..12,
        )
    ) {
        let _ = parse(&line);
    }
}
