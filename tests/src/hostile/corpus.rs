//! Frames, and the virtio-net headers that come with them: honest, spoiled, or
//! noise.

use super::honest::{self, Honest};
use super::mutate;
use anyhow::Result;
use fastrand::Rng;
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::frame::ethernet;
use vmlan_dataplane::frame::vnet::{self, VnetHeader};

/// The gateway's address, which is the switch's.
pub const OWN: MacAddr = MacAddr(0x52, 0x54, 0, 0, 0, 1);

/// The longest input: a port hands over no longer one.
pub const LONGEST: usize = vmlan_dataplane::frame::MAX_FRAME;

/// Frames as honest guests send them.
#[derive(Debug)]
pub struct Corpus {
    arp: Vec<Honest>,
    short: Vec<Honest>,
    long: Vec<Honest>,
}

impl Corpus {
    /// Every kind of frame with every kind of tags.
    ///
    /// # Errors
    /// etherparse's, which would be a mistake in here.
    pub fn new() -> Result<Self> {
        let (short, long) = honest::frames()?
            .into_iter()
            .partition(|f| f.bytes.len() < 2000);
        Ok(Self {
            arp: honest::arps()?,
            short,
            long,
        })
    }

    /// Writes a frame to `bytes` and gives the header that came with it: honest
    /// both, or spoiled, or noise.
    pub fn draw(&self, rng: &mut Rng, bytes: &mut Vec<u8>) -> VnetHeader {
        bytes.clear();
        if rng.u8(..16) == 0 {
            bytes.resize(rng.usize(..200), 0);
            rng.fill(bytes);
            return noise(rng);
        }
        // Super-frames are rare, as each costs as much as hundreds of others.
        let from = match rng.u8(..24) {
            0 => &self.long,
            1 => &self.arp,
            _ => &self.short,
        };
        let Some(honest) = rng.choice(from) else {
            return VnetHeader::NONE;
        };
        bytes.extend_from_slice(&honest.bytes);
        bytes.truncate(LONGEST);
        let mut header = honest.leave_undone(rng, bytes);
        address(rng, bytes);
        if from.as_ptr() == self.arp.as_ptr() && rng.u8(..8) > 0 {
            ask(rng, bytes);
        }
        match rng.u8(..8) {
            0..=2 => {}
            3 => mutate::mutate(rng, bytes, LONGEST),
            4 => lie(rng, &mut header, bytes.len()),
            5 => retag(rng, bytes),
            6 => header = noise(rng),
            _ => {
                mutate::mutate(rng, bytes, LONGEST);
                lie(rng, &mut header, bytes.len());
            }
        }
        header
    }
}

/// A header of random bytes, often of a type that exists.
fn noise(rng: &mut Rng) -> VnetHeader {
    let mut bytes = [0; vnet::LEGACY_LEN];
    rng.fill(&mut bytes);
    let mut header = VnetHeader::from_legacy(&bytes).unwrap_or(VnetHeader::NONE);
    if rng.bool() {
        header.flags &= 3;
        header.gso_type &= 0x87;
    }
    header
}

/// Makes one or two fields of the header say what is not so.
fn lie(rng: &mut Rng, header: &mut VnetHeader, len: usize) {
    for _ in 0..rng.u8(1..=2) {
        let value = match rng.u8(..4) {
            0 => u16::try_from(len)
                .unwrap_or(u16::MAX)
                .wrapping_sub(rng.u16(..4)),
            1 => rng.u16(..300),
            _ => mutate::edge(rng),
        };
        match rng.u8(..7) {
            0 => header.flags = rng.u8(..4),
            1 => header.gso_type = rng.u8(..) & 0x87,
            2 => header.hdr_len = value.into(),
            3 | 4 => header.gso_size = value.into(),
            5 => header.csum_start = value.into(),
            _ => header.csum_offset = value.into(),
        }
    }
}

/// Adds a tag, of a kind that switches know or not.
fn retag(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let tpid = rng.choice([ethernet::VLAN, ethernet::SERVICE_VLAN, 0x9100]);
    if bytes.len() + ethernet::TAG <= LONGEST {
        honest::insert_tag(bytes, tpid.unwrap_or_default(), rng.u16(..));
    }
}

/// Gives the frame a destination and a source, mostly stations that others
/// know, else what a switch has a rule for.
fn address(rng: &mut Rng, bytes: &mut [u8]) {
    let some = |rng: &mut Rng| match rng.u8(..24) {
        0 | 1 => MacAddr::broadcast(),
        2 => OWN,
        3 => MacAddr(1, 0x80, 0xc2, 0, 0, rng.u8(..)),
        4 => MacAddr(0x33, 0x33, 0, 0, 0, rng.u8(..)),
        5 => MacAddr::zero(),
        6 | 7 => MacAddr(
            2,
            rng.u8(..),
            rng.u8(..),
            rng.u8(..),
            rng.u8(..),
            rng.u8(..),
        ),
        _ => station(rng.u8(..16)),
    };
    let (mut destination, source) = (some(rng), some(rng));
    if bytes.starts_with(&[0xff; 6]) && rng.u8(..4) > 0 {
        destination = MacAddr::broadcast();
    }
    // A broadcast source is dropped at once: let most go further.
    let source = if source.0 & 1 == 1 && rng.u8(..4) > 0 {
        station(3)
    } else {
        source
    };
    let both = destination.octets().into_iter().chain(source.octets());
    for (to, from) in bytes.iter_mut().zip(both) {
        *to = from;
    }
}

/// Makes an ARP packet, which ends the frame, ask in the name of the frame's
/// source for the gateway or a station.
fn ask(rng: &mut Rng, bytes: &mut [u8]) {
    let Some((header, rest)) = bytes.split_at_mut_checked(2 * ethernet::ADDRESS) else {
        return;
    };
    let source = header.iter().skip(ethernet::ADDRESS);
    // Sender's MAC and IP address, target's MAC and IP address.
    let behind = rest.len().saturating_sub(20);
    for (to, from) in rest.iter_mut().skip(behind).zip(source) {
        *to = *from;
    }
    if let Some(target) = rest.last_mut() {
        *target = rng.u8(1..8);
    }
}

/// One of the stations that frames go between.
#[must_use]
pub fn station(number: u8) -> MacAddr {
    MacAddr(0x52, 0x54, 0, 0, 1, number)
}
