//! What the DHCP server is to serve, by the configuration. Some of what can be
//! wrong with it only the server knows: names and values of options, for one.

use super::{Address, Config, ConfigError, DhcpOption, LeaseTime, Problem, Source, Value};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;
use vmlan_dhcp::options::OptionError;
use vmlan_dhcp::{Host, HostKey, leasefile, options};

/// A gateway to check by where the network's own is not known yet.
const ANY_GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);

/// What is served beside `gateway` (the address with its prefix); `None` where
/// DHCP is off.
///
/// # Errors
/// What the server says against it, at its place in `source`.
pub fn dhcp(
    config: &Config,
    gateway: Option<Ipv4Net>,
    source: Option<&Source>,
) -> Result<Option<vmlan_dhcp::Config>, ConfigError> {
    let (true, Some(gateway)) = (config.dhcp.enabled, gateway) else {
        return Ok(None);
    };
    let (first, last) = config.dhcp.pool(gateway);
    let mut served = vmlan_dhcp::Config::new(gateway.addr(), gateway.trunc(), first..=last);
    served.lease_time = match config.dhcp.lease_time {
        LeaseTime::Infinite => vmlan_dhcp::LeaseTime::Infinite,
        LeaseTime::For(time) => {
            vmlan_dhcp::LeaseTime::Seconds(u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1))
        }
    };
    served.max_leases = config.dhcp.max_leases;
    served.domain.clone_from(&config.domain);
    served.mtu = Some(config.mtu);
    for option in &config.dhcp.options {
        let encoded = self::option(option);
        let encoded = encoded.map_err(|(span, problem)| located(problem, span, source))?;
        served.options.push(encoded.into());
    }
    for host in &config.dhcp.hosts {
        let key = match (&host.mac, &host.client_id) {
            (Some(mac), _) => HostKey::Mac(*mac),
            (None, id) => {
                let id = id.as_deref().and_then(leasefile::parse_hex);
                HostKey::ClientId(id.unwrap_or_default())
            }
        };
        served.hosts.push(Host {
            key,
            address: Some(host.address),
            name: host.name.clone(),
        });
    }
    served
        .validate()
        .map_err(|error| located(Problem::new(format!("[dhcp]: {error}")), 0..0, source))?;
    Ok(Some(served))
}

/// The code and value in wire form of an option, or what is wrong with it and
/// where: at its key or at its value.
pub(super) fn option(option: &DhcpOption) -> Result<(u8, Vec<u8>), (Range<usize>, Problem)> {
    let (key, given) = (option.key.get_ref(), option.value.get_ref());
    options::encode(key, &value(given), ANY_GATEWAY).map_err(|error| match error {
        OptionError::Unknown { name, .. } => {
            let known: Vec<_> = (1..=254)
                .filter(|code| !options::is_computed(*code))
                .filter_map(options::name_of)
                .collect();
            let problem = Problem::new(format!("unknown DHCP option {name:?}"));
            let problem = match Problem::nearest(&name, &known) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem
                    .help("use its number, 1 to 254, or the name that `dnsmasq --help dhcp` lists"),
            };
            (option.key.span(), problem)
        }
        OptionError::Computed(code) => {
            let problem = Problem::new(format!("the server itself fills in option {code}"))
                .help("leave it out");
            (option.key.span(), problem)
        }
        OptionError::Value { value, wanted, .. } => {
            let problem = Problem::new(format!("{value:?} is no value of the option `{key}`"))
                .help(format!("it has to be {wanted}"));
            (option.value.span(), problem)
        }
    })
}

/// Whether all that is served makes sense.
///
/// # Errors
/// Those of [`dhcp`].
pub(super) fn check(config: &Config, source: &Source) -> Result<(), ConfigError> {
    let gateway = match config.address {
        Address::Fixed(gateway) => Some(gateway),
        Address::Auto => Ipv4Net::new(ANY_GATEWAY, 24).ok(),
        Address::None => None,
    };
    dhcp(config, gateway, Some(source)).map(drop)
}

/// An error at its place, or with an empty span of the file as a whole.
fn located(problem: Problem, span: Range<usize>, source: Option<&Source>) -> ConfigError {
    match source {
        Some(source) if !span.is_empty() => source.error(span, problem),
        Some(source) => ConfigError::unreadable(source.path(), problem),
        None => ConfigError::unreadable(Path::new("the built-in configuration"), problem),
    }
}

fn value(value: &Value) -> options::Value {
    match value {
        Value::Text(text) => options::Value::Text(text.clone()),
        Value::Number(number) => options::Value::Number(*number),
        Value::Bool(on) => options::Value::Bool(*on),
        Value::List(list) => options::Value::List(list.iter().map(self::value).collect()),
    }
}
