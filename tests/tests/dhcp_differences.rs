//! Messages of clients of all kinds, put to the DHCP server and to a real
//! dnsmasq with the equal configuration: nothing differs but what the
//! documentation gives a reason for.

use anyhow::{Context, Result};
use std::fs;
use std::net::Ipv4Addr;
use vmlan_dhcp::config::{Condition, Host, HostKey, Match, Range};
use vmlan_dhcp::options::{self, Boot, Scope, Setting, Value};
use vmlan_dhcp::{Config, LeaseTime, TagMatch};
use vmlan_tests::asset;
use vmlan_tests::differential::dnsmasq::Dnsmasq;
use vmlan_tests::differential::ours::Ours;
use vmlan_tests::differential::{self, SERVER, case, known};

/// dnsmasq's configuration; [`config`] is ours.
const DNSMASQ: &str = "\
port=53
interface=lan0
bind-interfaces
no-resolv
no-hosts
no-ping
leasefile-ro
user=root
pid-file
log-facility=-
dhcp-authoritative
dhcp-rapid-commit
domain=vm
dhcp-range=172.20.1.0,172.20.200.254,1h
dhcp-range=set:far,10.1.1.0,10.1.200.254,255.255.0.0,20m
dhcp-host=52:54:00:aa:00:01,172.20.255.10,db
dhcp-host=52:54:00:aa:00:02,set:red,2h
dhcp-host=52:54:00:aa:00:03,ignore
dhcp-host=id:01:02:03:04:05:06:07,172.20.255.11
dhcp-host=id:printer,172.20.255.12,printer
dhcp-host=nas,172.20.255.13
dhcp-host=52:54:00:ab:*:*,set:wild
dhcp-vendorclass=set:blue,acme
dhcp-userclass=set:lab,students
dhcp-circuitid=set:rack,eth1
dhcp-remoteid=set:site,north
dhcp-match=set:tool,175
dhcp-match=set:efi,option:client-arch,7
dhcp-option=option:ntp-server,172.20.0.5
dhcp-option=option:domain-search,eng.example.org,example.org
dhcp-option=option:classless-static-route,10.0.0.0/8,172.20.0.1
dhcp-option=option:root-path,/srv/root
dhcp-option=224,\"hello\"
dhcp-option-force=225,01:02:03
dhcp-option=tag:red,option:dns-server,9.9.9.9
dhcp-option=tag:red,tag:!blue,226,\"red\"
dhcp-option=tag:blue,227,\"blue\"
dhcp-option=tag:lab,228,\"lab\"
dhcp-option=tag:rack,229,\"rack\"
dhcp-option=tag:site,230,\"site\"
dhcp-option=tag:tool,231,\"tool\"
dhcp-option=tag:known,232,\"known\"
dhcp-option=tag:wild,233,\"wild\"
dhcp-option=tag:far,234,\"far\"
dhcp-option=vendor:MSFT,2,1i
dhcp-option=vi-encap:3561,1,\"ab\"
dhcp-boot=pxelinux.0,tftp,172.20.0.9
dhcp-boot=tag:efi,ipxe.efi,tftp,172.20.0.9
";

fn config() -> Result<Config> {
    let address = |a, b, c, d| Ipv4Addr::new(a, b, c, d);
    let range = address(172, 20, 1, 0)..=address(172, 20, 200, 254);
    let mut config = Config::new(SERVER, "172.20.0.0/16".parse()?, range);
    config.identity = vmlan_dhcp::config::Identity::ClientId;
    config.domain = Some("vm".to_owned());
    config.rapid_commit = true;
    config.ranges.push(Range {
        subnet: Some("10.1.0.0/16".parse()?),
        set: vec!["far".parse()?],
        lease_time: Some(LeaseTime::Seconds(1200)),
        ..Range::new(address(10, 1, 1, 0)..=address(10, 1, 200, 254))
    });
    let host = |key: HostKey| Host::new(key);
    let mac = |text: &str| Ok::<_, anyhow::Error>(HostKey::Mac(text.parse()?));
    config.hosts = vec![
        Host {
            address: Some(address(172, 20, 255, 10)),
            name: Some("db".to_owned()),
            ..host(mac("52:54:00:aa:00:01")?)
        },
        Host {
            set: vec!["red".parse()?],
            lease_time: Some(LeaseTime::Seconds(7200)),
            ..host(mac("52:54:00:aa:00:02")?)
        },
        Host {
            ignore: true,
            ..host(mac("52:54:00:aa:00:03")?)
        },
        Host {
            address: Some(address(172, 20, 255, 11)),
            ..host(HostKey::ClientId(vec![1, 2, 3, 4, 5, 6, 7]))
        },
        Host {
            address: Some(address(172, 20, 255, 12)),
            name: Some("printer".to_owned()),
            ..host(HostKey::ClientId(b"printer".to_vec()))
        },
        Host {
            address: Some(address(172, 20, 255, 13)),
            ..host(HostKey::Name("nas".to_owned()))
        },
        Host {
            set: vec!["wild".parse()?],
            ..host(mac("52:54:00:ab:*:*")?)
        },
    ];
    for (condition, tag) in [
        (Condition::VendorClass("acme".to_owned()), "blue"),
        (Condition::UserClass("students".to_owned()), "lab"),
        (Condition::CircuitId(b"eth1".to_vec()), "rack"),
        (Condition::RemoteId(b"north".to_vec()), "site"),
        (
            Condition::Option {
                code: 175,
                value: Vec::new(),
            },
            "tool",
        ),
    ] {
        config.matches.push(Match {
            conditions: vec![condition],
            set: vec![tag.parse()?],
            ignore: false,
        });
    }
    for (tags, key, value, force) in [
        ("", "ntp-server", "172.20.0.5", false),
        ("", "domain-search", "eng.example.org,example.org", false),
        ("", "classless-static-route", "10.0.0.0/8,172.20.0.1", false),
        ("", "root-path", "/srv/root", false),
        ("", "224", "hello", false),
        ("", "225", "01:02:03", true),
        ("red", "dns-server", "9.9.9.9", false),
        ("red !blue", "226", "red", false),
        ("blue", "227", "blue", false),
        ("lab", "228", "lab", false),
        ("rack", "229", "rack", false),
        ("site", "230", "site", false),
        ("tool", "231", "tool", false),
        ("known", "232", "known", false),
        ("wild", "233", "wild", false),
        ("far", "234", "far", false),
    ] {
        let setting = options::encode(key, &Value::Text(value.to_owned()), SERVER)?;
        config.options.push(Setting {
            tags: TagMatch::new(tags.split_whitespace())?,
            force,
            ..setting.into()
        });
    }
    for (scope, code, value) in [
        (Scope::Vendor("MSFT".to_owned()), 2, vec![0, 0, 0, 1]),
        (Scope::Enterprise(3561), 1, b"ab".to_vec()),
    ] {
        let setting = Setting::from((code, value));
        config.options.push(Setting { scope, ..setting });
    }
    let boot = |architectures, filename: &str| Boot {
        architectures,
        filename: Some(filename.to_owned()),
        next_server: Some(address(172, 20, 0, 9)),
        server_name: Some("tftp".to_owned()),
        ..Boot::default()
    };
    config.boots = vec![
        boot(Vec::new(), "pxelinux.0"),
        boot(vec![7.into()], "ipxe.efi"),
    ];
    Ok(config)
}

#[test]
fn nothing_differs_from_dnsmasq_but_for_a_reason() -> Result<()> {
    let cases = case::read(&asset("corpus/dhcp"))?;
    let known = known::read(&asset("corpus/dhcp/differences"))?;
    let mut dnsmasq = Dnsmasq::start(DNSMASQ)?;
    let mut ours = Ours::new(config()?)?;
    let (mut unknown, mut reasons) = (Vec::new(), 0);
    for (number, case) in (0..).zip(&cases) {
        let our = differential::replies(&mut ours, case, number)?;
        let their = differential::replies(&mut dnsmasq, case, number)?;
        for difference in differential::differences(case, &our, &their) {
            if known
                .iter()
                .filter(|known| known.covers(&difference))
                .count()
                == 0
            {
                unknown.push(difference);
            } else {
                reasons += 1;
            }
        }
    }
    let messages: usize = cases.iter().map(|case| case.messages.len()).sum();
    println!(
        "{} cases, {messages} messages, {reasons} differences for {} reasons, {} without",
        cases.len(),
        known.len(),
        unknown.len()
    );
    let unknown: Vec<String> = unknown
        .iter()
        .map(|d| {
            format!(
                "{} | {} | {} | {}    ({})",
                d.case, d.what, d.ours, d.theirs, d.message
            )
        })
        .collect();
    assert!(
        unknown.is_empty(),
        "ours, then dnsmasq's:\n{}",
        unknown.join("\n")
    );
    assert!(messages >= 200, "{messages} messages");

    let docs = ["dhcp-options.md", "dhcp-clients.md", "dnsmasq.md"];
    let docs: String = docs
        .iter()
        .map(|file| {
            fs::read_to_string(asset("../docs").join(file)).with_context(|| (*file).to_owned())
        })
        .collect::<Result<_>>()?;
    for known in &known {
        assert!(known.met(), "no such difference any more: {}", known.text);
        let row = format!("\n| {} |", known.reason);
        assert!(docs.contains(&row), "not in the docs: {}", known.reason);
    }
    Ok(())
}
