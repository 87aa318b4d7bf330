//! `<dnsmasq:option>`: options of dnsmasq's own that a description passes to
//! it (dnsmasq(8)). `docs/dnsmasq.md` has the whole table; here are those that
//! make sense for one network.

use super::translate::quoted;

/// What stands in for an option of dnsmasq.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Lines of `[dhcp]`.
    Key(String),
    /// A table of its own.
    Table(String),
    /// vmlan does so in any case.
    Always,
    /// Why nothing stands in for it.
    None(&'static str),
}

const DNS: &str = "vmlan takes its own keys for names: those of [dns]";
const UNKNOWN: &str = "nothing stands in for this option of dnsmasq; see docs/dnsmasq.md";
const FORM: &str = "this form of the option is not translated; see docs/dnsmasq.md";

/// What stands in for `option`, a line of dnsmasq's configuration.
pub(super) fn translate(option: &str) -> Meaning {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name.trim(), value.trim()),
        None => (option.trim(), ""),
    };
    let meaning = match name {
        "dhcp-option" => dhcp_option(value, false),
        "dhcp-option-force" => dhcp_option(value, true),
        "dhcp-boot" => boot(value),
        "dhcp-host" => host(value),
        "dhcp-vendorclass" => class("vendor-class", value),
        "dhcp-userclass" => class("user-class", value),
        "dhcp-mac" => class("mac", value),
        "dhcp-circuitid" => class("circuit-id", value),
        "dhcp-remoteid" => class("remote-id", value),
        "dhcp-subscrid" => class("subscriber-id", value),
        "dhcp-match" => client_option(value),
        "tag-if" => tag_if(value),
        "dhcp-ignore" => ignore(value),
        "dhcp-lease-max" => number("max-leases", value),
        "dhcp-sequential-ip" => Some(key("sequential = true")),
        "dhcp-rapid-commit" => Some(key("rapid-commit = true")),
        "no-ping" => Some(key("probe = false")),
        "dhcp-authoritative" | "dhcp-no-override" | "dhcp-ignore-clid" => Some(Meaning::Always),
        _ => return Meaning::None(if is_dns(name) { DNS } else { UNKNOWN }),
    };
    meaning.unwrap_or(Meaning::None(FORM))
}

/// Whether the option is about names and not about leases.
fn is_dns(name: &str) -> bool {
    const NAMES: [&str; 27] = [
        "address",
        "addn-hosts",
        "all-servers",
        "alias",
        "bogus-nxdomain",
        "bogus-priv",
        "cache-size",
        "cname",
        "domain-needed",
        "expand-hosts",
        "filterwin2k",
        "host-record",
        "hostsdir",
        "local",
        "local-ttl",
        "localise-queries",
        "log-queries",
        "mx-host",
        "naptr-record",
        "no-hosts",
        "no-negcache",
        "no-resolv",
        "ptr-record",
        "rebind-domain-ok",
        "server",
        "srv-host",
        "txt-record",
    ];
    NAMES.contains(&name) || name.starts_with("auth-") || name.starts_with("dnssec")
}

fn key(line: &str) -> Meaning {
    Meaning::Key(format!("{line}\n"))
}

fn number(name: &str, value: &str) -> Option<Meaning> {
    let number: u32 = value.parse().ok()?;
    Some(key(&format!("{name} = {number}")))
}

/// The parts of a value between commas; what stands in double quotes is one.
fn words(value: &str) -> Vec<String> {
    let (mut words, mut word, mut inside) = (Vec::new(), String::new(), false);
    for letter in value.chars() {
        match letter {
            '"' => inside = !inside,
            ',' if !inside => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words.iter().map(|word| word.trim().to_owned()).collect()
}

/// `["red", "!blue"]`, from `tag:red` and `tag:!blue`.
fn list(tags: &[String]) -> String {
    let tags: Vec<_> = tags.iter().map(|tag| quoted(tag)).collect();
    format!("[{}]", tags.join(", "))
}

/// Takes the words off `words` that start with `prefix`, without it.
fn take(words: &mut Vec<String>, prefix: &str) -> Vec<String> {
    let mut taken = Vec::new();
    words.retain(|word| match word.strip_prefix(prefix) {
        Some(rest) => {
            taken.push(rest.to_owned());
            false
        }
        None => true,
    });
    taken
}

/// The tags that a line is for, at its start.
fn take_tags(words: &mut Vec<String>) -> Vec<String> {
    let mut tags = take(words, "tag:");
    tags.extend(take(words, "net:"));
    tags
}

fn tag_line(tags: &[String]) -> String {
    if tags.is_empty() {
        return String::new();
    }
    format!("tag = {}\n", list(tags))
}

/// `[tag:T,][vendor:X,|vi-encap:E,](N|option:NAME)[,VALUE…]`
fn dhcp_option(value: &str, force: bool) -> Option<Meaning> {
    let mut words = words(value);
    let tags = take_tags(&mut words);
    let vendor = take(&mut words, "vendor:");
    let enterprise = take(&mut words, "vi-encap:");
    let mut words = words.into_iter();
    let first = words.next()?;
    let name = first.strip_prefix("option:").unwrap_or(&first).to_owned();
    if name.contains(':') {
        return None; // encap:, option6:
    }
    let value: Vec<_> = words.collect();
    let mut table = format!(
        "\n[[dhcp.option]]\noption = {}\nvalue = {}\n{}",
        name.parse::<u8>()
            .map_or_else(|_| quoted(&name), |code| code.to_string()),
        quoted(&value.join(",")),
        tag_line(&tags)
    );
    if force {
        table += "force = true\n";
    }
    match (vendor.as_slice(), enterprise.as_slice()) {
        ([], []) => {}
        ([vendor], []) => table += &format!("vendor-class = {}\n", quoted(vendor)),
        ([], [number]) => table += &format!("enterprise = {}\n", number.parse::<u32>().ok()?),
        _ => return None,
    }
    Some(Meaning::Table(table))
}

/// `[tag:T,]FILE[,NAME[,ADDRESS]]`
fn boot(value: &str) -> Option<Meaning> {
    let mut words = words(value);
    let tags = take_tags(&mut words);
    let keys = ["filename", "boot-server-name", "next-server"];
    if words.len() > keys.len() {
        return None;
    }
    let given = keys.iter().zip(&words).filter(|(_, word)| !word.is_empty());
    let lines: String = given
        .map(|(key, word)| format!("{key} = {}\n", quoted(word)))
        .collect();
    if tags.is_empty() {
        return Some(Meaning::Key(lines));
    }
    let tags = tag_line(&tags);
    Some(Meaning::Table(format!("\n[[dhcp.boot]]\n{tags}{lines}")))
}

/// `MAC[,MAC…][,id:…][,set:T][,IP][,NAME][,TIME][,ignore]`
fn host(value: &str) -> Option<Meaning> {
    let mut words = words(value);
    let (set, ids) = (take(&mut words, "set:"), take(&mut words, "id:"));
    let mut macs = Vec::new();
    let mut lines = String::new();
    for word in words {
        let line = if word.split(':').count() == 6 {
            macs.push(word);
            continue;
        } else if word == "ignore" {
            "ignore = true".to_owned()
        } else if word.parse::<std::net::Ipv4Addr>().is_ok() {
            format!("address = {}", quoted(&word))
        } else if is_time(&word) {
            format!("lease-time = {}", quoted(&word))
        } else if word.contains([':', '[']) {
            return None; // tag:, IPv6, other hardware
        } else {
            format!("name = {}", quoted(&word))
        };
        lines += &format!("{line}\n");
    }
    for (key, list_of) in [("mac", &macs), ("client-id", &ids), ("set", &set)] {
        if !list_of.is_empty() {
            lines += &format!("{key} = {}\n", list(list_of));
        }
    }
    Some(Meaning::Table(format!("\n[[dhcp.host]]\n{lines}")))
}

fn is_time(word: &str) -> bool {
    let number = word.trim_end_matches(['s', 'm', 'h', 'd', 'w']);
    word == "infinite" || (word.len() - number.len() <= 1 && number.parse::<u32>().is_ok())
}

/// `[set:]T,VALUE`
fn class(key: &str, value: &str) -> Option<Meaning> {
    let (tag, value) = value.split_once(',')?;
    let tag = tag.strip_prefix("set:").unwrap_or(tag);
    Some(matched(&format!("{key} = {}\n", quoted(value)), tag))
}

/// `[set:]T,(N|option:NAME)[,VALUE]`
fn client_option(value: &str) -> Option<Meaning> {
    let mut words = words(value).into_iter();
    let tag = words.next()?;
    let tag = tag.strip_prefix("set:").unwrap_or(&tag).to_owned();
    let option = words.next()?;
    let option = option.strip_prefix("option:").unwrap_or(&option).to_owned();
    if option.contains(':') {
        return None; // vi-encap:, option6:
    }
    let value: Vec<_> = words.collect();
    let value = value.join(",");
    if let ("client-arch" | "93", Ok(arch)) = (option.as_str(), value.parse::<u16>()) {
        return Some(matched(&format!("arch = {arch}\n"), &tag));
    }
    let mut lines = format!("option = {}\n", quoted(&option));
    if !value.is_empty() {
        lines += &format!("value = {}\n", quoted(&value));
    }
    Some(matched(&lines, &tag))
}

/// `set:T,tag:A[,tag:!B]`
fn tag_if(value: &str) -> Option<Meaning> {
    let mut words = words(value);
    let (set, tags) = (take(&mut words, "set:"), take_tags(&mut words));
    let ([set], []) = (set.as_slice(), words.as_slice()) else {
        return None;
    };
    Some(matched(&tag_line(&tags), set))
}

/// `tag:T[,tag:T…]`
fn ignore(value: &str) -> Option<Meaning> {
    let mut words = words(value);
    let tags = take_tags(&mut words);
    if tags.is_empty() || !words.is_empty() {
        return None;
    }
    let tags = tag_line(&tags);
    Some(Meaning::Table(format!(
        "\n[[dhcp.match]]\n{tags}ignore = true\n"
    )))
}

fn matched(lines: &str, tag: &str) -> Meaning {
    Meaning::Table(format!("\n[[dhcp.match]]\n{lines}set = {}\n", quoted(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(option: &str) -> String {
        match translate(option) {
            Meaning::Table(text) => text.trim().replace('\n', "; "),
            other => panic!("{option}: {other:?}"),
        }
    }

    #[test]
    fn options_that_clients_are_told_are_carried_over() {
        assert_eq!(
            table("dhcp-option=option:ntp-server,192.168.122.1,192.168.122.9"),
            "[[dhcp.option]]; option = \"ntp-server\"; value = \"192.168.122.1,192.168.122.9\""
        );
        assert_eq!(
            table("dhcp-option-force=tag:red,tag:!blue,208,f1:00:74:7e"),
            "[[dhcp.option]]; option = 208; value = \"f1:00:74:7e\"; \
             tag = [\"red\", \"!blue\"]; force = true"
        );
        assert_eq!(
            table("dhcp-option=vendor:PXEClient,1,0.0.0.0"),
            "[[dhcp.option]]; option = 1; value = \"0.0.0.0\"; vendor-class = \"PXEClient\""
        );
        assert_eq!(
            table("dhcp-option=3"),
            "[[dhcp.option]]; option = 3; value = \"\""
        );
        assert_eq!(
            table("dhcp-option=option:bootfile-name,\"a, b\""),
            "[[dhcp.option]]; option = \"bootfile-name\"; value = \"a, b\""
        );
    }

    #[test]
    fn boot_hosts_and_tags_are_carried_over() {
        assert_eq!(
            translate("dhcp-boot=pxelinux.0,,192.168.122.9"),
            Meaning::Key("filename = \"pxelinux.0\"\nnext-server = \"192.168.122.9\"\n".to_owned())
        );
        assert_eq!(
            table("dhcp-boot=tag:efi,ipxe.efi"),
            "[[dhcp.boot]]; tag = [\"efi\"]; filename = \"ipxe.efi\""
        );
        assert_eq!(
            table("dhcp-match=set:efi,option:client-arch,7"),
            "[[dhcp.match]]; arch = 7; set = \"efi\""
        );
        assert_eq!(
            table("dhcp-vendorclass=set:w,MSFT 5.0"),
            "[[dhcp.match]]; vendor-class = \"MSFT 5.0\"; set = \"w\""
        );
        assert_eq!(
            table("dhcp-ignore=tag:!known"),
            "[[dhcp.match]]; tag = [\"!known\"]; ignore = true"
        );
        assert_eq!(
            table("dhcp-host=52:54:00:00:00:09,set:red,db,192.168.122.9,2h"),
            "[[dhcp.host]]; name = \"db\"; address = \"192.168.122.9\"; \
             lease-time = \"2h\"; mac = [\"52:54:00:00:00:09\"]; set = [\"red\"]"
        );
    }

    #[test]
    fn what_nothing_stands_in_for_has_a_reason() {
        assert_eq!(translate("address=/a/1.2.3.4"), Meaning::None(DNS));
        assert_eq!(translate("cname=*.a,b"), Meaning::None(DNS));
        assert_eq!(translate("foo=bar"), Meaning::None(UNKNOWN));
        assert_eq!(translate(""), Meaning::None(UNKNOWN));
        assert_eq!(
            translate("dhcp-option=encap:175,190,x"),
            Meaning::None(FORM)
        );
        assert_eq!(translate("dhcp-host=tag:x,1.2.3.4"), Meaning::None(FORM));
        assert_eq!(translate("dhcp-authoritative"), Meaning::Always);
    }
}
