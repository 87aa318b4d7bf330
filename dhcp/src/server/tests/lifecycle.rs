//! Start, change of configuration, undo, and the clock.

use super::*;
use crate::lease::{Lease, LeaseState};
use crate::outcome::LeftOut;

fn record(client: u8, address: u8, expiry: u64) -> Lease {
    Lease {
        mac: mac(client),
        address: ip(address),
        expiry,
        hostname: Some("db".into()),
        client_id: Some([1, 2].into()),
    }
}

fn loaded(leases: impl IntoIterator<Item = Lease>) -> Server {
    Server::new(config(99), leases, 7, T0).unwrap()
}

#[test]
fn a_restarted_server_knows_its_leases() {
    let mut server = loaded([
        record(1, 50, T0 + 10),
        record(2, 51, T0 - 10),
        record(3, 52, 0),
    ]);
    assert_eq!(server.not_loaded(), []);
    assert_eq!(server.used(), 2);
    assert_eq!(answered(&mut server, renew(1, ip(50)), T0), ACK);
    assert_eq!(lease(&mut server, 2, T0), ip(51));
    assert_eq!(answered(&mut server, reboot(9, ip(52)), T0 + 999_999), NAK);
    let names: Vec<_> = server.records().map(|l| l.hostname.as_deref()).collect();
    assert_eq!(names, [Some("db"); 3], "kept though nobody gave it again");
}

#[test]
fn of_two_leases_with_one_address_or_mac_the_longer_counts() {
    let server = loaded([
        record(1, 50, T0 + 10),
        record(2, 50, T0 + 20),
        record(2, 51, T0 + 30),
        record(3, 52, 0),
        record(4, 52, T0 + 10),
    ]);
    assert_eq!(
        server.not_loaded(),
        [
            (record(2, 50, T0 + 20), LeftOut::ClientHasAnother),
            (record(4, 52, T0 + 10), LeftOut::AddressTaken)
        ]
    );
    assert_eq!(server.leases(T0).count(), 3);
}

#[test]
fn expired_leases_without_an_address_here_are_not_loaded() {
    let gone = record(1, 200, T0);
    let live = record(2, 201, T0 + 1);
    let server = loaded([gone.clone(), live.clone()]);
    assert_eq!(server.not_loaded(), [(gone, LeftOut::NotServed)]);
    assert_eq!(server.records().collect::<Vec<_>>(), [&live]);
}

#[test]
fn expired_leases_for_which_there_is_no_room_are_not_loaded() {
    let mut config = config(99);
    config.max_leases = 1;
    let records = [record(1, 50, T0 - 10), record(2, 51, T0 - 9)];
    let server = Server::new(config, records.clone(), 7, T0).unwrap();
    let [older, _] = records;
    assert_eq!(server.not_loaded(), [(older, LeftOut::LeaseLimit)]);
}

#[test]
fn the_next_expiry_is_that_of_the_lease_that_runs_out_first() {
    let mut server = loaded([
        record(1, 50, T0 + 10),
        record(2, 51, T0 - 10),
        record(3, 52, 0),
    ]);
    assert_eq!(server.next_expiry(), Some(T0 + 10));
    assert_eq!(answered(&mut server, renew(1, ip(50)), T0 + 5), ACK);
    assert_eq!(server.next_expiry(), Some(T0 + 3605));
    assert_eq!(server.expire(T0 + 3604), []);
    assert_eq!(server.expire(T0 + 3605).len(), 1);
    assert_eq!(server.next_expiry(), None);
}

#[test]
fn after_a_range_change_leases_that_fit_stay_and_others_are_naked_at_renewal() {
    let mut server = loaded([record(1, 50, T0 + 3600), record(2, 80, T0 + 3600)]);
    received(&discover(3).requested(ip(70)).to(&mut server, T0));
    server.reconfigure(config(60), T0).unwrap();
    assert_eq!(answered(&mut server, renew(1, ip(50)), T0), ACK);
    assert_eq!(answered(&mut server, renew(2, ip(80)), T0), NAK);
    assert_eq!(answered(&mut server, select(3, ip(70)), T0), NAK);
    let moved = lease(&mut server, 2, T0 + 1);
    assert!(moved <= ip(60), "{moved}");
}

#[test]
fn an_address_stays_taken_while_it_is_out_of_the_range() {
    let mut server = loaded([record(2, 80, T0 + 3600)]);
    server.reconfigure(config(60), T0).unwrap();
    server.reconfigure(config(99), T0).unwrap();
    assert_eq!(answered(&mut server, reboot(9, ip(80)), T0), NAK);
    assert_eq!(answered(&mut server, renew(2, ip(80)), T0), ACK);
}

#[test]
fn a_bad_configuration_is_refused_and_the_former_kept() {
    let mut server = loaded([]);
    let mut bad = config(60);
    bad.max_leases = 0;
    assert!(server.reconfigure(bad, T0).is_err());
    assert_eq!(server.config(), &config(99));
}

#[test]
fn what_could_not_be_written_is_undone() {
    let mut server = Server::new(config(2), [record(1, 2, T0 - 9)], 7, T0).unwrap();
    let before: Vec<Lease> = server.records().cloned().collect();
    let mut changes = Vec::new();
    // One batch: a new client takes over the only address, and renews.
    received(&discover(2).to(&mut server, T0));
    changes.extend(select(2, ip(2)).to(&mut server, T0).changes);
    changes.extend(renew(2, ip(2)).to(&mut server, T0 + 60).changes);
    assert_eq!(changes.len(), 3);
    for change in changes.iter().rev() {
        server.undo(change, T0 + 60);
    }
    assert_eq!(server.records().cloned().collect::<Vec<_>>(), before);
    assert_eq!(server.used(), 0);
    assert_eq!(lease(&mut server, 1, T0 + 61), ip(2));
}

#[test]
fn undo_gives_nothing_away_that_another_has_by_now() {
    let mut server = loaded([record(1, 50, T0 + 10)]);
    let renewal = renew(1, ip(50)).to(&mut server, T0).changes;
    let gone = server.release(ip(50)).unwrap();
    assert_eq!(answered(&mut server, reboot(2, ip(50)), T0), ACK);
    server.undo(&gone, T0);
    server.undo(&renewal[0], T0);
    let bindings: Vec<_> = server.bindings(T0).collect();
    assert_eq!(bindings, [(ip(50), mac(2))]);
}

#[test]
fn a_lease_deleted_by_hand_is_forgotten_whole() {
    let mut server = loaded([record(1, 50, T0 + 10)]);
    let change = server.release(ip(50)).unwrap();
    assert_eq!(change.before, Some(record(1, 50, T0 + 10)));
    assert_eq!(change.after, None);
    assert_eq!(server.leases(T0).count(), 0);
    assert_eq!(server.release(ip(50)), None);
    assert_eq!(answered(&mut server, reboot(2, ip(50)), T0), ACK);
}

#[test]
fn a_clock_set_back_brings_expired_leases_to_life() {
    let mut server = server(config(2));
    lease(&mut server, 1, T0);
    server.expire(T0 + 3600);
    assert_eq!(server.used(), 0);
    // Offered to another while it looked expired.
    assert_eq!(
        received(&discover(2).to(&mut server, T0 + 3600)).yiaddr,
        ip(2)
    );
    assert_eq!(answered(&mut server, select(2, ip(2)), T0), NAK);
    assert_eq!(answered(&mut server, renew(1, ip(2)), T0), ACK);
    assert_eq!(server.used(), 1);
}

#[test]
fn a_clock_set_back_does_not_lengthen_offers() {
    let mut server = server(config(2));
    received(&discover(1).to(&mut server, T0 + 3600));
    assert_eq!(received(&discover(2).to(&mut server, T0)).yiaddr, ip(2));
}

#[test]
fn leases_are_shown_in_the_order_of_their_addresses() {
    let mut server = loaded([
        record(3, 52, 0),
        record(1, 50, T0 + 10),
        record(2, 51, T0 - 10),
    ]);
    received(&discover(4).requested(ip(9)).to(&mut server, T0));
    let views: Vec<_> = server
        .leases(T0)
        .map(|v| (v.address, v.state, v.hostname))
        .collect();
    assert_eq!(
        views,
        [
            (ip(9), LeaseState::Offered, None),
            (ip(50), LeaseState::Bound, Some("db")),
            (ip(51), LeaseState::Expired, Some("db")),
            (ip(52), LeaseState::Bound, Some("db")),
        ]
    );
}
