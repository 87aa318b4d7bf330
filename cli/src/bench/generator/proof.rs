//! The check at the end of a run: frames of many lengths and contents, few at a
//! time, so that none may be lost; each has to arrive once, in order, byte by
//! byte, where it belongs and nowhere else.

use super::Wrong;
use super::frame::{EVERYONE, SALTS, Shape, TAG, Template};
use super::guest::Guest;
use super::inbox::{Count, Depth, Inbox};
use super::traffic::Flow;
use crate::bench::interrupt;
use anyhow::{Context as _, Result, ensure};
use std::time::{Duration, Instant};

/// Frames of each flow.
const FRAMES: u16 = 256;
/// Frames that are under way at a time, at most.
const WINDOW: u16 = 16;
/// Bytes that are under way at a time, if it is more than one frame: no more
/// than the smallest receive buffer of a socket takes.
const WINDOW_BYTES: u64 = 32 << 10;
/// How long a window may take: a frame that is not there by then is lost.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long is waited for frames that should not come.
const SILENCE: Duration = Duration::from_millis(40);

/// Sends over each of `flows`, frames of up to the length that its shape has.
///
/// # Errors
/// A frame was [`Wrong`] or lost.
pub(crate) fn prove(guests: &[Guest], flows: &[Flow], sequence: &mut u64) -> Result<()> {
    let frames = (FRAMES / u16::try_from(flows.len()).unwrap_or(FRAMES)).max(WINDOW);
    for flow in flows {
        let guest = guests
            .get(usize::from(flow.from))
            .context("no such guest")?;
        let mut inbox = Inbox::new(guests);
        let mut sent = Count::default();
        let copies = match flow.to {
            EVERYONE => guests.len() as u64 - 1,
            _ => 1,
        };
        let mut arrived = Count::default();
        for number in 0..frames {
            let salt = number.wrapping_mul(97) % SALTS;
            let shape = vary(flow.shape, number, frames);
            let mut template = Template::new(flow.from, flow.to, shape, salt);
            template.number(*sequence);
            *sequence += 1;
            guest.send(&template)?;
            sent.add(template.payload());
            if sent.frames - arrived.frames >= WINDOW.into()
                || sent.bytes - arrived.bytes >= WINDOW_BYTES
                || number == frames - 1
            {
                await_all(&mut inbox, sent, copies)?;
                arrived = sent;
            }
        }
        // Nothing more may come, to nobody.
        let end = Instant::now() + SILENCE;
        while Instant::now() < end {
            inbox.turn(SILENCE / 4, Depth::Full, |_| true)?;
        }
        ensure!(
            inbox.total().bytes == sent.bytes * copies,
            Wrong("more arrived than was sent".to_owned())
        );
    }
    Ok(())
}

/// Frame `number` of `frames`: from the shortest to the longest, so that odd
/// lengths come too.
fn vary(shape: Shape, number: u16, frames: u16) -> Shape {
    let spread = |least: usize, most: usize| {
        least + (most - least) * usize::from(number) / usize::from(frames - 1).max(1)
    };
    match shape {
        Shape::Plain(most) => Shape::Plain(spread(60, most)),
        Shape::Super(most) => Shape::Super(spread(TAG + 64, most)),
    }
}

fn await_all(inbox: &mut Inbox<'_>, sent: Count, copies: u64) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while inbox.total().bytes < sent.bytes * copies {
        interrupt::check()?;
        ensure!(
            Instant::now() < end,
            Wrong(format!(
                "of {} frames sent one by one, {} of {} bytes arrived",
                sent.frames,
                inbox.total().bytes,
                sent.bytes * copies
            ))
        );
        inbox.turn(Duration::from_millis(20), Depth::Full, |_| true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lengths_from_the_shortest_to_the_longest_are_sent() {
        assert_eq!(vary(Shape::Plain(1514), 0, 256), Shape::Plain(60));
        assert_eq!(vary(Shape::Plain(1514), 255, 256), Shape::Plain(1514));
        assert_eq!(vary(Shape::Plain(60), 9, 16), Shape::Plain(60));
        assert_eq!(vary(Shape::Super(65_160), 15, 16), Shape::Super(65_160));
    }
}
