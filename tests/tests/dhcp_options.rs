//! Values of options in each form, encoded from one text by the DHCP server and
//! by a real dnsmasq. To whom options go is `dhcp_differences`' business.

use anyhow::Result;
use std::net::Ipv4Addr;
use vmlan_dhcp::Config;
use vmlan_dhcp::options::{self, Value};
use vmlan_tests::differential::case::Case;
use vmlan_tests::differential::dnsmasq::Dnsmasq;
use vmlan_tests::differential::ours::Ours;
use vmlan_tests::differential::{self, SERVER};

/// dnsmasq's configuration beside the options; [`config`] is ours.
const DNSMASQ: &str = "port=53\ninterface=lan0\nbind-interfaces\nno-resolv\nno-hosts\nno-ping\n\
    leasefile-ro\nuser=root\npid-file\ndhcp-authoritative\nlog-facility=-\n\
    dhcp-range=172.20.1.0,172.20.200.254,1h\n";

/// Options by name or number, with the same text for both servers.
const OPTIONS: &[(&str, &str)] = &[
    ("time-offset", "-3600"),
    ("log-server", "10.0.0.1,0.0.0.0"),
    ("boot-file-size", "300"),
    ("root-path", "/srv/a,b"),
    ("ip-forward-enable", "1"),
    ("policy-filter", "10.0.0.1,255.255.255.0"),
    ("default-ttl", "64"),
    ("static-route", "10.0.0.9,10.0.0.1"),
    ("arp-timeout", "60"),
    ("ntp-server", "0.0.0.0"),
    ("netbios-nodetype", "8"),
    ("netbios-scope", "ab:cd:ef"),
    ("T1", "10m"),
    ("posix-timezone", "EST5EDT4,M3.2.0/02:00,M11.1.0/02:00"),
    ("ipv6-only", "1800"),
    (
        "domain-search",
        "eng.example.org,sales.example.org,.,org,example.org",
    ),
    ("sip-server", "10.0.0.1,10.0.0.2"),
    (
        "classless-static-route",
        "10.0.0.0/8,172.20.0.1,10.1.2.0/23,10.0.0.9",
    ),
    ("224", "300"),
    ("225", "5s"),
    ("226", "7i"),
    ("227", "hello, world"),
    ("228", "01:02:ff"),
    ("229", "10.0.0.1,0.0.0.0"),
    ("230", "10.0.0.0/8,10.0.0.1"),
    ("231", "70000"),
    ("232", "a:b"),
    ("233", "-5"),
    ("235", "/tmp/x"),
];

/// The text of an option in [`OPTIONS`] for dnsmasq.
fn line((key, value): &(&str, &str)) -> String {
    match key.parse::<u8>() {
        Ok(code) => format!("dhcp-option={code},{value}\n"),
        Err(_) => format!("dhcp-option=option:{key},{value}\n"),
    }
}

fn config() -> Result<Config> {
    let range = Ipv4Addr::new(172, 20, 1, 0)..=Ipv4Addr::new(172, 20, 200, 254);
    let mut config = Config::new(SERVER, "172.20.0.0/16".parse()?, range);
    for (key, value) in OPTIONS {
        let option = options::encode(key, &Value::Text((*value).to_owned()), SERVER)?;
        config.options.push(option.into());
    }
    Ok(config)
}

#[test]
fn each_form_of_value_is_encoded_as_by_dnsmasq() -> Result<()> {
    let lines: String = OPTIONS.iter().map(line).collect();
    let mut dnsmasq = Dnsmasq::start(&(DNSMASQ.to_owned() + &lines))?;
    let mut ours = Ours::new(config()?)?;
    let codes: Vec<String> = (1..=50)
        .chain(56..=79)
        .chain(93..=117)
        .chain(119..=254)
        .map(|code: u8| code.to_string())
        .collect();
    let case = format!(
        "everything asked for | inform ciaddr=172.20.250.9 57=5,220 55={}",
        codes.join(",")
    );
    let case = Case::parse(&case)?;
    let ours = differential::replies(&mut ours, &case, 0)?;
    let theirs = differential::replies(&mut dnsmasq, &case, 0)?;
    let sent = ours
        .iter()
        .flatten()
        .map(|reply| reply.options.len())
        .sum::<usize>();
    assert!(sent > OPTIONS.len(), "{ours:?}");
    assert_eq!(differential::differences(&case, &ours, &theirs), []);
    Ok(())
}
