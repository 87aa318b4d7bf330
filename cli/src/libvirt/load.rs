//! libvirt's description of a network as the configuration of one that runs
//! without libvirt.

use super::resolvers;
use super::translate::{Surroundings, translate};
use super::xml::Network;
use crate::config::{ConfigError, Loaded, NetworkName, Problem, Source};

/// So many things that are not carried over are told one by one.
const MAX_TOLD: usize = 1000;

/// The configuration that the description in `source` makes, with a warning
/// for each thing that is not carried over. `network` is the network's name
/// here; none: the one that it has there.
///
/// # Errors
/// All that is wrong with it, or why vmlan cannot stand in for such a network.
pub fn load(source: &Source, network: Option<&NetworkName>) -> Result<Loaded, ConfigError> {
    let read = Network::read(source)?;
    let name = match network {
        Some(name) => name.clone(),
        None => read.name.get_ref().parse().map_err(|problem: Problem| {
            let problem = problem.help("give it another one with --network NAME: a-z, 0-9 and -");
            source.error(read.name.span(), problem)
        })?,
    };
    let around = Surroundings {
        name,
        by_libvirt: false,
        resolvers: resolvers::of_host(),
    };
    let translation = translate(&read, source, &around)?;
    let mut loaded = Loaded::parse_source(translation.config, Some(&around.name))?;
    let more = translation.left.len().saturating_sub(MAX_TOLD);
    let left = translation.left.into_iter().take(MAX_TOLD).map(|left| {
        let problem = Problem::new(format!("{} is not carried over", left.what)).help(left.reason);
        source.locate(left.span, problem)
    });
    let top = read.name.span();
    let more = (more > 0).then(|| format!("{more} more are not carried over"));
    let notes = translation.notes.into_iter().chain(more);
    let notes = notes.map(|note| source.locate(top.clone(), Problem::new(note)));
    loaded.warnings.extend(left.chain(notes));
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_a_configuration_with_warnings_at_its_places() {
        let xml = "<network>\n<name>lab</name>\n<bridge name='virbr7' stp='on'/>\n\
                   <ip address='10.7.0.1' prefix='24'/></network>";
        let loaded = load(&Source::new("net.xml", xml), None).unwrap();
        assert_eq!(loaded.config.name.as_str(), "lab");
        assert_eq!(loaded.config.interface.unwrap().as_str(), "virbr7");
        let warning = loaded.warnings[0].to_string();
        let text = "net.xml:3:23: <bridge stp='on'> is not carried over";
        assert!(warning.starts_with(text), "{warning}");
    }

    #[test]
    fn what_is_odd_about_the_configuration_is_shown_where_it_came_from() {
        // A warning of the configuration, an error of the host.
        let xml = "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>\n\
                   <name>lab</name>\n<ip address='10.7.0.1' prefix='24'>\n\
                   <tftp root='/no/such/folder'/>\n<dhcp>\n\
                   <range start='10.7.0.2' end='10.7.0.9'/></dhcp></ip></network>";
        let loaded = load(&Source::new("net.xml", xml), None).unwrap();
        let error = loaded.check_files().unwrap_err().to_string();
        assert!(error.starts_with("net.xml:4:"), "{error}");
        assert!(
            error.contains("| <tftp root='/no/such/folder'/>"),
            "{error}"
        );
    }

    #[test]
    fn a_name_that_vmlan_cannot_have_is_replaced_by_one_that_is_given() {
        let xml = "<network><name>My Net</name></network>";
        let error = load(&Source::new("net.xml", xml), None).unwrap_err();
        assert!(error.to_string().contains("--network NAME"), "{error}");
        let name = "lab".parse().unwrap();
        let loaded = load(&Source::new("net.xml", xml), Some(&name)).unwrap();
        assert_eq!(loaded.config.name, name);
    }
}
