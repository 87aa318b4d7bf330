//! What the program is told of changes that come one by one and at once.

use super::*;
use proptest::prelude::*;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 9);

fn holder(last: u8, name: &str, expiry: u64) -> Holder {
    Holder {
        mac: MacAddr(0x52, 0x54, 0, 0, 0, last),
        hostname: (!name.is_empty()).then(|| name.into()),
        client_id: None,
        expiry,
    }
}

/// All runs that are due: action, last byte of the MAC, name, old name.
fn runs(book: &mut Book) -> Vec<String> {
    std::iter::from_fn(|| book.next())
        .map(|call| match call {
            Call::Init => "init".to_owned(),
            Call::Lease(call) => {
                let name = call.holder.hostname.unwrap_or_default();
                let old = call.old_hostname.unwrap_or_default();
                let text = [
                    call.action.name(),
                    &call.holder.mac.5.to_string(),
                    &name,
                    &old,
                ];
                text.join(" ").trim_end().to_owned()
            }
        })
        .collect()
}

fn book() -> Book {
    let mut book = Book::new(false);
    assert_eq!(runs(&mut book), ["init"]);
    book
}

#[test]
fn a_lease_is_added_and_deleted() {
    let mut book = book();
    book.set(ADDRESS, Some(holder(1, "web", 10)), None);
    assert_eq!(runs(&mut book), ["add 1 web"]);
    book.set(ADDRESS, None, None);
    assert_eq!(runs(&mut book), ["del 1 web"]);
    assert!(book.lines.is_empty());
}

#[test]
fn a_renewal_alone_is_not_told_unless_asked_for() {
    let mut book = book();
    book.set(ADDRESS, Some(holder(1, "web", 10)), None);
    assert_eq!(runs(&mut book), ["add 1 web"]);
    book.set(ADDRESS, Some(holder(1, "web", 20)), None);
    assert_eq!(runs(&mut book), [""; 0]);
    book.set_on_renewal(true);
    book.set(ADDRESS, Some(holder(1, "web", 30)), None);
    assert_eq!(runs(&mut book), ["old 1 web"]);
}

#[test]
fn a_name_that_is_lost_is_told_before_the_new_one() {
    let mut book = book();
    book.set(ADDRESS, Some(holder(1, "web", 10)), None);
    runs(&mut book);
    book.set(ADDRESS, Some(holder(1, "db", 10)), None);
    assert_eq!(runs(&mut book), ["old 1  web", "old 1 db"]);
    book.set(ADDRESS, Some(holder(1, "", 10)), None);
    assert_eq!(runs(&mut book), ["old 1  db"]);
    book.set(ADDRESS, Some(holder(1, "db", 10)), None);
    assert_eq!(runs(&mut book), ["old 1 db"]);
}

#[test]
fn an_address_that_goes_to_another_is_deleted_first() {
    let mut book = book();
    book.set(ADDRESS, Some(holder(1, "web", 10)), None);
    runs(&mut book);
    book.set(ADDRESS, Some(holder(2, "db", 10)), None);
    assert_eq!(runs(&mut book), ["del 1 web", "add 2 db"]);
}

#[test]
fn a_client_that_moves_to_another_station_is_old() {
    let mut book = book();
    let at = |last, name, id: &[u8]| {
        let client_id = Some(id.into());
        let holder = holder(last, name, 10);
        Some(Holder {
            client_id,
            ..holder
        })
    };
    book.set(ADDRESS, at(1, "web", b"disk"), None);
    assert_eq!(runs(&mut book), ["add 1 web"]);
    book.set(ADDRESS, at(2, "web", b"disk"), None);
    assert_eq!(runs(&mut book), ["old 2 web"]);
    book.set(ADDRESS, at(3, "db", b"disk"), None);
    assert_eq!(runs(&mut book), ["old 3  web", "old 3 db"]);
    book.set(ADDRESS, at(4, "db", b"other"), None);
    assert_eq!(runs(&mut book), ["del 3 db", "add 4 db"]);
}

#[test]
fn what_changes_while_it_waits_is_told_once() {
    let mut book = book();
    book.set(ADDRESS, Some(holder(1, "web", 10)), None);
    book.set(ADDRESS, Some(holder(1, "db", 20)), None);
    assert_eq!(book.len(), 1);
    assert_eq!(runs(&mut book), ["add 1 db"]);
    // Back to what it was: nothing is to be told.
    book.set(ADDRESS, None, None);
    book.set(ADDRESS, Some(holder(1, "db", 30)), None);
    assert_eq!(runs(&mut book), [""; 0]);
    assert_eq!(book.merged(), 2);
}

#[test]
fn leases_that_are_there_are_old_and_those_that_ran_out_are_deleted() {
    let mut book = Book::new(false);
    book.restate(ADDRESS, holder(1, "web", 10), true);
    let other = Ipv4Addr::new(192, 168, 122, 10);
    book.restate(other, holder(2, "", 1), false);
    assert_eq!(runs(&mut book), ["init", "old 1 web", "del 2"]);
    book.restate(ADDRESS, holder(1, "web", 20), true);
    assert_eq!(runs(&mut book), ["old 1 web"]);
}

#[test]
fn what_the_client_said_is_told_with_the_run_that_it_led_to() {
    let mut book = book();
    let data = Arc::new(ClientData::default());
    book.set(ADDRESS, Some(holder(1, "", 10)), Some(&data));
    let told = |book: &mut Book| match book.next() {
        Some(Call::Lease(call)) => (call.action, call.data.is_some()),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&mut book), (Action::Add, true));
    book.taken_up(ADDRESS, &data);
    assert_eq!(told(&mut book), (Action::Old, true));
    book.restate(ADDRESS, holder(1, "", 10), true);
    assert_eq!(told(&mut book), (Action::Old, false));
    assert_eq!(book.next(), None);
}

proptest! {
    #[test]
    fn the_program_knows_in_the_end_what_is_and_the_book_stays_small(
        steps in prop::collection::vec((0..6u8, 0..3u8, 0..3usize, 0..4u8), 0..400),
    ) {
        let mut book = Book::new(false);
        let mut is: HashMap<Ipv4Addr, Holder> = HashMap::new();
        let mut known: HashMap<Ipv4Addr, (MacAddr, Option<Box<str>>)> = HashMap::new();
        let mut hear = |book: &mut Book, most: usize| {
            for _ in 0..most {
                let Some(call) = book.next() else { break };
                let Call::Lease(call) = call else { continue };
                let new = (call.holder.mac, call.holder.hostname.clone());
                let before = known.remove(&call.address);
                match call.action {
                    Action::Add => assert_eq!(before, None),
                    Action::Old => assert_eq!(before.map(|(mac, _)| mac), Some(new.0)),
                    _ => assert_eq!(before.map(|(mac, _)| mac), Some(new.0)),
                }
                if call.action != Action::Del {
                    known.insert(call.address, new);
                }
            }
            known.clone()
        };
        for (last, client, name, most) in steps {
            let address = Ipv4Addr::new(10, 0, 0, last);
            let holder = holder(client, ["", "a", "b"][name], 10);
            if client == 0 {
                is.remove(&address);
                book.set(address, None, None);
            } else {
                is.insert(address, holder.clone());
                book.set(address, Some(holder), None);
            }
            prop_assert!(book.lines.len() <= 6 && book.waiting.len() <= 76);
            hear(&mut book, most.into());
        }
        let knows = hear(&mut book, usize::MAX);
        let is: HashMap<_, _> =
            is.into_iter().map(|(a, h)| (a, (h.mac, h.hostname))).collect();
        prop_assert_eq!(knows, is);
    }
}
