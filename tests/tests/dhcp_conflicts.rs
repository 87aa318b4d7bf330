//! Addresses that stations use without a lease, found before they are offered.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};

const CLIENT: &str = "52:54:00:00:00:01";
const ANSWERING: &str = "52:54:00:00:00:02";
const SILENT: &str = "52:54:00:00:00:03";

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 122, last)
}

#[test]
fn an_address_is_in_use_by_who_answers_and_by_who_was_heard_with_it() -> Result<()> {
    let dhcp = "[dhcp]\nrange = [\"192.168.122.10\", \"192.168.122.19\"]\nsequential = true\n";
    let config = ISOLATED.to_owned() + dhcp + &taps(&["c1", "c2", "c3"]);
    let switch = Switch::start(&config)?;
    let c1 = switch.container("c1", CLIENT)?;
    let c2 = switch.container("c2", ANSWERING)?;
    let c3 = switch.container("c3", SILENT)?;
    c2.run(&format!("ip addr add {}/24 dev eth0", address(10)))?;
    // It answers no ARP at all, but asks for the gateway in its own name.
    c3.run(&format!(
        "echo 8 > /proc/sys/net/ipv4/conf/eth0/arp_ignore
        ip addr add {}/24 dev eth0
        arping -c 1 -w 5 -I eth0 192.168.122.1",
        address(11)
    ))?;

    assert_eq!(udhcpc(&c1, "")?.address, address(12));
    for (mac, last) in [(ANSWERING, 10), (SILENT, 11)] {
        let lease = switch.lease(mac)?;
        assert_eq!(lease["state"], "declined", "{lease}");
        assert_eq!(lease["address"], format!("{}/24", address(last)));
    }
    let metrics = switch.namespace.run(&format!(
        "curl -sS --unix-socket {} http://vmlan/metrics",
        switch.run_file("control.sock").display()
    ))?;
    for line in [
        "vmlan_dhcp_conflicts_total{by=\"probe\"} 2",
        "vmlan_dhcp_replies_total 2",
        "vmlan_dhcp_unanswered_total{reason=\"range-exhausted\"} 0",
    ] {
        ensure!(metrics.contains(line), "{line}: {metrics}");
    }
    Ok(())
}
