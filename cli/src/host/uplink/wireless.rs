//! Whether a NIC is a wireless one.

use std::path::Path;

/// Whether the netdev `name` is a wireless station: an access point takes
/// frames from its own MAC only (IEEE 802.11 has no room for another sender),
/// so it cannot join others with a LAN.
pub(crate) fn is_wireless(name: &str) -> bool {
    is_wireless_in(Path::new("/sys/class/net"), name)
}

fn is_wireless_in(netdevs: &Path, name: &str) -> bool {
    let netdev = netdevs.join(name);
    // Of cfg80211, and of older drivers.
    netdev.join("phy80211").exists() || netdev.join("wireless").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_netdev_with_a_radio_is_wireless() {
        let netdevs = tempfile::tempdir().unwrap();
        for (name, entry) in [
            ("eth0", "device"),
            ("wlan0", "phy80211"),
            ("ra0", "wireless"),
        ] {
            fs::create_dir_all(netdevs.path().join(name).join(entry)).unwrap();
        }
        let wireless = |name| is_wireless_in(netdevs.path(), name);
        assert!(wireless("wlan0") && wireless("ra0"));
        assert!(!wireless("eth0") && !wireless("gone"));
    }
}
