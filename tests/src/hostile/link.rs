//! A frame's way through the switch, from the header that a port received with
//! it to the form in which another port is given it.
//!
//! What has to hold, whatever comes in:
//!
//! - no frame goes back to its ingress, or to what is no port;
//! - no frame from a group address, to 01:80:C2:00:00:0X, or in the switch's
//!   own name is forwarded, and no DHCP message crosses the uplink while the
//!   switch serves DHCP;
//! - what a port is given is as [`super::egress`] demands;
//! - the FDB holds no more stations than it may.

use super::corpus::{self, LONGEST, OWN};
use super::egress::Egress;
use super::oracle;
use super::recorder::Recorder;
use super::tally::Tally;
use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use std::net::Ipv4Addr;
use vmlan_dataplane::MacAddr;
use vmlan_dataplane::forward::{Forwarder, Role, Settings, Verdict};
use vmlan_dataplane::frame::ethernet::{self, Header};
use vmlan_dataplane::frame::finish::Finisher;
use vmlan_dataplane::frame::offload::{BadOffload, Checksum, GsoKind, MIN_GSO_SIZE};
use vmlan_dataplane::frame::vnet::VnetHeader;
use vmlan_dataplane::frame::{Frame, Offload, checksum};
use vmlan_dataplane::policy::DropReason;
use vmlan_dataplane::port::{Abilities, Sent, Transmitter};
use vmlan_dataplane::table::{PortId, PortSet, Tick};

/// Stations that the FDB holds: fewer than there are, so that it fills up.
const FDB_SIZE: usize = 500;

/// Ports at the ends of the words that a set of ports is made of.
const PORTS: [PortId; 8] = [
    PortId(0),
    PortId(1),
    PortId(63),
    PortId(64),
    PortId(65),
    PortId(511),
    PortId(700),
    PortId(1023),
];

/// A switch with ports to put frames to.
#[derive(Debug)]
pub struct Link {
    forwarder: Forwarder,
    settings: Settings,
    ports: Vec<(PortId, Role)>,
    now: Tick,
    frame: Frame,
    finisher: Finisher,
    egress: Recorder,
}

impl Link {
    /// A switch whose ports are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let settings = Settings {
            mac: OWN,
            gateway: Some(Ipv4Addr::new(192, 168, 122, 1)),
            mtu: 1500,
            dhcp: true,
            dns: false,
            ageing: Some(3000),
            fdb_size: FDB_SIZE,
            former_gateways: Vec::new(),
        };
        let mut link = Self {
            forwarder: Forwarder::new(settings.clone()),
            settings,
            ports: Vec::new(),
            now: Tick(0),
            frame: Frame::default(),
            finisher: Finisher::new(Transmitter::new(0)),
            egress: Recorder::new(Abilities::NONE),
        };
        link.rearrange(&mut Rng::with_seed(seed));
        link
    }

    /// Puts the frame `input`, with the `header` that came with it, through; by
    /// which port it comes in, and what those can do by which it leaves, is
    /// drawn. Gives the DHCP message that went up to the server.
    ///
    /// # Errors
    /// What did not hold.
    pub fn put(
        &mut self,
        rng: &mut Rng,
        header: &VnetHeader,
        input: &[u8],
        tally: &mut Tally,
    ) -> Result<Option<&[u8]>> {
        self.frame.set(input);
        ensure!(self.frame.bytes() == input, "the frame is not what came in");
        match Offload::from_vnet(header, self.frame.bytes()) {
            Ok(offload) => self.frame.set_offload(offload),
            Err(bad) => {
                tally.add("refused", name(&bad), 1);
                return Ok(None);
            }
        }
        ensure_sound(&self.frame)?;
        // As a packet port puts back what the kernel took out.
        if rng.u8(..8) == 0 && self.frame.len() + ethernet::TAG <= LONGEST {
            self.frame.insert_vlan_tag(ethernet::VLAN, rng.u16(..4096));
        }
        self.now.0 = self.now.0.saturating_add(u32::from(rng.u8(..64) == 0));

        let Some((ingress, role)) = rng.choice(&self.ports).copied() else {
            bail!("no port");
        };
        let verdict = self.forwarder.step(&self.frame, ingress, self.now);
        let mut egress = PortSet::default();
        match verdict {
            Verdict::Unicast(port) => {
                tally.add("verdict", "unicast", 1);
                egress.insert(port);
            }
            Verdict::Flood(ports) => {
                tally.add("verdict", "flood", 1);
                egress = ports;
            }
            Verdict::Answer(answer) => {
                tally.add("verdict", "answer", 1);
                let asker = self.frame.bytes().get(6..12).context("no source")?;
                ensure!(
                    oracle::is_arp_reply_to(answer.bytes(), asker),
                    "the answer {:02x?} is no ARP reply to the asker",
                    answer.bytes()
                );
                return Ok(None);
            }
            Verdict::Punt => {
                tally.add("verdict", "punt", 1);
                ensure!(
                    self.settings.dhcp && role != Role::Uplink,
                    "a punt that nobody asked for"
                );
                return self.punted();
            }
            Verdict::Drop(reason) => {
                tally.add("drop", reason.name(), 1);
                ensure!(
                    reason != DropReason::DhcpUplink || self.settings.dhcp,
                    "dropped for DHCP that nobody serves"
                );
                return Ok(None);
            }
        }
        self.ensure_allowed(ingress, role, &egress)?;
        self.transmit(rng, tally).map(|()| None)
    }

    /// Looks at the whole state, then changes what an operator would.
    ///
    /// # Errors
    /// What did not hold.
    pub fn look_over(&mut self, rng: &mut Rng) -> Result<()> {
        let stations = self.forwarder.fdb().entries(self.now).count();
        ensure!(
            stations <= FDB_SIZE,
            "the FDB holds {stations} stations, more than {FDB_SIZE}"
        );
        self.now.0 = self.now.0.saturating_add(rng.u32(..1500));
        self.forwarder.begin_burst();
        self.forwarder.fdb().sweep(self.now, 1024);
        match rng.u8(..4) {
            0 => self.rearrange(rng),
            1 => self.forwarder.fdb().flush(),
            2 => {
                if let Some((port, _)) = rng.choice(&self.ports).copied() {
                    let fdb = self.forwarder.fdb();
                    fdb.flush_port(port);
                    // A full table may refuse it.
                    let _ = fdb.add_static(corpus::station(rng.u8(..4)), 0, port, self.now);
                }
            }
            _ => {
                let address = Ipv4Addr::new(192, 168, 122, rng.u8(..16));
                let arp = self.forwarder.arp_mut();
                arp.bind(address, corpus::station(rng.u8(..16)));
            }
        }
        Ok(())
    }

    /// Counts what the whole run did.
    pub fn sum_up(&self, tally: &mut Tally) {
        tally.add("fdb", "full", self.forwarder.fdb().refused());
    }

    /// Other ports, and other settings.
    fn rearrange(&mut self, rng: &mut Rng) {
        for (port, _) in self.ports.drain(..) {
            self.forwarder.remove_port(port);
        }
        self.settings.dhcp = rng.bool();
        self.settings.mtu = rng.choice([576, 1500, 1500, 9000, 65_520]).unwrap_or(1500);
        self.settings.ageing = rng.bool().then_some(3000);
        self.forwarder.configure(self.settings.clone());
        let mut ports = PORTS;
        rng.shuffle(&mut ports);
        let count = rng.usize(2..=ports.len());
        let special = [
            rng.bool().then_some(Role::Host),
            rng.bool().then_some(Role::Uplink),
        ];
        let roles = special.into_iter().flatten();
        let roles = roles.chain(std::iter::repeat(Role::Station));
        for (port, role) in ports.into_iter().take(count).zip(roles) {
            self.forwarder.add_port(port, role);
            self.ports.push((port, role));
        }
    }

    fn ensure_allowed(&self, ingress: PortId, role: Role, egress: &PortSet) -> Result<()> {
        let bytes = self.frame.bytes();
        ensure!(!egress.is_empty(), "forwarded to nowhere");
        let dhcp = self.settings.dhcp && oracle::is_dhcp(bytes);
        for port in egress.iter() {
            ensure!(port != ingress, "forwarded back to its ingress");
            let (_, to) = self
                .ports
                .iter()
                .find(|(id, _)| *id == port)
                .with_context(|| format!("forwarded to {port:?}, which is no port"))?;
            ensure!(
                !dhcp || (role != Role::Uplink && *to != Role::Uplink),
                "a DHCP message crosses the uplink"
            );
        }
        let &[.., s0, s1, s2, s3, s4, s5, _, _] = bytes.first_chunk::<14>().context("a runt")?;
        ensure!(s0 & 1 == 0, "forwarded from a group address");
        ensure!(
            MacAddr(s0, s1, s2, s3, s4, s5) != OWN || role == Role::Host,
            "forwarded in the switch's own name"
        );
        ensure!(
            !(bytes.starts_with(&[1, 0x80, 0xc2, 0, 0]) && bytes.get(5).is_some_and(|b| *b < 16)),
            "forwarded to a link-local group"
        );
        Ok(())
    }

    /// Sends the frame to a port that takes anything, one that takes nothing,
    /// and one in between, and judges what they got.
    fn transmit(&mut self, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
        let some = Abilities {
            checksum: rng.bool(),
            tso4: rng.bool(),
            tso6: rng.bool(),
            uso: rng.bool(),
        };
        for abilities in [Abilities::ALL, Abilities::NONE, some] {
            self.egress.reset(abilities);
            let mut sent = Sent::default();
            self.finisher
                .transmit([&self.frame], &self.egress, &mut sent);
            let egress = Egress {
                frame: &self.frame,
                mtu: self.settings.mtu,
                port: self.egress.given(),
            };
            let judged = egress.judge(&sent, abilities, tally);
            judged.with_context(|| {
                format!("{:?} to a port of {abilities:?}", self.frame.offload())
            })?;
        }
        Ok(())
    }

    /// The DHCP message in the frame, as the worker hands it on.
    fn punted(&mut self) -> Result<Option<&[u8]>> {
        if let Checksum::Needed { start, offset } = self.frame.offload().checksum {
            let done = checksum::complete(self.frame.bytes_mut(), start.into(), offset.into());
            ensure!(done, "a checksum that cannot be filled in");
        }
        let bytes = self.frame.bytes();
        let network = Header::parse(bytes).context("a runt")?.len;
        let ihl = bytes.get(network).context("no IP header")? & 0x0f;
        let message = network + usize::from(ihl) * 4 + 8;
        Ok(Some(bytes.get(message..).context("no UDP header")?))
    }
}

/// What every accepted offload has in common: it is about bytes that are there,
/// and costs no more than a bounded number of segments.
fn ensure_sound(frame: &Frame) -> Result<()> {
    let (offload, len) = (*frame.offload(), frame.len());
    if let Checksum::Needed { start, offset } = offload.checksum {
        let (start, offset) = (usize::from(start), usize::from(offset));
        ensure!(
            start >= ethernet::HEADER && start + offset + 2 <= len,
            "accepted {offload:?} of {len} bytes"
        );
    }
    if let Checksum::NeededCrc32c { start } = offload.checksum {
        ensure!(
            usize::from(start) + 12 <= len && offload.gso.is_none(),
            "accepted {offload:?} of {len} bytes"
        );
    }
    if let Some(gso) = offload.gso {
        ensure!(
            usize::from(gso.header_len) + usize::from(gso.size.get()) < len
                && gso.size.get() >= MIN_GSO_SIZE
                && len <= 65_535 + ethernet::HEADER + 2 * ethernet::TAG,
            "accepted {offload:?} of {len} bytes"
        );
        // Behind the checksum's start is the transport header and nothing else.
        let agrees = match (gso.kind, offload.checksum) {
            (GsoKind::Udp, Checksum::Needed { start, offset }) => {
                offset == 6 && start + 8 == gso.header_len
            }
            (GsoKind::Udp, _) => false,
            (_, Checksum::Needed { start, offset }) => {
                offset == 16 && (20..=60).contains(&gso.header_len.saturating_sub(start))
            }
            _ => true,
        };
        ensure!(agrees, "accepted {offload:?}, its checksum elsewhere");
    }
    let again = Offload::from_vnet(&offload.to_vnet(), frame.bytes());
    ensure!(
        again == Ok(offload),
        "handed on as a header that reads {again:?}, not {offload:?}"
    );
    Ok(())
}

fn name(bad: &BadOffload) -> &'static str {
    match bad {
        BadOffload::ChecksumOutside { .. } => "checksum outside",
        BadOffload::ChecksumElsewhere { .. } => "checksum elsewhere",
        BadOffload::ChecksumNotLeft => "checksum not left",
        BadOffload::UnknownGso(_) => "unknown gso",
        BadOffload::NoSegmentSize => "no segment size",
        BadOffload::SegmentTooSmall(_) => "segment too small",
        BadOffload::NoTransport => "no transport",
        BadOffload::WrongProtocol => "wrong protocol",
        BadOffload::HeadersTooLong(_) => "headers too long",
        BadOffload::TooLong(_) => "too long",
    }
}
