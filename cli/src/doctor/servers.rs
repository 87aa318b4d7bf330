//! DHCP and DNS, as guests find them.

use super::Finding;
use super::ask::Asked;
use super::facts::Facts;
use std::net::Ipv4Addr;

/// Who leases addresses on the segment, and whether name servers answer.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = dhcp(facts);
    findings.extend(resolvers(facts));
    findings
}

fn dhcp(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "dhcp";
    let offers = match &facts.offers {
        Ok(offers) => offers,
        Err(why) => {
            let what = format!("DHCP servers were not looked for: {why}");
            return vec![Finding::unknown(CHECK, what)];
        }
    };
    let own = facts.gateway().map(|gateway| gateway.addr());
    let own = own.filter(|_| facts.config.dhcp.enabled);
    let is_own = |server: &Ipv4Addr| Some(*server) == own;
    let all: Vec<_> = offers.iter().map(|offer| offer.server).collect();
    let others: Vec<_> = all.iter().filter(|server| !is_own(server)).collect();
    let mut findings = Vec::new();
    match own {
        Some(own) if all.contains(&own) => {
            findings.push(Finding::fine(CHECK, format!("vmlan answers, as {own}")));
        }
        Some(own) => findings.push(
            Finding::obstacle(
                CHECK,
                format!("vmlan's own DHCP server {own} offers nothing"),
            )
            .help(
                "see its log; `vmlan status` says whether leases can be written, and how \
                     many addresses are taken",
            ),
        ),
        None if others.is_empty() => findings.push(
            Finding::obstacle(CHECK, "no DHCP server answers on the segment")
                .help("guests need fixed addresses, or a server: [dhcp] enabled = true"),
        ),
        None => {}
    }
    for (place, server) in others.iter().enumerate() {
        let finding = if own.is_some() {
            let what = format!("another DHCP server answers on the segment: {server}");
            Finding::obstacle(CHECK, what)
                .help("find out by `vmlan fdb` which port it is behind, and turn it off there")
        } else if place > 0 {
            let what = format!("a further DHCP server answers on the segment: {server}");
            Finding::warning(CHECK, what).help("one of them is in the wrong place")
        } else {
            Finding::fine(CHECK, format!("{server} answers, of the LAN"))
        };
        findings.push(finding);
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
    use super::super::facts::tests::facts;
    use super::super::{Level, servers};
    use std::net::Ipv4Addr;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 66);

    fn levels(own: bool, answering: &[Ipv4Addr]) -> Vec<Level> {
        let mut facts = facts("address = \"10.0.0.1/24\"\n");
        facts.config.dhcp.enabled = own;
        let offer = |server: &Ipv4Addr| Offer {
            server: *server,
            name_servers: Vec::new(),
        };
        facts.offers = Ok(answering.iter().map(offer).collect());
        servers::check(&facts).iter().map(|f| f.level).collect()
    }

    #[test]
    fn the_server_that_should_answer_is_to_be_the_only_one() {
        assert_eq!(levels(true, &[OWN]), [Level::Fine]);
        assert_eq!(levels(true, &[]), [Level::Obstacle]);
        assert_eq!(levels(true, &[OWN, OTHER]), [Level::Fine, Level::Obstacle]);
        assert_eq!(levels(false, &[OTHER]), [Level::Fine]);
        assert_eq!(levels(false, &[OTHER, OWN]), [Level::Fine, Level::Warning]);
        assert_eq!(levels(false, &[]), [Level::Obstacle]);
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
}
