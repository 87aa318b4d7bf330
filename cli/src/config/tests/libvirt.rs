//! `[libvirt]`.

use super::*;

#[test]
fn libvirt_sees_a_network_whose_file_says_so() {
    assert_eq!(parse("").unwrap().libvirt, None);
    let seen = parse("[libvirt]").unwrap().libvirt.unwrap();
    assert_eq!(seen.network, None);
    assert_eq!(seen.status_dir, Path::new("/var/lib/libvirt/dnsmasq"));
    let text = "[libvirt]\nnetwork = \"lab net\"\nstatus-dir = \"/x\"";
    let seen = parse(text).unwrap().libvirt.unwrap();
    assert_eq!(seen.network.as_deref(), Some("lab net"));
    assert_eq!(seen.status_dir, Path::new("/x"));
}

#[test]
fn libvirt_needs_a_bridge_to_know_the_network_by() {
    refused(
        "interface = \"\"\n[libvirt]",
        (1, 13),
        "libvirt knows a network by its bridge",
        "<bridge name",
    );
    refused(
        "[libvirt]\nnetwork = \"\"",
        (2, 11),
        "has a name",
        "net-list",
    );
    refused("[libvirt]\nstatus-dir = \"x\"", (2, 14), "x", "/");
    refused(
        "[libvirt]\nbridge = \"x\"",
        (2, 1),
        "unknown key",
        "network",
    );
}
