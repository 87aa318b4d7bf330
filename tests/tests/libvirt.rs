//! vmlan under libvirt's domains, with real libvirtd, qemu and virsh.

use anyhow::Result;
use vmlan_tests::libvirt::Libvirt;
use vmlan_tests::station::Station;

const MAC1: &str = "52:54:00:00:05:01";

fn on_network(network: &str, mac: &str) -> String {
    format!(
        "<interface type='network'><mac address='{mac}'/><source network='{network}'/>\
         <model type='virtio'/></interface>"
    )
}

#[test]
fn a_domain_of_the_fixture_boots_on_libvirts_own_network() -> Result<()> {
    let host = Libvirt::start()?;
    host.virsh("net-start default")?;
    host.define_domain("one", &on_network("default", MAC1))?;
    let one = host.boot("one")?;
    let address = one.lease("one")?.address;
    assert!(
        host.virsh("net-dhcp-leases default")?
            .contains(&format!("{address}/24"))
    );
    one.ping("192.168.122.1")?;
    host.virsh("destroy one")?;
    host.virsh("net-destroy default")?;
    Ok(())
}
