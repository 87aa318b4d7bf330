//! Address caching capacity (RFC 2889 §5.6) and learning rate (§5.7): guests
//! send as stations with many addresses, then another one asks for each. What
//! the switch floods, and so a bystander gets, it does not know.

use super::Place;
use crate::bench::generator::Wrong;
use crate::bench::generator::bed::Bed;
use crate::bench::generator::frame::{EVERYONE, Mac, Shape, Template, guest_mac};
use crate::bench::generator::inbox::{Depth, Inbox};
use crate::bench::interrupt::wait_for;
use crate::bench::peer::vmlan::FDB_SIZE;
use crate::bench::result::{Reading, Recorder, Unit};
use anyhow::{Context as _, Result, ensure};
use std::time::{Duration, Instant};

/// Frames under way while the bench only wants to know what is known.
const CAREFUL: u32 = 32;
/// Frames under way while the rate counts: as many as any queue takes.
const BRISK: u32 = 256;
/// How long a window of frames may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Stations that are behind the same guest.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// The guest.
    guest: u8,
    /// The first station's number.
    first: u32,
    count: u32,
}

/// More stations than a table of the usual size holds, spread over six guests:
/// a port may have a share only.
pub(super) fn caching(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    const LEARNERS: u8 = 6;
    let each = FDB_SIZE * 5 / 4 / u32::from(LEARNERS);
    let blocks: Vec<_> = (0..LEARNERS)
        .map(|guest| Block {
            guest,
            first: u32::from(guest) * each,
            count: each,
        })
        .collect();
    let mut bed = Bed::new(place.lab, recorder.peer, usize::from(LEARNERS) + 2)?;
    let asked = each * u32::from(LEARNERS);
    let mut unknown = 0;
    recorder.case("stations", || {
        for block in &blocks {
            teach(&mut bed, *block, LEARNERS, CAREFUL)?;
        }
        for block in &blocks {
            unknown += ask(&mut bed, *block, LEARNERS, LEARNERS + 1, station)?;
        }
        // The guests are stations too; the one that asks is known for sure.
        let mut known = u64::from(asked) - unknown + 1;
        for guest in (0..=LEARNERS + 1).filter(|guest| *guest != LEARNERS) {
            let one = Block {
                guest,
                first: 0,
                count: 1,
            };
            let bystander = if guest == 0 { 1 } else { 0 };
            known += 1 - ask(&mut bed, one, LEARNERS, bystander, |_| {
                guest_mac(guest.into())
            })?;
        }
        Ok(vec![Reading::new("held", known as f64, Unit::Stations)])
    })?;
    if unknown == 0 {
        recorder.note(format!(
            "{} knew all {asked} stations that were tried: it may hold more",
            recorder.peer
        ));
    }
    Ok(())
}

/// New stations, as fast as the switch forwards their first frames.
pub(super) fn learning(place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
    let block = Block {
        guest: 0,
        first: 0,
        count: FDB_SIZE / 2,
    };
    let mut bed = Bed::new(place.lab, recorder.peer, 3)?;
    recorder.case("new stations", || {
        let start = Instant::now();
        teach(&mut bed, block, 1, BRISK)?;
        let seconds = start.elapsed().as_secs_f64();
        let learned = u64::from(block.count) - ask(&mut bed, block, 1, 2, station)?;
        Ok(vec![Reading::new(
            "learned",
            learned as f64 / seconds / 1e6,
            Unit::MegaStations,
        )])
    })
}

/// Has the stations of `block` send one frame each to the guest `to`.
fn teach(bed: &mut Bed, block: Block, to: u8, window: u32) -> Result<()> {
    let (guests, sequence) = bed.parts();
    let guest = guests
        .get(usize::from(block.guest))
        .context("no such guest")?;
    let mut inbox = Inbox::new(guests);
    let mut template = Template::new(block.guest, to, Shape::Plain(60), 0);
    for number in 0..block.count {
        template.set_source(station(block.first + number));
        *sequence += 1;
        template.number(*sequence);
        guest.send(&template)?;
        await_window(&mut inbox, number, block.count, window, to.into())?;
    }
    Ok(())
}

/// Has the guest `from` send one frame to each of the stations of `block`, whose
/// MACs `mac` gives by their numbers. Gives the number of those frames that the
/// guest `bystander` got as well.
fn ask(
    bed: &mut Bed,
    block: Block,
    from: u8,
    bystander: u8,
    mac: impl Fn(u32) -> Mac,
) -> Result<u64> {
    let (guests, sequence) = bed.parts();
    let guest = guests.get(usize::from(from)).context("no such guest")?;
    let mut inbox = Inbox::new(guests);
    // Whoever gets it may have it: it is flooded where the switch has to.
    let mut template = Template::new(from, EVERYONE, Shape::Plain(60), 0);
    for number in 0..block.count {
        template.set_destination(mac(block.first + number));
        *sequence += 1;
        template.number(*sequence);
        guest.send(&template)?;
        await_window(&mut inbox, number, block.count, CAREFUL, block.guest.into())?;
    }
    while inbox.turn(Duration::from_millis(60), Depth::Full, |_| true)? {}
    let flooded = inbox.count(bystander.into()).frames;
    ensure!(
        flooded <= block.count.into(),
        Wrong("more frames were flooded than sent".to_owned())
    );
    Ok(flooded)
}

/// Behind the last frame of a window, waits until the guest `receiver` has got
/// all frames so far.
fn await_window(
    inbox: &mut Inbox<'_>,
    number: u32,
    count: u32,
    window: u32,
    receiver: usize,
) -> Result<()> {
    let sent = number + 1;
    if !sent.is_multiple_of(window) && sent != count {
        return Ok(());
    }
    wait_for("frames of new stations", PATIENCE, || {
        while inbox.count(receiver).frames < sent.into() {
            if !inbox.turn(Duration::from_millis(20), Depth::Full, |_| true)? {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
}

/// The MAC of station `number`: locally administered, no guest's.
fn station(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    [0x02, 0x76, a, b, c, d]
}
