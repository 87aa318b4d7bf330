//! The service with its files, without a switch.

use super::*;
use crate::host::leases::{Folder, LeaseStore};
use bytes::Bytes;
use etherparse::PacketBuilder;
use std::path::Path;
use std::time::{Duration, Instant};
use vmlan_dataplane::hairpin::Request;
use vmlan_dataplane::table::PortId;
use vmlan_dhcp::{LeaseState, leasefile};

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 50);
const MAC: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 9);

/// A service off, with the file `leases` in `folder`.
fn service(folder: &Path) -> DhcpService {
    DhcpService::new(
        folder,
        7,
        MacAddr(0x52, 0x54, 0, 0, 0, 1),
        Events::new("test"),
    )
}

fn epoch() -> u64 {
    Clocks::host().moment().wall
}

/// What a start would find in `folder`.
fn on_disk(folder: &Path) -> String {
    let (_, loaded) = LeaseStore::open(Arc::new(Folder::new(folder))).unwrap();
    leasefile::format(&loaded.leases)
}

/// A wall clock that can be set, and the time since boot.
#[derive(Clone, Default)]
struct Hands(Arc<Mutex<(u64, u64)>>);

impl Hands {
    fn clocks(&self, uptime: u64, wall: u64) -> Clocks {
        *self.0.lock().unwrap() = (uptime, wall);
        let hands = Arc::clone(&self.0);
        let seconds = Duration::from_secs;
        Clocks::fake(move || {
            let (uptime, wall) = *hands.lock().unwrap();
            (seconds(uptime), seconds(wall))
        })
    }

    /// `seconds` later, by a wall clock set by `set` meanwhile.
    fn go(&self, seconds: u64, set: i64) {
        let mut hands = self.0.lock().unwrap();
        hands.0 += seconds;
        hands.1 = (hands.1 + seconds).saturating_add_signed(set);
    }
}

/// The only lease of `service`: its end by the wall clock, and its state.
fn the_lease(service: &DhcpService) -> (u64, LeaseState) {
    service.leases(|lease, _| (lease.expiry, lease.state))[0]
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
    message(3, MAC, to)
}

/// A message of the type `kind` from `mac` that names [`ADDRESS`].
fn message(kind: u8, mac: MacAddr, to: Ipv4Addr) -> Request {
    let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
    message.resize(28, 0);
    message.extend(mac.octets());
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, kind, 50, 4]);
    message.extend(ADDRESS.octets());
    message.push(255);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac.octets(), [0xff; 6])
        .ipv4([0; 4], to.octets(), 64)
        .udp(68, 67)
        .write(&mut frame, &message)
        .unwrap();
    Request {
        frame: Bytes::from(frame),
        ingress: PortId(3),
    }
}

/// Where the transaction's number stands in a frame.
const XID: std::ops::Range<usize> = 46..50;

/// `discover` by the same client as its transaction `last`.
fn again(discover: &Request, last: u8) -> Request {
    let mut payload = discover.frame[42..].to_vec();
    payload[7] = last;
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC.octets(), [0xff; 6])
        .ipv4([0; 4], [255; 4], 64)
        .udp(68, 67)
        .write(&mut frame, &payload)
        .unwrap();
    Request {
        frame: frame.into(),
        ingress: discover.ingress,
    }
}

/// The leases that the server holds to be live. Unlike [`DhcpService::fill`]
/// it does not end those that ran out.
fn live(service: &DhcpService) -> usize {
    service.state().server.as_ref().map_or(0, Server::used)
}

#[test]
fn what_gets_no_address_is_counted_by_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    assert_eq!(service.counters(), None, "DHCP is off");
    service.configure(Some(config(2))).unwrap();
    let all = Ipv4Addr::BROADCAST;
    let other = MacAddr(0x52, 0x54, 0, 0, 0, 8);
    let messages = [
        message(1, MAC, all),
        message(1, other, all),
        request(all),
        message(8, MAC, all),
    ];
    assert_eq!(service.respond(&messages).len(), 2);
    let counters = service.counters().unwrap();
    assert_eq!(counters.replies, 2);
    let counted: Vec<_> = counters
        .unanswered
        .iter()
        .filter(|(_, n)| **n > 0)
        .collect();
    assert_eq!(counted, [(&"no-address", &1), (&"range-exhausted", &1)]);
    assert_eq!(counters.refused["address-not-available"], 1);
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

/// A network whose segment is asked for an address before it is offered.
fn probing() -> Config {
    Config {
        probe: true,
        ..config(254)
    }
}

#[test]
fn a_message_waits_for_its_probe_and_others_are_answered_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    service.configure(Some(probing())).unwrap();
    assert_eq!(service.due(), None);
    let discover = message(1, MAC, Ipv4Addr::BROADCAST);
    assert_eq!(service.respond(std::slice::from_ref(&discover)).len(), 0);
    let due = service.due().unwrap();
    // ADDRESS is kept for it: another client is refused that, at once.
    let other = message(3, MacAddr(0x52, 0x54, 0, 0, 0, 10), SERVER);
    assert_eq!(service.respond(&[other, discover.clone()]).len(), 1);
    // Nor is anybody else's message answered in its place.
    let mut elsewhere = again(&discover, 6);
    elsewhere.ingress = PortId(9);
    let latest = again(&discover, 5);
    assert_eq!(service.respond(&[latest, elsewhere]).len(), 0);
    assert_eq!(service.due(), Some(due));
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    let [offer] = service.respond(&[]).try_into().unwrap();
    assert_eq!(offer.egress, discover.ingress);
    assert_eq!(offer.frame[XID], [1, 2, 3, 5], "what it said last");
    assert_eq!(service.due(), None, "at rest it sleeps");
    assert_eq!(the_lease(&service).1, LeaseState::Offered);
}

#[test]
fn a_reply_to_its_probe_has_a_message_get_another_address_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    service.configure(Some(probing())).unwrap();
    let discover = message(1, MAC, Ipv4Addr::BROADCAST);
    assert_eq!(service.respond(&[discover]).len(), 0);
    let first = service.due().unwrap();
    let squatter = [0x52, 0x54, 0, 0, 0, 77];
    let mut claim = [MAC.octets(), squatter].concat();
    claim.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    claim.extend(squatter);
    claim.extend(ADDRESS.octets());
    claim.extend([0; 10]);
    let claim = Request {
        frame: claim.into(),
        ingress: PortId(4),
    };
    assert_eq!(service.respond(&[claim]).len(), 0);
    let held = service.leases(|lease, _| (lease.address, lease.mac, lease.state));
    let put_aside = (ADDRESS, squatter.into(), LeaseState::Declined);
    assert!(held.contains(&put_aside), "{held:?}");
    assert!(service.due().unwrap() > first, "it asks for the next");
    service.configure(None).unwrap();
    assert_eq!(service.due(), None);
}

#[test]
fn while_nothing_can_be_written_no_request_of_a_batch_is_acknowledged() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    std::fs::create_dir(&folder).unwrap();
    let mut service = service(&folder);
    service.configure(Some(config(254))).unwrap();
    service.configure(Some(config(253))).unwrap();
    // The journal that is open goes on being written to, whatever its name.
    service.state().keeper.rewrite();
    std::fs::remove_dir_all(&folder).unwrap();
    // The second asks for what the first would have had written.
    let twice = [request(SERVER), request(SERVER)];
    assert_eq!(service.respond(&twice).len(), 0);
    assert_eq!(live(&service), 0);
    let trouble = service.trouble().unwrap().unwrap_err();
    assert!(trouble.contains("cannot write"), "{trouble}");
    assert!(trouble.contains("No such file"), "{trouble}");
    std::fs::create_dir(&folder).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while service.trouble() != Some(Ok(())) {
        assert!(Instant::now() < end, "it does not get over it by itself");
        service.file_leases();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(service.respond(&twice).len(), 2);
    assert!(on_disk(&folder).contains(&ADDRESS.to_string()));
}

#[test]
fn a_lease_on_disk_is_renewed_with_what_is_left_of_it_while_nothing_can_be_written() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    std::fs::create_dir(&folder).unwrap();
    let hands = Hands::default();
    let clocks = hands.clocks(100, 1_700_000_000);
    let mut service = DhcpService::by(clocks, &folder, 7, MAC, Events::new("test"));
    service.configure(Some(config(254))).unwrap();
    assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
    service.state().keeper.rewrite();
    std::fs::remove_dir_all(&folder).unwrap();
    hands.go(600, 0);
    let replies = service.respond(&[request(SERVER)]);
    let [reply] = replies.as_slice() else {
        panic!("{replies:?}")
    };
    let lease_time = reply.frame.windows(6).find(|w| w[..2] == [51, 4]).unwrap();
    assert_eq!(lease_time[2..], 3000_u32.to_be_bytes());
    assert_eq!(the_lease(&service), (1_700_003_600, LeaseState::Bound));
    hands.go(3000, 0);
    assert_eq!(service.respond(&[request(SERVER)]).len(), 0);
}

#[test]
fn a_request_again_and_again_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    service.configure(Some(config(254))).unwrap();
    assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
    let journal = folder.path().join("leases.journal-1");
    let written = std::fs::read(&journal).unwrap();
    for _ in 0..10 {
        assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
    }
    assert_eq!(std::fs::read(&journal).unwrap(), written);
}

#[test]
fn another_configuration_writes_the_file_without_what_it_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leases");
    std::fs::write(&file, line(epoch() - 9)).unwrap();
    let service = service(folder.path());
    service.configure(Some(config(254))).unwrap();
    service.configure(Some(config(40))).unwrap();
    service.stop();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
}

#[test]
fn another_configuration_that_forgets_nothing_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    service.configure(Some(config(254))).unwrap();
    assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
    let written = || {
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (std::fs::read(&path).unwrap(), path))
            .collect();
        files.sort();
        files
    };
    let before = written();
    service.configure(Some(config(253))).unwrap();
    assert_eq!(written(), before);
}

#[test]
fn setting_the_clock_ends_no_lease_and_shows_its_end_by_the_new_time() {
    for set in [3600, -3600, 7200, -7200] {
        let folder = tempfile::tempdir().unwrap();
        let hands = Hands::default();
        let wall: u64 = 1_700_000_000;
        let clocks = hands.clocks(100, wall);
        let mut service = DhcpService::by(clocks, folder.path(), 7, MAC, Events::new("test"));
        service.configure(Some(config(254))).unwrap();
        assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
        assert_eq!(the_lease(&service), (wall + 3600, LeaseState::Bound));
        hands.go(10, set);
        service.file_leases();
        let end = (wall + 3600).saturating_add_signed(set);
        assert_eq!(the_lease(&service), (end, LeaseState::Bound));
        assert_eq!(on_disk(folder.path()), line(end));
        let file = std::fs::read_to_string(folder.path().join("leases")).unwrap();
        assert_eq!(file, line(end));
        // Killed, and started again after the clock was set once more.
        hands.go(10, set);
        let (uptime, wall) = *hands.0.lock().unwrap();
        let mut service = DhcpService::by(
            hands.clocks(uptime, wall),
            folder.path(),
            7,
            MAC,
            Events::new("test"),
        );
        service.configure(Some(config(254))).unwrap();
        let end = end.saturating_add_signed(set);
        assert_eq!(the_lease(&service), (end, LeaseState::Bound));
        assert_eq!(end - wall, 3580);
        hands.go(3579, 0);
        assert_eq!(service.fill().unwrap().0, 1);
        hands.go(1, 0);
        assert_eq!(service.fill().unwrap().0, 0, "it ends on time");
        assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
    }
}

#[test]
fn leases_of_another_server_are_taken_over_and_rivals_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path());
    service.configure(Some(config(254))).unwrap();
    assert_eq!(service.respond(&[request(SERVER)]).len(), 1);
    let end = epoch() + 500;
    let other = MAC.to_string().replace("09", "0a");
    let text = format!(
        "{}{end} {other} {ADDRESS} * *\n{end} {other} 192.168.122.51 * *\n\
         {end} 52:54:00:00:00:0b 10.0.0.1 * *\nx\n",
        line(epoch() - 5)
    );
    let said = service.import(&text).unwrap();
    assert!(
        said.starts_with("1 leases are taken over; 4 are left out:"),
        "{said}"
    );
    assert!(said.contains("another lease has the address"), "{said}");
    assert!(on_disk(folder.path()).contains(&format!("{end} {other} 192.168.122.51")));
    assert!(matches!(service.import("x\n"), Err(DhcpError::NoLeases(_))));
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
    assert_eq!(live(&service), 0);
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

#[test]
fn the_hook_is_told_of_imported_leases() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    std::fs::write(&file, "[dhcp.hook]\nprogram = \"/bin/true\"\n").unwrap();
    let loaded = crate::config::Loaded::read(&file, None).unwrap();
    let service = service(folder.path());
    service.hooks().configure(&loaded.config);
    service.configure(Some(config(254))).unwrap();
    let waiting = || service.hooks().tally().unwrap().waiting;
    assert_eq!(waiting(), 0);
    service.import(&line(epoch() + 600)).unwrap();
    assert_eq!(waiting(), 1);
}
