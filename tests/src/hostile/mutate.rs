//! Spoils bytes: flips, truncations, lengths that lie, parts that move.

use fastrand::Rng;

/// Values at which lengths and offsets go wrong.
const EDGES: [u16; 14] = [
    0, 1, 7, 8, 0x14, 0x3f, 0x40, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff,
];

/// One of the values at which lengths and offsets go wrong.
pub fn edge(rng: &mut Rng) -> u16 {
    rng.choice(EDGES).unwrap_or_default()
}

/// A position in `len` bytes, most often in the headers; `None` if there is
/// none.
fn position(rng: &mut Rng, len: usize) -> Option<usize> {
    let within = if rng.u8(..4) == 0 { len } else { len.min(128) };
    (within > 0).then(|| rng.usize(..within))
}

/// Spoils `bytes` in one to four ways; they stay within `longest` bytes.
pub fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, longest: usize) {
    for _ in 0..rng.usize(1..=4) {
        let Some(at) = position(rng, bytes.len()) else {
            return insert(rng, bytes, 0, longest);
        };
        match rng.u8(..10) {
            0..=2 => put(bytes, at, |byte| byte ^ (1 << rng.u8(..8))),
            3 => put(bytes, at, |_| rng.u8(..)),
            4 | 5 => {
                // A length that is nearly right goes past more checks.
                let near = u16::try_from(bytes.len() - at).unwrap_or(u16::MAX);
                let value = match rng.u8(..3) {
                    0 => near.wrapping_add(rng.u16(..5)).wrapping_sub(2),
                    _ => edge(rng),
                };
                for (i, byte) in value.to_be_bytes().into_iter().enumerate() {
                    put(bytes, at + i, |_| byte);
                }
            }
            6 => bytes.truncate(at),
            7 => insert(rng, bytes, at, longest),
            8 => {
                let end = (at + rng.usize(1..=40)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + rng.usize(1..=40)).min(bytes.len());
                if bytes.len() + (end - at) <= longest {
                    bytes.extend_from_within(at..end);
                }
            }
        }
    }
}

fn put(bytes: &mut [u8], at: usize, change: impl FnOnce(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = change(*byte);
    }
}

fn insert(rng: &mut Rng, bytes: &mut Vec<u8>, at: usize, longest: usize) {
    let mut more = [0; 64];
    rng.fill(&mut more);
    let len = rng.usize(1..=more.len());
    if bytes.len() + len <= longest {
        bytes.splice(at..at, more.into_iter().take(len));
    }
}
