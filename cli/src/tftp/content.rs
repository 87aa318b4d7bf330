//! The bytes of a file, block by block.

use super::packet::Mode;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// Something with bytes at offsets.
pub trait Source {
    /// Reads into `buffer` what stands at `offset`, as pread(2) does: less than
    /// there is room for is no error, nothing is the end.
    ///
    /// # Errors
    /// Those of pread(2).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

/// A file in the form that it is sent in, cut into blocks. It has the size that
/// it had at the start of the transfer: what is written to its end meanwhile is
/// not sent, since the client may have been told the size.
#[derive(Debug)]
pub struct Content<S> {
    source: S,
    /// In bytes.
    size: u64,
    block: u16,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Octet,
    /// A block's place follows from the one before alone, so it is known of
    /// the block that was read last, and of the one behind it.
    Netascii {
        last: u64,
        at: Place,
        next: Place,
    },
}

/// A place in a text as it is sent.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// In the file.
    offset: u64,
    /// The second byte of a pair whose first ended the block before.
    pending: Option<u8>,
}

impl<S: Source> Content<S> {
    /// `source` with its `size` in bytes, in blocks of `block` bytes.
    #[must_use]
    pub fn new(source: S, size: u64, mode: Mode, block: u16) -> Self {
        let form = match mode {
            Mode::Octet => Form::Octet,
            Mode::Netascii => Form::Netascii {
                last: 0,
                at: Place::default(),
                next: Place::default(),
            },
        };
        Self {
            source,
            size,
            block,
            form,
        }
    }

    /// Puts the bytes of block `number`, counted from 1, behind what is in
    /// `packet`, and says whether it is the last: it is shorter than the
    /// others, and may be empty.
    ///
    /// Blocks of text have to be asked for in their order; the last one may be
    /// asked for again.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter.
    pub fn block(&mut self, number: u64, packet: &mut Vec<u8>) -> io::Result<bool> {
        let (source, size, block) = (&self.source, self.size, self.block);
        match &mut self.form {
            Form::Octet => {
                let offset = number.saturating_sub(1).saturating_mul(block.into());
                let length = usize::from(block);
                let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
                let start = packet.len();
                packet.resize(start + length.min(left), 0);
                let rest = packet.get_mut(start..).unwrap_or_default();
                read_exact(source, rest, offset)?;
                Ok(left < length)
            }
            Form::Netascii { last, at, next } => {
                if number == last.saturating_add(1) {
                    (*last, *at) = (number, *next);
                } else if number != *last {
                    let error = "blocks of text are read in their order";
                    return Err(io::Error::new(ErrorKind::InvalidInput, error));
                }
                let (place, end) = netascii(source, size, *at, block, packet)?;
                *next = place;
                Ok(end)
            }
        }
    }
}

/// Puts a block of text behind what is in `packet`; the place behind it, and
/// whether it is the last.
///
/// A line feed becomes CR LF and a carriage return CR NUL (RFC 764, as RFC
/// 1350 §1 has it).
fn netascii(
    source: &impl Source,
    size: u64,
    mut place: Place,
    block: u16,
    packet: &mut Vec<u8>,
) -> io::Result<(Place, bool)> {
    let full = packet.len() + usize::from(block);
    packet.extend(place.pending.take());
    let left = size.saturating_sub(place.offset);
    let length = usize::try_from(left).map_or(usize::from(block), |n| n.min(block.into()));
    let mut plain = vec![0; length];
    read_exact(source, &mut plain, place.offset)?;
    for byte in plain {
        if packet.len() >= full {
            break;
        }
        place.offset += 1;
        let second = match byte {
            b'\n' => b'\n',
            b'\r' => 0,
            other => {
                packet.push(other);
                continue;
            }
        };
        packet.push(b'\r');
        if packet.len() < full {
            packet.push(second);
        } else {
            place.pending = Some(second);
        }
    }
    Ok((place, packet.len() < full))
}

/// Fills `buffer` with what stands at `offset`.
fn read_exact(source: &impl Source, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match source.read_at(buffer, offset) {
            Ok(0) => {
                let error = "the file has become shorter";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, error));
            }
            Ok(read) => {
                buffer = buffer.get_mut(read..).unwrap_or_default();
                offset = offset.saturating_add(read as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Source for Vec<u8> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..));
            // Less than asked for, now and then, as the kernel may.
            let rest = rest.unwrap_or_default();
            let n = rest.len().min(buffer.len()).min(100);
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }
    }

    /// All blocks; each is read twice, as one that is sent again.
    fn blocks(bytes: &[u8], mode: Mode, block: u16) -> Vec<Vec<u8>> {
        let mut content = Content::new(bytes.to_vec(), bytes.len() as u64, mode, block);
        let mut blocks = Vec::new();
        loop {
            let number = blocks.len() as u64 + 1;
            let (mut once, mut again) = (vec![7], vec![7]);
            let last = content.block(number, &mut once).unwrap();
            assert_eq!(content.block(number, &mut again).unwrap(), last);
            assert_eq!(once, again);
            assert_eq!(once.remove(0), 7, "what was in the packet is gone");
            assert_eq!(once.len() < usize::from(block), last);
            blocks.push(once);
            if last {
                return blocks;
            }
        }
    }

    #[test]
    fn a_file_of_whole_blocks_ends_with_an_empty_one() {
        for (size, lengths) in [
            (0, &[0][..]),
            (511, &[511]),
            (512, &[512, 0]),
            (513, &[512, 1]),
        ] {
            let got = blocks(&vec![1; size], Mode::Octet, 512);
            let got: Vec<_> = got.iter().map(Vec::len).collect();
            assert_eq!(got, lengths, "{size}");
        }
    }

    #[test]
    fn text_lines_end_with_cr_lf_also_across_blocks() {
        let sent = blocks(b"1234567\n9\r\n", Mode::Netascii, 8).concat();
        assert_eq!(sent, b"1234567\r\n9\r\0\r\n");
    }

    #[test]
    fn a_file_that_becomes_shorter_is_an_error() {
        for mode in [Mode::Octet, Mode::Netascii] {
            let mut content = Content::new(vec![1; 100], 1000, mode, 512);
            let error = content.block(1, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn what_is_written_to_the_end_meanwhile_is_not_sent() {
        for mode in [Mode::Octet, Mode::Netascii] {
            let mut content = Content::new(vec![1; 1000], 100, mode, 512);
            let mut block = Vec::new();
            assert!(content.block(1, &mut block).unwrap());
            assert_eq!(block.len(), 100);
        }
    }

    proptest! {
        #[test]
        fn the_blocks_of_a_file_are_the_file(
            bytes in prop::collection::vec(any::<u8>(), 0..3000),
            block in 8..600u16,
        ) {
            prop_assert_eq!(blocks(&bytes, Mode::Octet, block).concat(), bytes);
        }

        #[test]
        fn the_blocks_of_a_text_read_back_as_the_text(
            text in prop::collection::vec(prop::sample::select(b"\r\n\0ab".to_vec()), 0..300),
            block in 8..20u16,
        ) {
            let sent = blocks(&text, Mode::Netascii, block).concat();
            let mut read = Vec::new();
            let mut bytes = sent.into_iter();
            while let Some(byte) = bytes.next() {
                match (byte, if byte == b'\r' { bytes.next() } else { None }) {
                    (b'\r', Some(b'\n')) => read.push(b'\n'),
                    (b'\r', Some(0)) => read.push(b'\r'),
                    (b'\r', other) => prop_assert!(false, "CR and {:?}", other),
                    (other, _) => read.push(other),
                }
            }
            prop_assert_eq!(read, text);
        }
    }
}
