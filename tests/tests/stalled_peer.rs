//! A peer that stops reading costs nobody but itself.

use anyhow::{Context, Result, anyhow, ensure};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::frame::{BROADCAST, long, plain, station};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::station::Station;
use vmlan_tests::stream_peer::StreamPeer;
use vmlan_tests::switch::{ISOLATED, Switch, packets, taps};
use vmlan_tests::transfer;
use vmlan_tests::vmm::Vmm;
use vmlan_tests::wait;

const MINUTES: Duration = Duration::from_secs(120);

/// Two containers that talk, and what is about them.
struct Talkers {
    one: Namespace,
    two: Namespace,
    address: Ipv4Addr,
}

impl Talkers {
    fn new(switch: &Switch) -> Result<Self> {
        let one = switch.container("c1", "52:54:00:00:05:01")?;
        let two = switch.container("c2", "52:54:00:00:05:02")?;
        udhcpc(&one, "")?;
        let address = udhcpc(&two, "")?.address;
        Ok(Self { one, two, address })
    }

    /// Every ping of 100 is answered, and 100 MiB arrive as they were sent.
    fn talk(&self) -> Result<()> {
        let pings = self
            .one
            .shell(
                &format!("ping -q -c 100 -i 0.01 -W 5 {}", self.address),
                Duration::from_secs(30),
            )?
            .success()?;
        ensure!(pings.contains("100 received"), "{pings}");
        transfer::tcp(&self.one, &self.two, self.address, 100, MINUTES).map(drop)
    }
}

/// Calls `send` again and again, 16 times each millisecond, for as long as
/// `meanwhile` takes: what nobody reads keeps coming in.
fn feed_during(
    send: impl Fn(u16) -> Result<()> + Sync,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for number in 0..16 {
                    send(number)?;
                }
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        let result = meanwhile();
        ensure!(!feeding.is_finished(), "the feeder has failed meanwhile");
        over.store(true, Ordering::Relaxed);
        let fed = feeding.join().map_err(|_| anyhow!("panic in the feeder"))?;
        result.and(fed)
    })
}

#[test]
fn a_vmm_that_stops_reading_its_tap_does_not_slow_two_others() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1", "c2"]) + &packets(&["vm0", "vm1"]);
    let mut switch = Switch::prepare(&config)?;
    let stalled = Vmm::new(&switch.namespace, "vm0")?;
    let feeder = Vmm::new(&switch.namespace, "vm1")?;
    switch.launch()?;
    let talkers = Talkers::new(&switch)?;

    // From here on nobody reads `stalled`, which is sent far more than its
    // queue holds, by its address and by broadcast.
    stalled.send(&plain(BROADCAST, station(1), 0))?;
    wait::until("the stalled station", wait::SOON, || {
        switch.station("52:54:00:00:00:01")
    })?;
    for number in 0..20_000 {
        feeder.send(&plain(station(1), station(2), number))?;
        if number % 16 == 0 {
            feeder.send(&plain(BROADCAST, station(2), number))?;
        }
    }
    feed_during(
        |number| feeder.send(&plain(station(1), station(2), number)),
        || talkers.talk(),
    )?;
    switch.alive()?;

    // It is still served once it reads again.
    let last = plain(station(1), station(2), 65_535);
    wait::until("a frame after the stall", wait::SOON, || {
        feeder.send(&last)?;
        stalled.receive_within("the last", Duration::from_millis(200), |got| got == last)
    })?;
    Ok(())
}

#[test]
fn a_stream_peer_that_stops_reading_does_not_slow_two_others() -> Result<()> {
    let config = ISOLATED.to_owned() + &taps(&["c1", "c2"]) + &packets(&["vm1"]);
    let mut switch = Switch::prepare(&config)?;
    let feeder = Vmm::new(&switch.namespace, "vm1")?;
    switch.launch()?;
    let talkers = Talkers::new(&switch)?;
    let mut stalled = StreamPeer::connect(&switch.run_file("vm.sock"))?;
    stalled.send(&plain(BROADCAST, station(1), 0))?;
    wait::until("the stalled station", wait::SOON, || {
        switch.station("52:54:00:00:00:01")
    })?;

    // 90 MB, more than any queue should hold.
    let memory = switch.memory()?;
    for number in 0..60_000 {
        feeder.send(&long(station(1), station(2), number))?;
    }
    feed_during(
        |number| feeder.send(&long(station(1), station(2), number)),
        || talkers.talk(),
    )?;
    let dropped = wait::until("drops for the stalled port", wait::SOON, || {
        let port = switch.port("stream0")?;
        port["tx"]["drops"]["egress-full"]
            .as_u64()
            .with_context(|| port.to_string())
    })?;
    assert!(dropped > 0);
    // What waits for it is bounded.
    let grown = switch.memory()?.saturating_sub(memory);
    assert!(grown < 32 * 1024, "{grown} KiB");

    // It is still served once it reads again, with whole frames.
    let last = plain(station(1), station(2), 65_535);
    stalled.receive("a frame that waited", |got| got.len() == 1514)?;
    feeder.send(&last)?;
    stalled.receive("the last", |got| got == last)?;
    Ok(())
}
