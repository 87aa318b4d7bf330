//! Tells the stations of a segment that an address is at another MAC from now
//! on, as they would go on sending to the one that they know.

use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{Icmpv6Type, PacketBuilder};
use pnet_base::MacAddr;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::task::AbortHandle;
use vmlan_dataplane::hairpin::arp;
use vmlan_dataplane::port::packet;

/// `ANNOUNCE_INTERVAL` (RFC 5227 §1.1): between the two times that it is said.
const INTERVAL: Duration = Duration::from_secs(2);

/// ff02::1 and its MAC (RFC 2464 §7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// The bits of a target link-layer address option: type 2, one unit of 8 bytes
/// (RFC 4861 §4.6.1).
const TARGET_ADDRESS: [u8; 2] = [2, 1];

/// Says out of the netdev number `index` that `addresses` are at `mac`.
///
/// # Errors
/// The netdev is gone or down.
pub(super) fn announce(index: u32, mac: MacAddr, addresses: &[IpAddr]) -> io::Result<()> {
    let frames = addresses.iter().map(|address| match address {
        IpAddr::V4(address) => Ok(arp::announcement(mac, *address)),
        IpAddr::V6(address) => advertisement(mac, *address),
    });
    packet::send(index, &frames.collect::<io::Result<Vec<_>>>()?)
}

/// Says it once more later, since the first may be lost, unless that is called
/// off. Whether the netdev is still there then does not matter.
pub(super) fn again(index: u32, mac: MacAddr, addresses: Vec<IpAddr>) -> AbortHandle {
    let later = async move {
        tokio::time::sleep(INTERVAL).await;
        let _ = announce(index, mac, &addresses);
    };
    tokio::spawn(later).abort_handle()
}

/// An unsolicited neighbour advertisement (RFC 4861 §7.2.6).
fn advertisement(mac: MacAddr, address: Ipv6Addr) -> io::Result<Vec<u8>> {
    let flags = NeighborAdvertisementHeader {
        router: false,
        solicited: false,
        r#override: true,
    };
    let octets = mac.octets();
    let target = [&address.octets()[..], &TARGET_ADDRESS, &octets].concat();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(octets, ALL_NODES_MAC)
        .ipv6(address.octets(), ALL_NODES.octets(), 255)
        .icmpv6(Icmpv6Type::NeighborAdvertisement(flags))
        .write(&mut frame, &target)
        .map_err(io::Error::other)?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::SlicedPacket;

    #[test]
    fn an_advertisement_is_one_by_rfc_4861() {
        let mac = MacAddr::new(2, 0, 0, 0, 0, 1);
        let frame = advertisement(mac, "2001:db8::7".parse().unwrap()).unwrap();
        assert_eq!(frame.len(), 14 + 40 + 32);
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let ip = packet.net.unwrap();
        let ip = ip.ipv6_ref().unwrap();
        assert_eq!(ip.header().hop_limit(), 255);
        let icmp = packet.transport.unwrap();
        let etherparse::TransportSlice::Icmpv6(icmp) = icmp else {
            panic!("{icmp:?}");
        };
        let (source, destination) = (ip.header().source(), ip.header().destination());
        assert!(icmp.is_checksum_valid(source, destination));
        assert_eq!(frame[54..58], [136, 0, frame[56], frame[57]]);
        assert_eq!(frame[58], 0x20, "only the override flag");
        assert_eq!(frame[78..], [2, 1, 2, 0, 0, 0, 0, 1]);
    }
}
