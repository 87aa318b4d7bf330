//! What runs of a network whose description was changed since it was started.
//! libvirt keeps both: what runs, and what it starts the network by the next
//! time (`virsh net-edit`, `net-define`, `net-update` without `--live`).

use super::reader::{self, path_name};
use super::virsh::{State, Virsh};
use super::xml::Network;
use crate::config::{ConfigError, InterfaceName, Source};
use anyhow::{Context as _, Result};
use roxmltree::Node;
use toml::Spanned;

/// A network as it runs, other than it would be started.
#[derive(Debug)]
pub(super) struct Running {
    /// Its description, by which it could be started so again.
    pub(super) description: String,
    pub(super) bridge: InterfaceName,
    /// Whether guests are kept apart.
    pub(super) isolated: bool,
}

impl Running {
    /// What runs of `network` where that is not what `description` says, by
    /// which libvirt starts it.
    ///
    /// # Errors
    /// libvirt does not tell.
    pub(super) fn find(
        virsh: &Virsh,
        network: &str,
        state: State,
        description: &Source,
    ) -> Result<Option<Self>> {
        if !state.active {
            return Ok(None);
        }
        let text = virsh.running(network)?;
        let title = format!("libvirt's network {network} as it runs");
        let source = Source::new(&title, &text);
        if said(&source)? == said(description)? {
            return Ok(None);
        }
        let read = Network::read(&source)?;
        let bridge = read.bridge.map(Spanned::into_inner);
        Ok(Some(Self {
            bridge: bridge.with_context(|| format!("{title} has no bridge"))?,
            isolated: read.ports_isolated,
            description: text,
        }))
    }
}

/// What a description says, one line for each element that says something, but
/// for what libvirt itself adds to that of a network which runs: how many guests
/// there are, and the ports that it translates to by default.
fn said(source: &Source) -> Result<Vec<String>, ConfigError> {
    let document = reader::parse(source)?;
    let elements = document.descendants().filter(Node::is_element);
    let lines = elements.filter_map(|node| {
        let attributes = node.attributes().filter(|it| it.name() != "connections");
        let mut attributes: Vec<_> = attributes
            .map(|it| format!("{}={:?}", it.name(), it.value()))
            .collect();
        attributes.sort_unstable();
        let text = node.text().unwrap_or_default().trim();
        let line = format!("{} {} {text}", path_name(node), attributes.join(" "));
        let by_default = line.trim() == "port end=\"65535\" start=\"1024\"";
        let empty = attributes.is_empty() && text.is_empty();
        (!empty && !by_default).then_some(line)
    });
    Ok(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_by(inside: &str) -> Vec<String> {
        let xml = format!("<network connections='2'><name>x</name>{inside}</network>");
        said(&Source::new("x", &xml)).unwrap()
    }

    #[test]
    fn what_libvirt_adds_to_a_network_that_runs_is_no_change() {
        let kept = said_by("<forward mode='nat' dev='e'/><bridge name='b' stp='on'/>");
        let runs = said_by(
            "<forward dev='e' mode='nat'>\n<nat><port start='1024' end='65535'/></nat>\n\
             </forward><bridge stp='on' name='b'/>",
        );
        assert_eq!(kept, runs);
        assert_eq!(kept.len(), 3, "{kept:?}");
    }

    #[test]
    fn any_other_difference_is_one() {
        let before = said_by("<bridge name='b'/><ip address='10.0.0.1'/>");
        for after in [
            "<bridge name='c'/><ip address='10.0.0.1'/>",
            "<bridge name='b'/><ip address='10.0.0.1'><dhcp><host mac='x'/></dhcp></ip>",
            "<bridge name='b'/>",
        ] {
            assert_ne!(before, said_by(after), "{after}");
        }
    }
}
