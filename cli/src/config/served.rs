//! What the DHCP server is to serve, by the configuration. Some of what can be
//! wrong with it only the server knows: names and values of options, for one.

use super::{Address, Config, ConfigError, DhcpOption, Problem, Source, Value};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use vmlan_dhcp::options;
use vmlan_dhcp::options::{OptionError, Scope, Setting};
use vmlan_dhcp::tag::TagMatch;

/// A gateway to check by where the network's own is not known yet.
pub(super) const ANY_GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);

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
    // The ranges are those of the configuration, which may have none here.
    let own = gateway.addr();
    let mut served = vmlan_dhcp::Config::new(own, gateway.trunc(), own..=own);
    served.ranges = config.dhcp.ranges(gateway);
    served.identity = config.dhcp.identity;
    served.sequential = config.dhcp.sequential;
    served.known_only = config.dhcp.known_only;
    served.lease_time = config.dhcp.lease_time.into();
    served.max_leases = config.dhcp.max_leases;
    served.domain.clone_from(&config.domain);
    served.mtu = Some(config.mtu);
    for option in &config.dhcp.options {
        let setting = self::option(option, gateway.addr());
        let setting = setting.map_err(|(span, problem)| located(problem, span, source))?;
        served.options.push(setting);
    }
    served.boots.clone_from(&config.dhcp.boots);
    served.rapid_commit = config.dhcp.rapid_commit;
    served.probe = config.dhcp.probe;
    // As in dnsmasq, the interface that a request came by is a tag of it.
    let interface = config.interface.as_ref();
    let tag = interface.and_then(|name| name.as_str().parse().ok());
    served.set.extend(tag);
    served.matches.clone_from(&config.dhcp.matches);
    served.hosts.clone_from(&config.dhcp.hosts);
    served
        .validate()
        .map_err(|error| located(Problem::new(format!("[dhcp]: {error}")), 0..0, source))?;
    Ok(Some(served))
}

/// The setting that `server` has for an option, or what is wrong with it and
/// where: at its key or at its value.
pub(super) fn option(
    option: &DhcpOption,
    server: Ipv4Addr,
) -> Result<Setting, (Range<usize>, Problem)> {
    let (key, given) = (option.key.get_ref(), &value(option.value.get_ref()));
    let (at_key, at_value) = (option.key.span(), option.value.span());
    let encoded = match &option.scope {
        Scope::Message => options::encode(key, given, server),
        Scope::Vendor(_) | Scope::Enterprise(_) => {
            let code = key.parse().ok().filter(|code| (1..=254).contains(code));
            let code = code.ok_or_else(|| {
                let problem = Problem::new(format!("{key:?} is no option of a vendor"))
                    .help("a vendor's options have no names: use its number, 1 to 254");
                (at_key.clone(), problem)
            })?;
            options::encode_encapsulated(code, given).map(|bytes| (code, bytes))
        }
    };
    let (code, value) = encoded.map_err(|error| match error {
        OptionError::Unknown { name, .. } => (at_key, unknown(&name)),
        OptionError::Computed(code) => {
            let problem = Problem::new(format!("the server itself fills in option {code}"))
                .help(instead_of(code));
            (at_key, problem)
        }
        OptionError::Value { value, wanted, .. } => {
            let problem = Problem::new(format!("{value:?} is no value of the option `{key}`"))
                .help(format!("it has to be {wanted}"));
            (at_value, problem)
        }
        OptionError::Long { length, most, .. } => {
            let problem = Problem::new(format!("the value of the option `{key}` is too long"))
                .help(format!("it has {length} bytes, {most} are the most"));
            (at_value, problem)
        }
    })?;
    Ok(Setting {
        scope: option.scope.clone(),
        code,
        value,
        tags: option.tags.clone(),
        force: option.force,
    })
}

/// The code of an option that a client may send, and the bytes that it is to
/// have in it; or what is wrong with these and where.
pub(super) fn sent(
    key: &Spanned<String>,
    value: Option<&Spanned<Value>>,
) -> Result<(u8, Vec<u8>), (Range<usize>, Problem)> {
    let whatever = || Spanned::new(key.span(), Value::Text(String::new()));
    let option = DhcpOption {
        key: key.clone(),
        value: value.cloned().unwrap_or_else(whatever),
        scope: Scope::Message,
        tags: TagMatch::default(),
        force: false,
    };
    let setting = self::option(&option, ANY_GATEWAY)?;
    Ok((setting.code, setting.value))
}

fn unknown(name: &str) -> Problem {
    let known: Vec<_> = options::all()
        .filter(|(_, code)| !options::is_computed(*code))
        .map(|(name, _)| name)
        .collect();
    let problem = Problem::new(format!("unknown DHCP option {name:?}"));
    match Problem::nearest(name, &known) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help("use its number, 1 to 254, or a name that docs/dhcp-options.md lists"),
    }
}

/// What has the server fill in option `code` in another way.
fn instead_of(code: u8) -> &'static str {
    match code {
        51 => "use lease-time = \"…\" under [dhcp]",
        80 => "use rapid-commit = true under [dhcp]",
        255 => "use next-server = \"…\" under [dhcp]",
        _ => "leave it out",
    }
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
