//! The name servers that the host itself asks.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// A DHCP option of addresses that is longer than this is of no use: resolvers
/// ask three at most (`MAXNS`, resolv.conf(5)).
const MOST: usize = 3;

/// Where a host has its name servers: its own file, and where that names a
/// resolver on the host itself, the one in which systemd-resolved lists whom it
/// asks (systemd-resolved.service(8)).
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The IPv4 name servers of the host that guests can ask too.
pub(super) fn of_host() -> Vec<Ipv4Addr> {
    let read = |file| fs::read_to_string(Path::new(file)).unwrap_or_default();
    let found = FILES.iter().map(|file| servers(&read(file)));
    found
        .into_iter()
        .find(|servers| !servers.is_empty())
        .unwrap_or_default()
}

/// The IPv4 name servers in `text` that are not the host itself.
fn servers(text: &str) -> Vec<Ipv4Addr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next())?
    });
    let addresses = lines.filter_map(|word| word.parse::<Ipv4Addr>().ok());
    let usable = addresses.filter(|it| !it.is_loopback() && !it.is_unspecified());
    usable.take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_host_itself_are_left_out() {
        let text = "# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver ::1\n\
                    nameserver 192.0.2.1\nsearch x\nnameserver\nnameserver 192.0.2.2 x\n";
        let expected: [Ipv4Addr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(servers(text), expected);
        assert_eq!(servers(""), [] as [Ipv4Addr; 0]);
        assert_eq!(servers(&"nameserver 192.0.2.1\n".repeat(9)).len(), MOST);
    }
}
