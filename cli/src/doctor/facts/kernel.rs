//! The kernel, and what this process may have it do.

use super::read;
use crate::host::link::Link;
use crate::host::uplink::is_wireless;
use std::fs;
use std::path::Path;

/// Capabilities (capabilities(7)) that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::doctor) struct Capabilities {
    pub(in crate::doctor) net_admin: bool,
    pub(in crate::doctor) net_raw: bool,
}

/// The kernel, and programs that speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doctor) struct Kernel {
    /// As `6.1.0-13-amd64`.
    pub(in crate::doctor) release: String,
    /// Whether `/dev/net/tun` can be opened; else why not.
    pub(in crate::doctor) tun: Result<(), String>,
    /// Whether `nft` runs, and the kernel would take the network's rules; else
    /// why not.
    pub(in crate::doctor) nft: Result<(), String>,
    /// `kernel.io_uring_disabled`: 0 where it is not there.
    pub(in crate::doctor) io_uring_disabled: u8,
    /// `net.ipv4.ip_forward`.
    pub(in crate::doctor) ip_forward: Option<bool>,
    /// `net.ipv4.conf.NETDEV.rp_filter`, of `all` and of each netdev.
    pub(in crate::doctor) rp_filter: Vec<(String, u8)>,
    /// Packets that reverse path filters have dropped since the host started
    /// (`IPReversePathFilter` in /proc/net/netstat).
    pub(in crate::doctor) rp_dropped: u64,
    /// Netdevs by which nothing comes in that is to be forwarded:
    /// `net.ipv4.conf.NETDEV.forwarding` is 0.
    pub(in crate::doctor) not_forwarding: Vec<String>,
    /// Netdevs without a wire.
    pub(in crate::doctor) wireless: Vec<String>,
}

impl Capabilities {
    pub(super) fn own() -> Self {
        let sets = rustix::thread::capabilities(None);
        let has = |flag| {
            sets.as_ref()
                .is_ok_and(|sets| sets.effective.contains(flag))
        };
        Self {
            net_admin: has(rustix::thread::CapabilitySet::NET_ADMIN),
            net_raw: has(rustix::thread::CapabilitySet::NET_RAW),
        }
    }
}

impl Kernel {
    pub(super) fn look(netdevs: &[Link]) -> Self {
        let tun = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun");
        let names = ["all"].into_iter();
        let names = names.chain(netdevs.iter().map(|link| link.name.as_str()));
        let of_netdev = |name: &str, key| {
            let path = ["/proc/sys/net/ipv4/conf", name, key];
            number(&path.iter().collect::<std::path::PathBuf>())
        };
        let rp_filter =
            names.filter_map(|name| Some((name.to_owned(), of_netdev(name, "rp_filter")?)));
        let names = netdevs.iter().map(|link| link.name.as_str());
        let not_forwarding = names.clone();
        let not_forwarding = not_forwarding.filter(|name| of_netdev(name, "forwarding") == Some(0));
        Self {
            release: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            tun: tun.map(drop).map_err(|error| error.to_string()),
            nft: Ok(()),
            io_uring_disabled: number(Path::new("/proc/sys/kernel/io_uring_disabled")).unwrap_or(0),
            ip_forward: number(Path::new("/proc/sys/net/ipv4/ip_forward")).map(|v| v != 0),
            rp_filter: rp_filter.collect(),
            rp_dropped: read(Path::new("/proc/thread-self/net/netstat"))
                .ok()
                .and_then(|text| counter(&text, "IPReversePathFilter"))
                .unwrap_or(0),
            not_forwarding: not_forwarding.map(str::to_owned).collect(),
            wireless: names
                .filter(|name| is_wireless(name))
                .map(str::to_owned)
                .collect(),
        }
    }
}

fn number(path: &Path) -> Option<u8> {
    read(path).ok()?.trim().parse().ok()
}

/// The counter `name` in the text of /proc/net/netstat: a line of names, and
/// one of their values.
fn counter(text: &str, name: &str) -> Option<u64> {
    let lines: Vec<&str> = text.lines().collect();
    let (pairs, _) = lines.as_chunks::<2>();
    pairs.iter().find_map(|[names, values]| {
        let mut both = names.split(' ').zip(values.split(' '));
        both.find_map(|(it, value)| (it == name).then(|| value.parse().ok())?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_stands_below_its_name() {
        let text = "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 3 17\n\
                    IpExt: InNoRoutes\nIpExt: 5\n";
        assert_eq!(counter(text, "IPReversePathFilter"), Some(17));
        assert_eq!(counter(text, "InNoRoutes"), Some(5));
        assert_eq!(counter(text, "OutNoRoutes"), None);
        assert_eq!(counter("", "InNoRoutes"), None);
    }
}
