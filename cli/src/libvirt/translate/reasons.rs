//! Why something of a description is not carried over.

use super::super::xml::Network;
use crate::config::Problem;

/// Why there is nothing to do in a network of this mode.
pub(super) fn unfit(network: &Network, mode: &str) -> Problem {
    let virtual_port = network.rest.iter().any(|rest| rest.path == "virtualport");
    let what = match mode {
        "bridge" if virtual_port => {
            "its guests are on a switch already: <virtualport> (has it been adopted before?)"
        }
        "bridge" if network.bridge.is_some() => {
            "its guests are on a bridge that libvirt does not manage"
        }
        "bridge" | "private" | "vepa" | "passthrough" => "its guests are on a NIC, by macvtap",
        "hostdev" => "its guests have NICs of the host to themselves",
        _ => return Problem::new(format!("unknown way to forward, mode='{mode}'")),
    };
    let help = match (mode, &network.bridge) {
        ("bridge", Some(bridge)) if !virtual_port => format!(
            "there is no address or DHCP of libvirt's to take over: for a switch in the place of \
             {}, write a configuration with forward = \"bridge\" and the NIC as uplink",
            bridge.get_ref()
        ),
        _ => "only networks that forward by nat, route or open, or that are isolated, can be \
              taken over"
            .to_owned(),
    };
    Problem::new(format!(
        "nothing is to be taken over of this network: {what}"
    ))
    .help(help)
}

/// Why the element or attribute at `path` is not carried over; `None`: it need
/// not be, or libvirt keeps it.
pub(super) fn reason(path: &str) -> Option<&'static str> {
    Some(match path {
        "uuid"
        | "metadata"
        | "title"
        | "description"
        | "@connections"
        | "@trustGuestRxFilters"
        | "@ipv6" => return None,
        "bridge@stp" | "bridge@delay" => {
            "the switch has no spanning tree: join it with another one in one place only"
        }
        "bridge@zone" => "firewalld's zone for the bridge; vmlan's interface is in none by itself",
        "bridge@macTableManager" => "the switch learns where guests are",
        "domain@register" => {
            "the host finds the names by itself where vmlan answers for the whole domain \
             (localOnly='yes') and systemd-resolved runs"
        }
        // Addresses of the network are never asked of others.
        "ip@localPtr" => return None,
        "ip" => "vmlan serves IPv4 only: guests lose this address, its prefix and its DHCP",
        "forward/nat@ipv6" => "vmlan serves IPv4 only",
        "route" => "vmlan adds no routes to the host: `ip route add` does, once the network runs",
        "bandwidth" | "portgroup/bandwidth" => "there are no rate limits in vmlan yet",
        "vlan" => {
            "there are no VLANs in vmlan yet: no guest of this network starts, unless it is taken \
             out"
        }
        "portgroup/vlan" => {
            "there are no VLANs in vmlan yet: guests of this portgroup do not start, since their \
             port comes with a tag"
        }
        "virtualport" | "portgroup/virtualport" => {
            "the port's profile is that of another kind of switch"
        }
        _ => "vmlan does not know it",
    })
}
