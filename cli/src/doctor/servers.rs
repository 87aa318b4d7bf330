//! DHCP and DNS, as guests find them.

use super::Finding;
use super::ask::Asked;
use super::facts::Facts;
use crate::config::Forward;
use crate::model::{Fill, StatusView};
use std::net::Ipv4Addr;

const DHCP: &str = "dhcp";

/// Who leases addresses on the segment, and whether name servers answer.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = dhcp(facts);
    findings.extend(resolvers(facts));
    findings
}

fn dhcp(facts: &Facts) -> Vec<Finding> {
    match &facts.status {
        Err(_) => Vec::new(),
        Ok(status) if facts.config.dhcp.enabled => own_server(status),
        Ok(_) => servers_of_others(facts),
    }
}

/// What guests ask by DHCP reaches vmlan's own server and nobody else, so no
/// other one can stand in its way.
fn own_server(status: &StatusView) -> Vec<Finding> {
    let Fill { used, size } = status.leases;
    let Some(dhcp) = &status.dhcp else {
        let what = "vmlan's own server does not serve: the network has no address";
        return vec![Finding::obstacle(DHCP, what).help("give it an `address`")];
    };
    if dhcp.store != "ok" {
        let what = format!("vmlan gives out no new lease: {}", dhcp.store);
        let help = "make room, or make the folder of the leases writable";
        return vec![Finding::obstacle(DHCP, what).help(help)];
    }
    if used >= size {
        let what = format!("all {size} addresses are taken");
        let help = "widen `range`, or make `lease-time` shorter, under [dhcp]";
        return vec![Finding::obstacle(DHCP, what).help(help)];
    }
    let fine = format!("vmlan leases addresses, {used} of {size} so far");
    vec![Finding::fine(DHCP, fine)]
}

fn servers_of_others(facts: &Facts) -> Vec<Finding> {
    let offers = match &facts.offers {
        Ok(offers) => offers,
        Err(why) => {
            let what = format!("DHCP servers were not looked for: {why}");
            return vec![Finding::unknown(DHCP, what)];
        }
    };
    let Some((first, others)) = offers.split_first() else {
        let what = "no DHCP server answers on the segment";
        return vec![
            Finding::obstacle(DHCP, what)
                .help("guests need fixed addresses, or a server: enabled = true under [dhcp]"),
        ];
    };
    let mut findings = vec![Finding::fine(DHCP, format!("{} answers", first.server))];
    for offer in others {
        let what = format!(
            "another DHCP server answers on the segment: {}",
            offer.server
        );
        findings.push(Finding::warning(DHCP, what).help(
            "guests get their addresses from either: turn one off, or `vmlan fdb` says which \
             port it is behind",
        ));
    }
    findings
}

fn resolvers(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "dns";
    let mend = match facts.host_resolvers.as_slice() {
        [] => {
            "tell guests one that they can reach: options = { dns-server = [\"…\"] } under [dhcp]"
                .to_owned()
        }
        servers => {
            let servers: Vec<_> = servers.iter().map(|ip| format!("\"{ip}\"")).collect();
            format!(
                "tell guests those of this host: options = {{ dns-server = [{}] }} under [dhcp]",
                servers.join(", ")
            )
        }
    };
    let judge = |(server, asked): &(Ipv4Addr, Asked)| {
        if server.is_loopback() || server.is_unspecified() {
            let what = format!("guests are told {server} as a name server, which is themselves");
            return Finding::obstacle(CHECK, what).help(mend.clone());
        }
        let is_of_host = facts
            .addresses
            .iter()
            .any(|it| it.address.addr() == *server);
        if facts.config.forward == Forward::Isolated && !is_of_host {
            let what = format!(
                "guests are told the name server {server}, which is not this host: the network \
                 is isolated"
            );
            let help = "tell them one on an address of this host, or forward = \"nat\"";
            return Finding::obstacle(CHECK, what).help(help);
        }
        match asked {
            Asked::Answered => Finding::fine(CHECK, format!("the name server {server} answers")),
            Asked::Silent => {
                let what =
                    format!("guests are told the name server {server}, which does not answer");
                Finding::obstacle(CHECK, what).help(mend.clone())
            }
            Asked::Failed(error) => {
                let what = format!("the name server {server} cannot be asked: {error}");
                Finding::warning(CHECK, what).help(mend.clone())
            }
        }
    };
    facts.resolvers.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ask::{Asked, Offer};
    use super::super::facts::values::{address, facts, running};
    use super::super::{Level, servers};
    use crate::model::{DhcpView, Fill, StatusView};
    use std::net::Ipv4Addr;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 66);

    #[test]
    fn where_the_lan_serves_one_server_is_to_answer() {
        let mut facts = facts("interface = \"vmlan0\"\nforward = \"bridge\"\nuplink = \"e\"\n");
        facts.status = Ok(running());
        let mut levels = |answering: &[Ipv4Addr]| {
            let offer = |server: &Ipv4Addr| Offer {
                server: *server,
                name_servers: Vec::new(),
            };
            facts.offers = Ok(answering.iter().map(offer).collect());
            let found = servers::check(&facts);
            found.iter().map(|f| f.level).collect::<Vec<_>>()
        };
        assert_eq!(levels(&[OTHER]), [Level::Fine]);
        assert_eq!(levels(&[OTHER, OWN]), [Level::Fine, Level::Warning]);
        assert_eq!(levels(&[]), [Level::Obstacle]);
    }

    #[test]
    fn what_keeps_vmlans_own_server_from_leasing_is_told() {
        let mut facts = facts("address = \"10.0.0.1/24\"\n");
        let mut judge = |store: &str, used| {
            facts.status = Ok(StatusView {
                dhcp: Some(DhcpView {
                    store: store.into(),
                    unanswered: Default::default(),
                }),
                leases: Fill { used, size: 9 },
                ..running()
            });
            let found = servers::check(&facts);
            (found[0].level, found[0].message.clone())
        };
        assert_eq!(judge("ok", 3).0, Level::Fine);
        let (level, message) = judge("ok", 9);
        assert_eq!(level, Level::Obstacle);
        assert_eq!(message, "all 9 addresses are taken");
        let (level, message) = judge("No space left on device", 3);
        assert_eq!(level, Level::Obstacle);
        assert!(message.ends_with("No space left on device"), "{message}");
    }

    #[test]
    fn a_name_server_that_guests_cannot_reach_is_named_with_others() {
        let mut facts = facts("address = \"10.0.0.1/24\"\n");
        facts.resolvers = vec![
            (OWN, Asked::Silent),
            (Ipv4Addr::LOCALHOST, Asked::Answered),
            (OTHER, Asked::Answered),
        ];
        facts.host_resolvers = vec![Ipv4Addr::new(9, 9, 9, 9)];
        let found = servers::check(&facts);
        let of_dns: Vec<_> = found.iter().filter(|f| f.check == "dns").collect();
        let levels: Vec<_> = of_dns.iter().map(|f| f.level).collect();
        assert_eq!(levels, [Level::Obstacle, Level::Obstacle, Level::Fine]);
        let help = of_dns[0].help.as_deref().unwrap();
        assert!(help.contains("dns-server = [\"9.9.9.9\"]"), "{help}");
    }

    #[test]
    fn an_isolated_network_reaches_name_servers_of_the_host_only() {
        let mut facts = facts("address = \"10.0.0.1/24\"\nforward = \"isolated\"\n");
        facts.addresses = vec![address("10.0.0.1/24", "vmlan0")];
        facts.resolvers = vec![(OWN, Asked::Answered), (OTHER, Asked::Answered)];
        let found = servers::check(&facts);
        let levels: Vec<_> = found.iter().map(|f| f.level).collect();
        assert_eq!(levels, [Level::Fine, Level::Obstacle], "{found:?}");
        assert!(found[1].message.contains("isolated"));
    }
}
