//! Which transfers run, and whether one more may.
//!
//! Anybody can send a request in another's name. So a transfer that nobody has
//! acknowledged anything of yet gives way to a new one when there are as many
//! as may be, or when its client asks for something else from the same port;
//! those that a client takes part in stay.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::AbortHandle;

/// Transfers at a time, in all.
const MAX: usize = 128;
/// Transfers at a time of one client address.
const MAX_PER_CLIENT: usize = 16;

/// The transfers that run, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Slots {
    next: u64,
    transfers: BTreeMap<u64, Slot>,
}

#[derive(Debug)]
struct Slot {
    client: SocketAddrV4,
    /// Its request, as it came.
    request: Box<[u8]>,
    heard: Heard,
    task: Option<AbortHandle>,
}

/// Whether the client of a transfer has acknowledged anything.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether a request may have a transfer.
#[derive(Debug)]
pub(super) enum Admission {
    /// It has this one.
    Slot(u64, Heard),
    /// It came before, and its answer is under way.
    Repeated,
    /// There are as many as may be: of this client, or in all.
    Full,
}

impl Slots {
    /// Admits a request of `client`, the packet `request`, or not. One that
    /// nobody has acknowledged an answer of gives way to another request from
    /// the same port: its client has gone on to that.
    pub(super) fn admit(&mut self, client: SocketAddrV4, request: &[u8]) -> Admission {
        let unheard = |slot: &Slot| !slot.heard.get();
        let mut all = self.transfers.iter();
        let waiting = all.find(|(_, slot)| slot.client == client && unheard(slot));
        if let Some((&id, slot)) = waiting {
            if *slot.request == *request {
                return Admission::Repeated;
            }
            self.end(id);
        }
        let own = |slot: &Slot| slot.client.ip() == client.ip();
        let crowded = self.transfers.values().filter(|slot| own(slot)).count() >= MAX_PER_CLIENT;
        if crowded || self.transfers.len() >= MAX {
            let gives_way = |slot: &Slot| unheard(slot) && (!crowded || own(slot));
            let oldest = self.transfers.iter().find(|(_, slot)| gives_way(slot));
            let Some(id) = oldest.map(|(id, _)| *id) else {
                return Admission::Full;
            };
            self.end(id);
        }
        let id = self.next;
        self.next += 1;
        let heard = Heard::default();
        let slot = Slot {
            client,
            request: request.into(),
            heard: heard.clone(),
            task: None,
        };
        self.transfers.insert(id, slot);
        Admission::Slot(id, heard)
    }

    /// Ends the transfer `id` before its time.
    fn end(&mut self, id: u64) {
        if let Some(task) = self.transfers.remove(&id).and_then(|slot| slot.task) {
            task.abort();
        }
    }

    /// The transfer `id` is run by `task`.
    pub(super) fn run_by(&mut self, id: u64, task: AbortHandle) {
        if let Some(slot) = self.transfers.get_mut(&id) {
            slot.task = Some(task);
        }
    }

    /// The transfer `id` is over.
    pub(super) fn free(&mut self, id: u64) {
        self.transfers.remove(&id);
    }

    pub(super) fn len(&self) -> usize {
        self.transfers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn client(address: u32, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::from_bits(0x0a00_0000 + address), port)
    }

    const REQUEST: &[u8] = b"\0\x01boot\0octet\0";

    /// The transfer that a request of `client` gets.
    fn admitted(slots: &mut Slots, client: SocketAddrV4) -> (u64, Heard) {
        match slots.admit(client, REQUEST) {
            Admission::Slot(id, heard) => (id, heard),
            other => panic!("{client}: {other:?}"),
        }
    }

    #[test]
    fn a_repeated_request_is_known_until_its_answer_is_acknowledged() {
        let mut slots = Slots::default();
        let (_, heard) = admitted(&mut slots, client(1, 2070));
        assert!(matches!(
            slots.admit(client(1, 2070), REQUEST),
            Admission::Repeated
        ));
        // Another program of the client.
        admitted(&mut slots, client(1, 2071));
        // A boot ROM that starts anew uses the same port again.
        heard.set();
        admitted(&mut slots, client(1, 2070));
        assert_eq!(slots.len(), 3);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn another_request_from_a_port_takes_the_place_of_one_that_nobody_has_answered() {
        let mut slots = Slots::default();
        let (probe, _) = admitted(&mut slots, client(1, 2070));
        let task = tokio::spawn(std::future::pending::<()>());
        slots.run_by(probe, task.abort_handle());
        for request in [
            &b"\0\x01boot\0octet\0tsize\x000\0"[..],
            b"\0\x01other\0octet\0",
        ] {
            let admission = slots.admit(client(1, 2070), request);
            assert!(matches!(admission, Admission::Slot(..)), "{admission:?}");
            let again = slots.admit(client(1, 2070), request);
            assert!(matches!(again, Admission::Repeated), "{again:?}");
            assert_eq!(slots.len(), 1);
        }
        assert!(task.await.unwrap_err().is_cancelled());
    }

    #[test]
    fn one_client_has_its_share_alone() {
        let mut slots = Slots::default();
        let mut ids = Vec::new();
        for port in (1..).take(MAX_PER_CLIENT) {
            let (id, heard) = admitted(&mut slots, client(1, port));
            heard.set();
            ids.push(id);
        }
        assert!(matches!(
            slots.admit(client(1, 999), REQUEST),
            Admission::Full
        ));
        admitted(&mut slots, client(2, 999));
        slots.free(ids[3]);
        admitted(&mut slots, client(1, 999));
    }

    #[test]
    fn requests_in_the_names_of_others_do_not_keep_a_client_out() {
        let mut slots = Slots::default();
        for n in 0..1000 {
            admitted(&mut slots, client(n, 7));
            assert!(slots.len() <= MAX);
        }
        let (id, heard) = admitted(&mut slots, client(5000, 7));
        heard.set();
        for n in 0..1000 {
            admitted(&mut slots, client(n + 6000, 7));
        }
        assert!(slots.transfers.contains_key(&id));
    }

    #[test]
    fn those_that_clients_take_part_in_stay() {
        let mut slots = Slots::default();
        for n in (0..).take(MAX) {
            admitted(&mut slots, client(n, 7)).1.set();
        }
        assert!(matches!(
            slots.admit(client(9999, 7), REQUEST),
            Admission::Full
        ));
        assert_eq!(slots.len(), MAX);
    }
}
