//! What the switch's threads have noticed, as events.

use super::super::api::Shared;
use super::Events;
use super::drops::{Change, Drops, INTERVAL};
use super::fold::{Fold, Folded, Noted};
use crate::config::PortName;
use crate::daemon::network::Network;
use crate::events::Event;
use pnet_base::MacAddr;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::net::unix::pipe;
use tokio::time::{sleep, sleep_until};
use vmlan_dataplane::control::Switch;
use vmlan_dataplane::notice::{Claimed, Moved};
use vmlan_dataplane::table::PortId;

/// How long moves of one station are folded.
const MOVES: Duration = Duration::from_secs(10);
/// How long claims of one address are.
const CLAIMS: Duration = Duration::from_secs(60);
/// How long it is until a full table is told of again.
const FULL: Duration = Duration::from_secs(60);

/// What is known of what the switch has noticed.
#[derive(Debug)]
struct Watch {
    moves: Fold<(MacAddr, u16), Moved>,
    claims: Fold<Ipv4Addr, Claimed>,
    full: Fold<(), ()>,
    uncounted: Fold<(), ()>,
    /// Stations that were refused by the MAC table, as last seen.
    refused: u64,
    drops: Drops,
}

/// Tells of what the switch notices, for as long as it is polled. While nothing
/// happens it sleeps.
///
/// # Errors
/// The switch cannot be listened to.
pub(in crate::daemon) async fn watch(network: Shared) -> io::Result<()> {
    let (switch, events) = {
        let network = network.lock().await;
        (network.switch.clone(), network.events.clone())
    };
    let wakes = pipe::Receiver::from_owned_fd(switch.notices().wakes()?)?;
    let mut watch = Watch::new(Instant::now());
    loop {
        match watch.due(Instant::now()) {
            Some(due) => tokio::select! {
                woken = woken(&wakes) => woken?,
                () = sleep_until(due.into()) => {}
            },
            None => woken(&wakes).await?,
        }
        switch.notices().listen();
        watch.look(&*network.lock().await, &switch, &events, Instant::now());
        // Whatever comes meanwhile comes together.
        sleep(INTERVAL).await;
    }
}

/// Waits until there is something to see.
async fn woken(wakes: &pipe::Receiver) -> io::Result<()> {
    loop {
        wakes.readable().await?;
        match wakes.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read.map(drop),
        }
    }
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self {
            moves: Fold::new(MOVES),
            claims: Fold::new(CLAIMS),
            full: Fold::new(FULL),
            uncounted: Fold::new(MOVES),
            refused: 0,
            drops: Drops::new(now),
        }
    }

    /// When to look though nothing new is noticed.
    fn due(&self, now: Instant) -> Option<Instant> {
        let sample = self.drops.is_over().then_some(now);
        [
            self.moves.due(),
            self.claims.due(),
            self.full.due(),
            self.uncounted.due(),
            sample,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn look(&mut self, network: &Network, switch: &Switch, events: &Events, now: Instant) {
        let names = Names(network);
        self.look_at_moves(switch, &names, events, now);
        self.look_at_claims(switch, &names, events, now);
        let size = network.config.switch.fdb_size;
        self.look_at_table(switch, size, events, now);
        // It fails only when the switch has stopped, and the program ends.
        let counted = switch.counters().unwrap_or_default();
        let threshold = network.config.events.drops;
        for change in self.drops.sample(&counted, threshold, now) {
            events.tell(drops(change, &names));
        }
    }

    fn look_at_moves(&mut self, switch: &Switch, names: &Names<'_>, events: &Events, now: Instant) {
        let mut uncounted = switch.notices().missed_moves();
        for moved in switch.notices().moves() {
            match self.moves.note((moved.mac, moved.vlan), moved, 1, now) {
                Noted::First => events.tell(names.moved(moved)),
                Noted::Folded => {}
                Noted::NoRoom => uncounted += 1,
            }
        }
        for folded in self.moves.over(now) {
            events.tell(names.flapping(folded));
        }
        if uncounted > 0 && self.uncounted.note((), (), uncounted, now) == Noted::First {
            events.tell(Event::MovesUncounted { moves: uncounted });
        }
        for folded in self.uncounted.over(now) {
            events.tell(Event::MovesUncounted {
                moves: folded.times,
            });
        }
    }

    fn look_at_claims(
        &mut self,
        switch: &Switch,
        names: &Names<'_>,
        events: &Events,
        now: Instant,
    ) {
        for claimed in switch.notices().claims() {
            if self.claims.note(claimed.address, claimed, 1, now) == Noted::First {
                events.tell(names.conflict(claimed, 1));
            }
        }
        for folded in self.claims.over(now) {
            events.tell(names.conflict(folded.last, folded.times));
        }
    }

    fn look_at_table(&mut self, switch: &Switch, size: usize, events: &Events, now: Instant) {
        let (refused, size) = (switch.fdb_refused(), size as u64);
        let more = refused.saturating_sub(std::mem::replace(&mut self.refused, refused));
        if more > 0 && self.full.note((), (), more, now) == Noted::First {
            events.tell(Event::FdbFull {
                size,
                refused: more,
            });
        }
        for folded in self.full.over(now) {
            let refused = folded.times;
            events.tell(Event::FdbFull { size, refused });
        }
    }
}

/// The ports' names.
struct Names<'n>(&'n Network);

impl Names<'_> {
    /// The name of a port, or its number once it is gone.
    fn of(&self, id: PortId) -> String {
        let name: Option<PortName> = self.0.ports.by_id(id);
        name.map_or_else(|| format!("#{} (gone)", id.0), |name| name.to_string())
    }

    fn moved(&self, moved: Moved) -> Event {
        Event::StationMoved {
            mac: moved.mac,
            vlan: moved.vlan,
            from: self.of(moved.from),
            to: self.of(moved.to),
        }
    }

    fn flapping(&self, folded: Folded<(MacAddr, u16), Moved>) -> Event {
        let last = folded.last;
        if folded.times == 1 {
            return self.moved(last);
        }
        Event::StationFlapping {
            mac: last.mac,
            vlan: last.vlan,
            ports: [self.of(last.from), self.of(last.to)],
            moves: folded.times,
            seconds: folded.lasted.as_secs(),
        }
    }

    fn conflict(&self, claimed: Claimed, times: u64) -> Event {
        Event::AddressConflict {
            address: claimed.address,
            macs: [claimed.holder, claimed.by],
            port: self.of(claimed.port),
            times,
        }
    }
}

fn drops(change: Change, names: &Names<'_>) -> Event {
    match change {
        Change::Began {
            which: (port, direction, reason),
            rate,
        } => Event::DropsBegan {
            port: names.of(port),
            direction: direction.name().to_owned(),
            reason: reason.name().to_owned(),
            rate,
        },
        Change::Ended {
            which: (port, direction, reason),
            frames,
            lasted,
        } => Event::DropsEnded {
            port: names.of(port),
            direction: direction.name().to_owned(),
            reason: reason.name().to_owned(),
            frames,
            seconds: lasted.as_secs(),
        },
    }
}
