//! The Internet checksum (RFC 1071), and the CRC32c that SCTP has instead.

use super::transport::SCTP_CHECKSUM;
use std::ops::Add;

/// A partial sum, over data that starts an even number of bytes into the whole.
///
/// One's complement sums are the same in either byte order and in any word
/// size (RFC 1071 §2 B and C), so this one is kept in the host's order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

/// Sums `bytes`, with a zero byte thought behind an odd one.
#[must_use]
pub fn sum(bytes: &[u8]) -> Sum {
    // Eight independent lanes: the compiler makes them vector registers. Words
    // of 32 bits in 64 leave room for a slice of 16 GB.
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0_u64; 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let (words, rest) = rest.as_chunks::<4>();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let ends = words.iter().chain(std::iter::once(&last));
    let ends: u64 = ends.map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    Sum(u64::from(fold(ends + lanes.iter().sum::<u64>())))
}

/// The four 16-bit words of `sum`, added with end-around carry.
fn fold(sum: u64) -> u16 {
    let bytes = sum.to_ne_bytes();
    let (words, _) = bytes.as_chunks::<2>();
    words.iter().fold(0_u16, |folded, word| {
        let (folded, carry) = folded.overflowing_add(u16::from_ne_bytes(*word));
        folded + u16::from(carry)
    })
}

impl Sum {
    /// The 16-bit one's complement sum.
    #[must_use]
    pub fn folded(self) -> u16 {
        u16::from_be(fold(self.0))
    }

    /// The checksum: the complement of [`Sum::folded`].
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }

    /// The checksum where a field of 0 means "none", as in UDP (RFC 768): 0
    /// becomes 0xffff, the other zero of one's complement.
    #[must_use]
    pub fn checksum_not_zero(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

impl Add for Sum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        // Each is made of 16-bit values: this cannot reach 2^64.
        Self(self.0 + other.0)
    }
}

impl From<u16> for Sum {
    /// The sum of the two bytes that `word` is on the wire.
    fn from(word: u16) -> Self {
        Self(u64::from(word.to_be()))
    }
}

impl From<u32> for Sum {
    /// The sum of the four bytes that `words` is on the wire.
    fn from(words: u32) -> Self {
        Self(u64::from(fold(u64::from(words.to_be()))))
    }
}

/// The checksum over `frame` from `start` to its end that is to be written
/// `offset` bytes behind `start`, where the pseudo-header's sum stands until
/// then (virtio 1.2 §5.1.6.2). `None` when the field is outside the frame.
///
/// It is never 0, whatever the protocol: 0xffff is as good for those that know
/// no "none", and this is also what Linux does (`skb_checksum_help`).
#[must_use]
pub fn field(frame: &[u8], start: usize, offset: usize) -> Option<u16> {
    let data = frame.get(start..)?;
    data.get(offset..)?.first_chunk::<2>()?;
    Some(sum(data).checksum_not_zero())
}

/// Writes [`field`] into `frame`. Says whether the field is inside it.
#[must_use]
pub fn complete(frame: &mut [u8], start: usize, offset: usize) -> bool {
    let checksum = field(frame, start, offset);
    let place = frame
        .get_mut(start..)
        .and_then(|data| data.get_mut(offset..))
        .and_then(<[u8]>::first_chunk_mut::<2>);
    match (place, checksum) {
        (Some(place), Some(checksum)) => {
            *place = checksum.to_be_bytes();
            true
        }
        _ => false,
    }
}

/// The CRC32c over `frame` from the SCTP header at `start` to its end, as the
/// field [`SCTP_CHECKSUM`] bytes behind `start` holds it (RFC 9260 appendix A);
/// what stands there counts as 0. `None` when the field is outside the frame.
#[must_use]
pub fn crc32c_field(frame: &[u8], start: usize) -> Option<[u8; 4]> {
    let (before, rest) = frame.get(start..)?.split_at_checked(SCTP_CHECKSUM)?;
    let (_, behind) = rest.split_first_chunk::<4>()?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
    Some(crc32c::crc32c_append(crc, behind).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 §1, word by word.
    fn reference(bytes: &[u8]) -> u16 {
        let mut total = 0_u32;
        for pair in bytes.chunks(2) {
            let word = [pair[0], pair.get(1).copied().unwrap_or(0)];
            total += u32::from(u16::from_be_bytes(word));
            total = (total & 0xffff) + (total >> 16);
        }
        u16::try_from(total).unwrap()
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&data).folded(), 0xddf2);
        assert_eq!(sum(&data).checksum(), 0x220d);
    }

    #[test]
    fn the_crc_of_sctp_covers_its_header_with_the_field_as_0() {
        // RFC 3720 §B.4: 32 bytes of 0 have the CRC32c aa 36 91 8a.
        let mut frame = [0; 40];
        assert_eq!(crc32c_field(&frame, 8), Some([0xaa, 0x36, 0x91, 0x8a]));
        frame[16..20].fill(7);
        assert_eq!(crc32c_field(&frame, 8), Some([0xaa, 0x36, 0x91, 0x8a]));
        assert_eq!(crc32c_field(&frame, 29), None);
        assert_eq!(crc32c_field(&frame, 41), None);
    }

    #[test]
    fn the_longest_frame_of_the_largest_words_does_not_overflow() {
        assert_eq!(sum(&[0xff; crate::frame::MAX_FRAME + 1]).folded(), 0xffff);
    }

    #[test]
    fn a_checksum_of_0_is_written_as_ffff() {
        let mut frame = [0xff, 0xff, 0, 0];
        assert!(complete(&mut frame, 0, 2));
        assert_eq!(frame, [0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_field_past_the_end_is_refused_and_nothing_changes() {
        let mut frame = [1, 2, 3, 4];
        assert!(!complete(&mut frame, 0, 3));
        assert!(!complete(&mut frame, 5, 0));
        assert!(!complete(&mut frame, 1, usize::MAX));
        assert_eq!(frame, [1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn the_sum_is_the_reference_at_any_length_and_alignment(
            data in prop::collection::vec(any::<u8>(), 0..3000),
            skip in 0_usize..40,
        ) {
            let data = data.get(skip..).unwrap_or_default();
            prop_assert_eq!(sum(data).folded(), reference(data));
        }

        #[test]
        fn parts_cut_at_even_positions_add_up_to_the_whole(
            data in prop::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..150,
        ) {
            let (a, b) = data.split_at((2 * cut).min(data.len() & !1));
            prop_assert_eq!((sum(a) + sum(b)).folded(), reference(&data));
        }

        #[test]
        fn numbers_sum_as_their_bytes(word: u16, words: u32) {
            prop_assert_eq!(Sum::from(word).folded(), word);
            prop_assert_eq!(Sum::from(words).folded(), reference(&words.to_be_bytes()));
        }

        #[test]
        fn a_completed_checksum_verifies_against_what_the_field_held_before(
            mut data in prop::collection::vec(any::<u8>(), 20..100),
            start in 0_usize..8,
            word in 0_usize..5,
        ) {
            let offset = 2 * word;
            let pseudo_header = *data[start + offset..].first_chunk().unwrap();
            prop_assert!(complete(&mut data, start, offset));
            let all = sum(&data[start..]) + u16::from_be_bytes(pseudo_header).into();
            prop_assert_eq!(all.folded(), 0xffff);
        }
    }
}
