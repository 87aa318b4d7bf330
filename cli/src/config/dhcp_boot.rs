//! What DHCP clients boot from the network: keys of `[dhcp]`, and
//! `[[dhcp.boot]]` for some of the clients.

use super::dhcp_tags::read_tags;
use super::section::Section;
use super::value::ipv4;
use super::{Problem, Value};
use toml::Spanned;
use vmlan_dhcp::options::{Architecture, Boot};

/// The keys of `[dhcp]`, for every client; none: nothing is said of booting.
pub(super) fn read_boot(section: &mut Section<'_, '_, '_>) -> Option<Boot> {
    let boot = read_server(section);
    (boot != Boot::default()).then_some(boot)
}

/// One `[[dhcp.boot]]`.
pub(super) fn read_special(mut section: Section<'_, '_, '_>) -> Option<Boot> {
    let span = section.span();
    let architectures = section.value("arch", |value| match value {
        Value::List(list) => list.iter().map(architecture).collect(),
        one => architecture(one).map(|one| vec![one]),
    });
    let boot = Boot {
        architectures: architectures.map(Spanned::into_inner).unwrap_or_default(),
        tags: read_tags(&mut section),
        ..read_server(&mut section)
    };
    if !section.has("filename") {
        let problem = Problem::new("this boot entry has no `filename`")
            .help("add filename = \"…\", the path at the TFTP server or a URI");
        section.findings.error(span.clone(), problem);
    }
    if !section.has("arch") && !section.has("tag") {
        let problem = Problem::new("this boot entry has neither `arch` nor `tag`")
            .help("add one; what all clients boot stands under [dhcp] itself");
        section.findings.error(span, problem);
    }
    section.end();
    Some(boot)
}

fn read_server(section: &mut Section<'_, '_, '_>) -> Boot {
    let filename = section.text("filename", |name| {
        checked(Boot {
            filename: Some(name.to_owned()),
            ..Boot::default()
        })
    });
    // As in dnsmasq, 0.0.0.0 is the server itself.
    let next_server = section.text("next-server", |address| {
        ipv4(address).map(|address| (!address.is_unspecified()).then_some(address))
    });
    let server_name = section.text("boot-server-name", |name| {
        checked(Boot {
            server_name: Some(name.to_owned()),
            ..Boot::default()
        })
    });
    Boot {
        filename: filename.and_then(|boot| boot.into_inner().filename),
        next_server: next_server.and_then(Spanned::into_inner),
        server_name: server_name.and_then(|boot| boot.into_inner().server_name),
        ..Boot::default()
    }
}

fn checked(boot: Boot) -> Result<Boot, Problem> {
    match boot.check() {
        Ok(()) => Ok(boot),
        Err(error) => {
            Err(Problem::new(error.to_string()).help("take a shorter one, or leave the key out"))
        }
    }
}

/// An architecture, by its name or number.
pub(super) fn architecture(value: &Value) -> Result<Architecture, Problem> {
    let known: Vec<_> = Architecture::names().collect();
    match value {
        Value::Number(number) => u16::try_from(*number).map(Architecture::from).map_err(|_| {
            Problem::new(format!("{number} is no architecture")).help("use 0 to 65535")
        }),
        Value::Text(text) => text
            .parse()
            .map_err(|_| Problem::unknown_word("architecture", text, &known)),
        other => Err(Problem::new(format!("an architecture is {}", other.kind()))
            .help("it has to be a name, as \"x86_64-efi\", or a number")),
    }
}
