mod boot;
mod events;
mod forward;
mod libvirt;
mod options;
mod places;
mod policy;
mod together;

use super::*;
use proptest::prelude::*;

fn load(text: &str) -> Result<Loaded, ConfigError> {
    Loaded::parse(Path::new("lab.toml"), text, None)
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    load(text).map(|loaded| loaded.config)
}

/// What is wrong with `text`: position, message and mend of each problem.
fn problems(text: &str) -> Vec<(usize, usize, String, String)> {
    let error = parse(text).expect_err(text);
    let problem = |located: &Located| {
        let (line, column) = located.position().unwrap();
        let Problem { message, help } = located.problem().clone();
        (line, column, message, help.unwrap_or_default())
    };
    error.problems().iter().map(problem).collect()
}

/// `text` has one problem, at `place`, whose message and mend hold these.
#[track_caller]
fn refused(text: &str, place: (usize, usize), message: &str, mend: &str) {
    let found = problems(text);
    let [(line, column, said, help)] = found.as_slice() else {
        panic!("one problem expected: {found:#?}");
    };
    assert!(said.contains(message), "{found:#?}");
    assert!(help.contains(mend), "{found:#?}");
    assert_eq!((*line, *column), place, "{found:#?}");
}

const WHOLE: &str = r#"
name      = "lab"
interface = "vmlan1"
address   = "192.168.122.1/24"
mac       = "52:54:00:12:34:56"
mtu       = 9000
domain    = "Lab.example"
forward   = "bridge"
uplink    = "eth0"

[switch]
ageing   = "10m"
fdb-size = 64
workers  = 2
polling  = "50us"
fastpath = "auto"

[dhcp]
enabled    = true
range      = ["192.168.122.2", "192.168.122.254"]
lease-time = "infinite"
max-leases = 40000
options    = { ntp-server = ["192.168.122.1"], 121 = "10.0.0.0/8,192.168.122.1", default-ttl = 64 }

[[dhcp.host]]
mac     = "52:54:00:aa:bb:cc"
address = "192.168.122.10"
name    = "db"

[[dhcp.host]]
client-id = "01:52:54:00:aa:bb:cd"
address   = "192.168.122.11"

[attach]
match = ["vnet*", "tap?"]

[[port]]
name = "lan0"
kind = "packet"
interface = "eth1"

[[port]]
name    = "ct1"
kind    = "tap"
offload = false
queues  = 2
"#;

#[test]
fn an_empty_file_is_the_built_in_network() {
    let built_in = Config::built_in(NetworkName::default());
    assert_eq!(parse("").unwrap(), built_in);
    assert_eq!(built_in.interface.unwrap().as_str(), "vmlan0");
    assert_eq!(built_in.address, Address::Auto);
    assert_eq!(built_in.forward, Forward::Nat);
    assert!(built_in.dhcp.enabled);
    assert!(built_in.attach[0].matches("vnet0"));
}

#[test]
fn every_key_is_read() {
    let config = parse(WHOLE).unwrap();
    assert_eq!(config.name.as_str(), "lab");
    assert_eq!(config.interface.unwrap().as_str(), "vmlan1");
    assert_eq!(
        config.address,
        Address::Fixed("192.168.122.1/24".parse().unwrap())
    );
    let mac = "52:54:00:12:34:56".parse().unwrap();
    assert_eq!(config.mac, Some(Mac::Fixed(mac)));
    assert_eq!(config.mtu, 9000);
    assert_eq!(config.domain.as_deref(), Some("lab.example"));
    assert_eq!(config.forward, Forward::Bridge);
    assert_eq!(config.uplink.unwrap().as_str(), "eth0");
    let switch = Switch {
        ageing: Some(Duration::from_secs(600)),
        fdb_size: 64,
        workers: 2,
        polling: Duration::from_micros(50),
    };
    assert_eq!(config.switch, switch);
    assert!(config.dhcp.enabled);
    assert_eq!(config.dhcp.lease_time, LeaseTime::Infinite);
    assert_eq!(config.dhcp.max_leases, 40_000);
    let (first, last) = config.dhcp.range.unwrap();
    assert_eq!((first.octets()[3], last.octets()[3]), (2, 254));
    let options: Vec<_> = config
        .dhcp
        .options
        .iter()
        .map(|o| o.key.get_ref().as_str())
        .collect();
    assert_eq!(options, ["ntp-server", "121", "default-ttl"]);
    assert_eq!(config.dhcp.options[2].value.get_ref(), &Value::Number(64));
    assert_eq!(config.dhcp.hosts.len(), 2);
    assert_eq!(config.dhcp.hosts[0].name.as_deref(), Some("db"));
    assert_eq!(
        config.dhcp.hosts[1].keys[0].to_string(),
        "client-id 01:52:54:00:aa:bb:cd"
    );
    assert!(config.attach[1].matches("tap7"));
    assert_eq!(config.ports.len(), 2);
    assert_eq!(config.ports[0].interface.as_str(), "eth1");
    assert_eq!(config.ports[1].interface.as_str(), "ct1");
    assert!(!config.ports[1].offload);
    assert_eq!((config.ports[0].queues, config.ports[1].queues), (1, 2));
}

#[test]
fn a_config_is_equal_wherever_its_keys_stand() {
    let moved = format!("# a comment\n\n{WHOLE}");
    assert_eq!(parse(WHOLE).unwrap(), parse(&moved).unwrap());
    let changed = WHOLE.replace("default-ttl = 64", "default-ttl = 65");
    assert_ne!(parse(WHOLE).unwrap().dhcp, parse(&changed).unwrap().dhcp);
}

#[test]
fn without_a_file_only_the_default_network_runs() {
    let loaded = Loaded::find(None, Some(&"no-such-net".parse().unwrap()));
    let error = loaded.unwrap_err().to_string();
    assert!(error.contains("/etc/vmlan/no-such-net.toml"), "{error}");
    assert!(error.contains("--config FILE"), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_a_config_or_an_error(text in any::<String>()) {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().starts_with("lab.toml:"));
        }
    }

    /// Texts that come further than noise does: the whole file with a part
    /// replaced.
    #[test]
    fn a_damaged_file_is_a_config_or_an_error(
        from in 0..WHOLE.len(), len in 0..40usize, put in "[ -~\n]{0,12}"
    ) {
        let to = (from + len).min(WHOLE.len());
        let text = format!("{}{put}{}", &WHOLE[..from], &WHOLE[to..]);
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().starts_with("lab.toml:"));
        }
    }

    /// Any value at any key: types and ranges, never a panic.
    #[test]
    fn any_value_of_any_key_is_read_or_refused(
        key in "(name|interface|address|mac|mtu|domain|forward|uplink|switch|dhcp|attach|port|dhcp\\.range|dhcp\\.host|dhcp\\.lease-time|dhcp\\.max-leases|dhcp\\.options|dhcp\\.option|dhcp\\.boot|dhcp\\.filename|attach\\.match|switch\\.ageing|switch\\.fdb-size)",
        value in "(-?[0-9]{1,20}|\"[ -!#-\\[\\]-~]{0,20}\"|true|1\\.5|\\[\\]|\\{\\}|\\[\\{\\}\\]|\\[1, \"x\"\\]|\\[\\[\\]\\]|1979-05-27|0x1f|nan)"
    ) {
        if let Err(error) = parse(&format!("{key} = {value}")) {
            prop_assert!(error.to_string().contains('^'));
        }
    }
}
