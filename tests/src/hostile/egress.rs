//! What a port is given of a frame.
//!
//! What has to hold:
//!
//! - no frame leaves longer than the MTU allows, a super-frame by its segments;
//! - a port gets a frame either as it came or finished: cut into segments that
//!   together hold the payload, each with lengths and checksums that etherparse
//!   finds right, or whole with just the checksum filled in;
//! - what is counted as sent was sent, and what was not is counted as dropped.

use super::oracle::{self, Packet};
use super::recorder::Given;
use super::tally::Tally;
use anyhow::{Context, Result, bail, ensure};
use vmlan_dataplane::frame::ethernet::{self, Header};
use vmlan_dataplane::frame::offload::{Checksum, Gso};
use vmlan_dataplane::frame::segment::MAX_HEAD;
use vmlan_dataplane::frame::{Frame, Offload};
use vmlan_dataplane::policy::DropReason;
use vmlan_dataplane::port::{Abilities, Sent};

/// A frame that was sent to a port.
#[derive(Debug, Clone, Copy)]
pub struct Egress<'a> {
    /// The frame.
    pub frame: &'a Frame,
    /// The network's MTU.
    pub mtu: usize,
    /// The port, with what it was given.
    pub port: &'a Given,
}

impl Egress<'_> {
    /// Judges what the port was given, having said what it takes.
    ///
    /// # Errors
    /// What did not hold.
    pub fn judge(&self, sent: &Sent, abilities: Abilities, tally: &mut Tally) -> Result<()> {
        let frame = self.frame.bytes();
        let offload = *self.frame.offload();
        let header = Header::parse(frame).context("a runt")?;
        let longest = header.len.min(ethernet::HEADER + 2 * ethernet::TAG) + self.mtu;
        let bytes: usize = self.port.frames().map(|(bytes, _)| bytes.len()).sum();
        ensure!(
            (sent.frames, sent.bytes) == (self.port.len() as u64, bytes as u64),
            "counted {} frames of {} bytes, sent {} of {bytes}",
            sent.frames,
            sent.bytes,
            self.port.len()
        );
        let dropped = sent.drops.get(DropReason::BadOffload);
        ensure!(
            sent.drops.iter().map(|(_, n)| n).sum::<u64>() == dropped,
            "dropped for another reason than its offload"
        );
        if dropped > 0 {
            tally.add("sent", "dropped", 1);
            ensure!(
                self.may_be_dropped(header),
                "dropped, though nothing is wrong with it"
            );
            ensure!(dropped == 1 && self.port.is_empty(), "dropped and sent");
            return Ok(());
        }
        for (bytes, left) in self.port.frames() {
            ensure!(
                left == Offload::NONE || left == offload && abilities.take(&left),
                "sent with {left:?}"
            );
            let len = match left.gso {
                Some(gso) => usize::from(gso.header_len) + usize::from(gso.size.get()),
                None => bytes.len(),
            };
            ensure!(len <= longest, "sent {len} bytes, more than {longest}");
        }
        if abilities.take(&offload) {
            let mut frames = self.port.frames();
            ensure!(
                frames.next() == Some((frame, offload)) && frames.next().is_none(),
                "a frame that the port takes was changed"
            );
            tally.add("sent", "as it came", 1);
            return Ok(());
        }
        match (offload.gso, offload.checksum) {
            (Some(gso), _) => self.judge_segments(gso, tally),
            (None, Checksum::Needed { start, offset }) => {
                self.judge_checksum(start.into(), offset.into(), tally)
            }
            (None, Checksum::NeededCrc32c { start }) => self.judge_crc(start.into(), tally),
            _ => bail!("nothing was left to do on it"),
        }
    }

    /// The switch rewrites heads of a bounded length, and looks behind two
    /// tags: one that was put back may be a third.
    fn may_be_dropped(&self, header: Header) -> bool {
        match (self.frame.offload().gso, self.frame.offload().checksum) {
            (Some(_), _) => matches!(header.ethertype, ethernet::VLAN | ethernet::SERVICE_VLAN),
            (None, Checksum::Needed { start, offset }) => {
                usize::from(start) + usize::from(offset) + 2 > MAX_HEAD
            }
            (None, Checksum::NeededCrc32c { start }) => usize::from(start) + 12 > MAX_HEAD,
            _ => false,
        }
    }

    fn judge_segments(&self, gso: Gso, tally: &mut Tally) -> Result<()> {
        let frame = self.frame.bytes();
        let (headers, payload) = frame
            .split_at_checked(gso.header_len.into())
            .context("headers longer than the frame")?;
        let size = usize::from(gso.size.get());
        let count = self.frame.offload().segments(frame.len());
        ensure!(
            self.port.len() == count && count == payload.len().div_ceil(size),
            "{} segments, not {count}",
            self.port.len()
        );
        let bodies = payload.chunks(size);
        let mut first = None;
        for (i, ((segment, _), body)) in self.port.frames().zip(bodies).enumerate() {
            let (head, rest) = segment
                .split_at_checked(headers.len())
                .context("a segment without headers")?;
            ensure!(rest == body, "segment {i} holds another payload");
            ensure!(head.get(..14) == headers.get(..14), "another link header");
            let packet = match gso.inner_network() {
                None => Packet::read(segment),
                Some(at) => {
                    if let Some(outer) = Packet::read(segment) {
                        tally.add("segments", "tunnels verified", 1);
                        let verified = outer.verify_tunnel();
                        verified.with_context(|| format!("the tunnel of segment {i}"))?;
                    }
                    segment.get(at.into()..).and_then(Packet::read_ip)
                }
            };
            let Some(packet) = packet else {
                tally.add("segments", "not for etherparse", 1);
                continue;
            };
            tally.add("segments", "verified", 1);
            packet.verify().with_context(|| format!("segment {i}"))?;
            let Some(tcp) = packet.tcp() else { continue };
            let start = *first.get_or_insert(tcp.sequence_number());
            let offset = u32::try_from(i * size)?;
            ensure!(
                tcp.sequence_number() == start.wrapping_add(offset),
                "segment {i} of another sequence number"
            );
            ensure!(
                i + 1 == count || !(tcp.fin() || tcp.psh()),
                "segment {i} has the flags of the last"
            );
            ensure!(
                i == 0 || !tcp.cwr(),
                "segment {i} has the flag of the first"
            );
        }
        Ok(())
    }

    fn judge_checksum(&self, start: usize, offset: usize, tally: &mut Tally) -> Result<()> {
        let frame = self.frame.bytes();
        let mut frames = self.port.frames();
        let (Some((finished, _)), None) = (frames.next(), frames.next()) else {
            bail!("{} frames of one", self.port.len());
        };
        let field = start + offset..start + offset + 2;
        ensure!(
            finished.len() == frame.len()
                && finished.get(..field.start) == frame.get(..field.start)
                && finished.get(field.end..) == frame.get(field.end..),
            "more than the checksum was changed"
        );
        let found = finished.get(field).context("a checksum past the end")?;
        let right = !oracle::sum(frame.get(start..).context("a start past the end")?);
        ensure!(
            oracle::sum(found) % 0xffff == right % 0xffff,
            "the checksum is {found:02x?}, not {right:04x}"
        );
        let honest = Packet::read(frame).is_some_and(|p| p.left_open(frame, start, offset));
        if honest {
            let packet = Packet::read(finished).context("etherparse reads it no more")?;
            packet.verify_transport()?;
            tally.add("checksums", "verified", 1);
        } else {
            tally.add("checksums", "of what the sender says", 1);
        }
        Ok(())
    }

    fn judge_crc(&self, start: usize, tally: &mut Tally) -> Result<()> {
        let mut want = self.frame.bytes().to_vec();
        let packet = want.get_mut(start..).context("a start past the end")?;
        let field = |packet: &mut [u8], crc| {
            let place = packet.get_mut(8..).and_then(<[u8]>::first_chunk_mut);
            place.map(|place| *place = crc)
        };
        field(packet, [0; 4]).context("a CRC past the end")?;
        let crc = oracle::crc32c(packet);
        field(packet, crc).context("a CRC past the end")?;
        let mut frames = self.port.frames();
        ensure!(
            frames.next().is_some_and(|(finished, _)| finished == want) && frames.next().is_none(),
            "not the frame with the CRC32c {crc:02x?} filled in"
        );
        tally.add("checksums", "CRC32c verified", 1);
        Ok(())
    }
}
