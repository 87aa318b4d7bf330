//! The service with a lease file, without a switch.

use super::*;
use bytes::Bytes;
use etherparse::PacketBuilder;
use std::path::Path;
use vmlan_dataplane::table::PortId;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 50);
const MAC: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 9);

/// A service off, with the file `leases` in `folder`.
fn service(folder: &Path) -> DhcpService {
    DhcpService::new(LeaseFile::new(folder), 7, MacAddr(0x52, 0x54, 0, 0, 0, 1))
}

/// Served from .2 to `last`.
fn config(last: u8) -> Config {
    let range = Ipv4Addr::new(192, 168, 122, 2)..=Ipv4Addr::new(192, 168, 122, last);
    Config::new(SERVER, "192.168.122.0/24".parse().unwrap(), range)
}

/// The line of a lease of [`ADDRESS`] that ends at `expiry`.
fn line(expiry: u64) -> String {
    format!("{expiry} {MAC} {ADDRESS} * *\n")
}

/// [`MAC`]'s REQUEST of [`ADDRESS`] in a datagram to `to`.
fn request(to: Ipv4Addr) -> Request {
    let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
    message.resize(28, 0);
    message.extend(MAC.octets());
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 3, 50, 4]);
    message.extend(ADDRESS.octets());
    message.push(255);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC.octets(), [0xff; 6])
        .ipv4([0; 4], to.octets(), 64)
        .udp(68, 67)
        .write(&mut frame, &message)
        .unwrap();
    Request {
        frame: Bytes::from(frame),
        ingress: PortId(3),
    }
}

/// The leases that the server holds to be live. Unlike [`DhcpService::fill`]
/// it does not end those that ran out.
fn live(service: &DhcpService) -> usize {
    service.state().server.as_ref().map_or(0, Server::used)
}

#[test]
fn a_message_is_answered_that_is_for_the_server_or_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    service.configure(Some(config(254))).unwrap();
    for to in ["192.168.122.2", "192.168.122.254", "10.0.0.1", "224.0.0.1"] {
        let replies = service.respond(&[request(to.parse().unwrap())]);
        assert_eq!(replies.len(), 0, "to {to}");
    }
    assert_eq!(live(&service), 0);
    for to in ["192.168.122.1", "255.255.255.255", "192.168.122.255"] {
        let replies = service.respond(&[request(to.parse().unwrap())]);
        assert_eq!(replies.len(), 1, "to {to}");
    }
}

#[test]
fn while_the_file_cannot_be_written_no_request_of_a_batch_is_acknowledged() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    let mut service = service(&folder);
    service.configure(Some(config(254))).unwrap();
    // The second asks for what the first would have had written.
    let twice = [request(SERVER), request(SERVER)];
    assert_eq!(service.respond(&twice).len(), 0);
    assert_eq!(live(&service), 0);
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(service.respond(&twice).len(), 2);
    let text = std::fs::read_to_string(folder.join("leases")).unwrap();
    assert!(text.contains(&ADDRESS.to_string()), "{text}");
}

#[test]
fn a_request_again_and_again_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    service.configure(Some(config(254))).unwrap();
    assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
    std::fs::remove_file(folder.path().join("leases")).unwrap();
    for _ in 0..10 {
        assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
    }
    assert!(!folder.path().join("leases").exists());
}

#[test]
fn another_configuration_writes_the_file_without_what_it_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leases");
    std::fs::write(&file, line(epoch() - 9)).unwrap();
    let service = service(folder.path());
    service.configure(Some(config(254))).unwrap();
    service.configure(Some(config(40))).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
}

#[tokio::test(flavor = "current_thread")]
async fn a_lease_ends_on_time_though_no_message_comes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leases");
    let service = service(folder.path());
    service.configure(Some(config(254))).unwrap();
    assert_eq!(service.expire(), None);
    let task = tokio::spawn(service.clone().expire_on_time());
    // It waits for nothing yet: the lease that comes now has to wake it.
    tokio::task::yield_now().await;
    service.configure(None).unwrap();
    std::fs::write(&file, line(epoch() + 2)).unwrap();
    service.configure(Some(config(254))).unwrap();
    assert_eq!(live(&service), 1);
    let ended = async {
        while live(&service) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap();
    task.abort();
}
