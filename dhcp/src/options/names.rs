//! dnsmasq's names of options, and what form their values have.

/// What form an option's value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// IPv4 addresses; 0.0.0.0 is the server's own.
    Addresses,
    /// One IPv4 address; 0.0.0.0 is the server's own.
    Address,
    /// IPv4 addresses in pairs.
    AddressPairs,
    /// Text.
    Text,
    /// A flag or a number below 2^8.
    U8,
    /// A number below 2^16.
    U16,
    /// A number below 2^32.
    U32,
    /// Seconds from -2^31 on, in 32 bits.
    Offset,
    /// A time in seconds, below 2^32.
    Time,
    /// Bytes in hex with colons, or text.
    Bytes,
    /// Domain names (RFC 3397), compressed.
    Domains,
    /// Names or addresses of servers (RFC 3361).
    Sip,
    /// Prefix and router by turns (RFC 3442).
    Routes,
    /// Not known: guessed from the value as dnsmasq does.
    Any,
}

impl Form {
    /// What a value must be, for an error message.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Addresses => "a list of IPv4 addresses, such as \"192.168.122.1\"",
            Self::Address => "one IPv4 address, such as \"192.168.122.1\"",
            Self::AddressPairs => {
                "a list of pairs of IPv4 addresses, such as \"10.0.0.0,192.168.122.1\""
            }
            Self::Text => "text",
            Self::U8 => "true, false or a number from 0 to 255",
            Self::U16 => "a number from 0 to 65535",
            Self::U32 => "a number from 0 to 4294967295",
            Self::Offset => "a number of seconds from -2147483648 to 2147483647",
            Self::Time => "a time such as \"30m\", or a number of seconds",
            Self::Bytes => "text, or bytes in hex such as \"01:0a:ff\"",
            Self::Domains => "a list of domain names, such as \"vm,example.org\"",
            Self::Sip => "a list of domain names or one of IPv4 addresses, not of both",
            Self::Routes => {
                "a list of prefixes each with its router, such as \"10.0.0.0/8,192.168.122.1\""
            }
            Self::Any => "a number, text, addresses, or bytes in hex such as \"01:0a:ff\"",
        }
    }
}

/// dnsmasq's table (`dnsmasq --help dhcp`, `opttab` in src/dhcp-common.c), and
/// some that it has no name for. The names of what a configuration cannot set
/// are there so that they can be refused by name.
const OPTIONS: &[(&str, u8, Form)] = &[
    ("netmask", 1, Form::Address),
    ("time-offset", 2, Form::Offset),
    ("router", 3, Form::Addresses),
    ("dns-server", 6, Form::Addresses),
    ("log-server", 7, Form::Addresses),
    ("lpr-server", 9, Form::Addresses),
    ("hostname", 12, Form::Text),
    ("boot-file-size", 13, Form::U16),
    ("domain-name", 15, Form::Text),
    ("swap-server", 16, Form::Address),
    ("root-path", 17, Form::Text),
    ("extension-path", 18, Form::Text),
    ("ip-forward-enable", 19, Form::U8),
    ("non-local-source-routing", 20, Form::U8),
    ("policy-filter", 21, Form::AddressPairs),
    ("max-datagram-reassembly", 22, Form::U16),
    ("default-ttl", 23, Form::U8),
    ("mtu", 26, Form::U16),
    ("all-subnets-local", 27, Form::U8),
    ("broadcast", 28, Form::Address),
    ("router-discovery", 31, Form::U8),
    ("router-solicitation", 32, Form::Address),
    ("static-route", 33, Form::AddressPairs),
    ("trailer-encapsulation", 34, Form::U8),
    ("arp-timeout", 35, Form::U32),
    ("ethernet-encap", 36, Form::U8),
    ("tcp-ttl", 37, Form::U8),
    ("tcp-keepalive", 38, Form::U32),
    ("nis-domain", 40, Form::Text),
    ("nis-server", 41, Form::Addresses),
    ("ntp-server", 42, Form::Addresses),
    ("vendor-encap", 43, Form::Bytes),
    ("netbios-ns", 44, Form::Addresses),
    ("netbios-dd", 45, Form::Addresses),
    ("netbios-nodetype", 46, Form::U8),
    ("netbios-scope", 47, Form::Bytes),
    ("x-windows-fs", 48, Form::Addresses),
    ("x-windows-dm", 49, Form::Addresses),
    ("requested-address", 50, Form::Addresses),
    ("lease-time", 51, Form::U32),
    ("option-overload", 52, Form::U8),
    ("message-type", 53, Form::U8),
    ("server-identifier", 54, Form::Addresses),
    ("parameter-request", 55, Form::Bytes),
    ("message", 56, Form::Text),
    ("max-message-size", 57, Form::U16),
    ("T1", 58, Form::Time),
    ("T2", 59, Form::Time),
    ("vendor-class", 60, Form::Bytes),
    ("client-id", 61, Form::Bytes),
    ("nis+-domain", 64, Form::Text),
    ("nis+-server", 65, Form::Addresses),
    ("tftp-server", 66, Form::Text),
    ("bootfile-name", 67, Form::Text),
    ("mobile-ip-home", 68, Form::Addresses),
    ("smtp-server", 69, Form::Addresses),
    ("pop3-server", 70, Form::Addresses),
    ("nntp-server", 71, Form::Addresses),
    ("irc-server", 74, Form::Addresses),
    ("user-class", 77, Form::Bytes),
    ("rapid-commit", 80, Form::Bytes),
    ("FQDN", 81, Form::Bytes),
    ("agent-id", 82, Form::Bytes),
    ("agent-info", 82, Form::Bytes),
    ("last-transaction", 91, Form::Time),
    ("associated-ip", 92, Form::Addresses),
    ("client-arch", 93, Form::U16),
    ("client-interface-id", 94, Form::Bytes),
    ("client-machine-id", 97, Form::Bytes),
    ("posix-timezone", 100, Form::Text),
    ("tzdb-timezone", 101, Form::Text),
    ("ipv6-only", 108, Form::Time),
    ("captive-portal", 114, Form::Text),
    ("subnet-select", 118, Form::Address),
    ("domain-search", 119, Form::Domains),
    ("sip-server", 120, Form::Sip),
    ("classless-static-route", 121, Form::Routes),
    ("vendor-id-encap", 125, Form::Bytes),
    ("tftp-server-address", 150, Form::Addresses),
    ("pxelinux-config-file", 209, Form::Text),
    ("pxelinux-path-prefix", 210, Form::Text),
    ("pxelinux-reboot-time", 211, Form::Time),
    ("ms-classless-static-route", 249, Form::Routes),
    ("wpad", 252, Form::Text),
    ("server-ip-address", 255, Form::Address),
];

/// Every name with its code, in the order of the codes.
pub fn all() -> impl Iterator<Item = (&'static str, u8)> {
    OPTIONS.iter().map(|(name, code, _)| (*name, *code))
}

/// dnsmasq's name of option `code`.
#[must_use]
pub fn name_of(code: u8) -> Option<&'static str> {
    OPTIONS
        .iter()
        .find(|(_, c, _)| *c == code)
        .map(|(name, _, _)| *name)
}

/// The form of option `code`.
pub(super) fn form_of(code: u8) -> Form {
    OPTIONS
        .iter()
        .find(|(_, c, _)| *c == code)
        .map_or(Form::Any, |(_, _, form)| *form)
}

/// The option with this name, in any case.
pub(super) fn find(name: &str) -> Option<(u8, Form)> {
    OPTIONS
        .iter()
        .find(|(known, _, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, code, form)| (*code, *form))
}

/// The name that may be set and is most like `name`.
pub(super) fn nearest(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&name, &known.to_ascii_lowercase());
    OPTIONS
        .iter()
        .filter(|(_, code, _)| !super::is_computed(*code))
        .map(|(known, _, _)| *known)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .unwrap_or("router")
}
