//! The name servers that the host itself asks (resolv.conf(5)).

use std::net::IpAddr;

/// The C library heeds no more of them (`MAXNS`).
const MOST: usize = 3;

/// The address of systemd-resolved's stub, in place of which its own file names
/// whom it asks (systemd-resolved.service(8)).
pub(crate) const STUB: [u8; 4] = [127, 0, 0, 53];

/// The name servers that `text` names, in their order. One with a zone, as
/// `fe80::1%eth0`, is left out.
pub(crate) fn servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next())?
    });
    lines
        .filter_map(|word| word.parse().ok())
        .take(MOST)
        .collect()
}

/// Whom to ask where the host's file is `own`, and systemd-resolved's, where
/// that runs, `resolved`. An `excluded` address, this server's, would ask itself.
///
/// The stub comes first where the host asks it: it knows of each link's domains.
/// Whom it asks itself comes behind, for when it does not answer.
pub(crate) fn chosen(own: &str, resolved: Option<&str>, excluded: IpAddr) -> Vec<IpAddr> {
    let mut list = servers(own);
    if list.contains(&STUB.into()) {
        for server in resolved.map(servers).unwrap_or_default() {
            if !list.contains(&server) {
                list.push(server);
            }
        }
    }
    if list.is_empty() {
        // As the C library has it.
        list.push(IpAddr::from([127, 0, 0, 1]));
    }
    list.retain(|server| *server != excluded && !server.is_unspecified());
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 122, 1));

    fn ask(own: &str, resolved: Option<&str>) -> Vec<String> {
        let chosen = chosen(own, resolved, OWN);
        chosen.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_are_read_as_the_c_library_does() {
        let text = "# nameserver 1.1.1.1\nsearch x\nnameserver\nnameserver 192.0.2.1 x\n\
                    nameserver fe80::1%eth0\nnameserver 2001:db8::1\n";
        assert_eq!(ask(text, None), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(servers(&"nameserver 192.0.2.1\n".repeat(9)).len(), MOST);
        assert_eq!(ask("", None), ["127.0.0.1"]);
    }

    #[test]
    fn behind_the_stub_come_those_that_it_asks() {
        let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\n";
        let resolved = "nameserver 192.168.122.1\nnameserver 192.0.2.7\n";
        assert_eq!(ask(stub, Some(resolved)), ["127.0.0.53", "192.0.2.7"]);
        assert_eq!(ask(stub, None), ["127.0.0.53"]);
        let other = "nameserver 192.0.2.1\n";
        assert_eq!(ask(other, Some(resolved)), ["192.0.2.1"]);
    }

    #[test]
    fn nobody_is_asked_to_ask_itself() {
        assert!(ask("nameserver 192.168.122.1\n", None).is_empty());
    }
}
