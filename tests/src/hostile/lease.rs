//! A DHCP message's way through the server, with books kept beside it.
//!
//! What has to hold, whatever comes in:
//!
//! - no address is with two clients at a time, and none outside the subnet or
//!   of the server itself is given;
//! - a live lease changes by its own client's messages alone, and ends by those
//!   alone that come from its client's own address;
//! - there are no more records than configured, and no more offers or declined
//!   addresses than that either;
//! - what the server says to write down follows from what it said before, adds
//!   up to what it serves from, and can be taken back;
//! - every reply fits in a frame, reads back, and is to the message's sender;
//!   an ACK names the address that was written down.

use super::message::{self, Client};
use super::options::Options;
use super::tally::Tally;
use anyhow::{Context, Result, bail, ensure};
use dhcproto::v4::{Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder};
use fastrand::Rng;
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use vmlan_dataplane::MacAddr;
use vmlan_dhcp::config::Range;
use vmlan_dhcp::{
    Answer, Change, Config, Host, Lease, LeaseTime, Origin, Outcome, Reply, Sender, Server,
    leasefile,
};

/// Records that the server may keep: fewer than there are addresses and clients.
const MAX_LEASES: usize = 24;

/// Honest clients; spoiled messages come from others as well.
const CLIENTS: u8 = 60;

/// The client with a static address.
const STATIC: u8 = 5;

/// Ports that messages come by.
const ORIGINS: u32 = 4;

/// The least and longest reply, in bytes (RFC 1542 §2.1, one Ethernet frame).
const REPLY: std::ops::RangeInclusive<usize> = 300..=1472;

/// A server, and what it is to know.
#[derive(Debug)]
pub struct Leases {
    server: Server,
    configs: [Config; 2],
    hash_key: u64,
    now: u64,
    /// What is on disk.
    books: HashMap<MacAddr, Lease>,
    /// The last address offered to each honest client.
    offers: HashMap<MacAddr, Ipv4Addr>,
}

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Another configuration: a narrow range with short leases, or the wide one.
    Reconfigure {
        /// Which of the two.
        narrow: bool,
    },
    /// A restart from the lease file.
    Restart,
    /// A lease is deleted.
    Delete(Ipv4Addr),
}

impl Leases {
    /// A server without leases.
    ///
    /// # Errors
    /// The configuration's, which would be a mistake in here.
    pub fn new(hash_key: u64) -> Result<Self> {
        let range = ip(2)..=ip(45);
        let mut config = Config::new(ip(1), "192.168.122.0/24".parse()?, range);
        config.max_leases = MAX_LEASES;
        config.lease_time = LeaseTime::Seconds(600);
        config.domain = Some("vm".to_owned());
        config.mtu = Some(1500);
        // Site-specific options (RFC 3942), more than fit: some are left out.
        config.options = (224..232)
            .map(|code| (code, vec![code; 240]).into())
            .collect();
        config.hosts = vec![Host {
            address: Some(ip(200)),
            name: Some("static".to_owned()),
            ..Host::new(client(STATIC).into())
        }];
        let mut narrow = config.clone();
        narrow.ranges = vec![Range::new(ip(20)..=ip(30))];
        narrow.options.clear();
        narrow.lease_time = LeaseTime::Seconds(120);
        let now = 1_700_000_000;
        Ok(Self {
            server: Server::new(config.clone(), [], hash_key, now)?,
            configs: [config, narrow],
            hash_key,
            now,
            books: HashMap::new(),
            offers: HashMap::new(),
        })
    }

    /// Draws a message into `input` and puts it to the server.
    ///
    /// # Errors
    /// What did not hold.
    pub fn input(&mut self, rng: &mut Rng, input: &mut Vec<u8>, tally: &mut Tally) -> Result<()> {
        self.pass(match rng.u16(..4096) {
            0 => 2000,
            1..256 => rng.u64(1..4),
            _ => 0,
        });
        let mac = client(rng.u8(..CLIENTS));
        let known = match rng.u8(..4) {
            0 => None,
            1 => self.leased_to(mac),
            _ => self.offered_to(mac).or(self.leased_to(mac)),
        };
        let client = Client {
            mac,
            address: known.unwrap_or_else(|| ip(rng.u8(..))),
            server: ip(if rng.u8(..16) == 0 { rng.u8(..) } else { 1 }),
        };
        message::draw(rng, client, input);
        self.handle(rng, input, tally)
    }

    /// Lets `seconds` pass.
    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.saturating_add(seconds);
    }

    /// The address that is recorded for the client.
    #[must_use]
    pub fn leased_to(&self, mac: MacAddr) -> Option<Ipv4Addr> {
        self.books.get(&mac).map(|lease| lease.address)
    }

    /// The last address that the client was offered.
    #[must_use]
    pub fn offered_to(&self, mac: MacAddr) -> Option<Ipv4Addr> {
        self.offers.get(&mac).copied()
    }

    /// Puts `message` to the server; one write in eight fails.
    ///
    /// # Errors
    /// What did not hold.
    pub fn handle(&mut self, rng: &mut Rng, message: &[u8], tally: &mut Tally) -> Result<()> {
        let sender = sender(rng, message);
        self.put(message, sender, rng.u8(..8) > 0, tally)
    }

    /// Puts `message` from `sender` to the server; `writable` says whether what
    /// it changes can be written down.
    ///
    /// # Errors
    /// What did not hold.
    pub fn put(
        &mut self,
        message: &[u8],
        sender: Sender,
        writable: bool,
        tally: &mut Tally,
    ) -> Result<()> {
        let outcome = self.server.handle(message, sender, self.now);
        for change in &outcome.changes {
            self.ensure_own(message, sender, change)?;
        }
        let written = outcome.changes.is_empty() || writable;
        if written {
            outcome.changes.iter().try_for_each(|c| self.write(c))?;
        } else {
            tally.add("dhcp", "undone", 1);
            for change in outcome.changes.iter().rev() {
                self.server.undo(change, self.now);
            }
            self.balance().context("after an undo")?;
        }
        match &outcome.answer {
            Answer::Silence(silence) => tally.add("silence", silence.name(), 1),
            Answer::Reply(reply) if written => self.judge(message, reply, tally)?,
            // It is not sent.
            Answer::Reply(_) => {}
            Answer::Probe(_) => bail!("a probe, which is off"),
        }
        self.bounded(&outcome)
    }

    /// Looks at the whole state, then has an operator do something, or nothing.
    ///
    /// # Errors
    /// What did not hold.
    pub fn look_over(&mut self, rng: &mut Rng) -> Result<()> {
        let act = match rng.u8(..4) {
            0 => Some(Act::Reconfigure { narrow: rng.bool() }),
            1 => Some(Act::Restart),
            2 => Some(Act::Delete(ip(rng.u8(..)))),
            _ => None,
        };
        self.inspect()?;
        act.map_or(Ok(()), |act| self.act(act))
    }

    /// Looks at the whole state.
    ///
    /// # Errors
    /// What did not hold.
    pub fn inspect(&self) -> Result<()> {
        self.balance()?;
        let held = self.server.leases(self.now).count();
        ensure!(held <= 3 * MAX_LEASES, "{held} addresses are held");
        Ok(())
    }

    /// Does what an operator would.
    ///
    /// # Errors
    /// What did not hold.
    pub fn act(&mut self, act: Act) -> Result<()> {
        match act {
            Act::Reconfigure { narrow } => {
                let [wide, small] = &self.configs;
                let config = if narrow { small } else { wide };
                self.server.reconfigure(config.clone(), self.now)?;
                self.forget()?;
            }
            Act::Restart => {
                let file = leasefile::format(self.books.values());
                let leases: Result<Vec<Lease>, _> = leasefile::parse(file.as_bytes()).collect();
                let config = self.server.config().clone();
                self.server = Server::new(config, leases?, self.hash_key, self.now)?;
                self.forget()?;
            }
            Act::Delete(address) => {
                if let Some(change) = self.server.release(address) {
                    self.write(&change)?;
                }
            }
        }
        self.balance().context("after an operator's change")
    }

    /// Whether a live lease changes by its own client's message alone: its
    /// client goes on to use it. Whoever else sends that message can only
    /// have it go on.
    fn ensure_own(&self, message: &[u8], sender: Sender, change: &Change) -> Result<()> {
        let is_live = |lease: &&Lease| lease.is_live(self.now);
        let Some(lease) = change.before.as_ref().filter(is_live) else {
            return Ok(());
        };
        ensure!(
            message.get(28..34) == Some(&lease.mac.octets()),
            "another's live lease went: {change:?}"
        );
        let ends = change.after.as_ref().filter(is_live).is_none();
        ensure!(
            !ends || sender.mac == lease.mac,
            "{} ended another's lease: {change:?}",
            sender.mac
        );
        Ok(())
    }

    fn write(&mut self, change: &Change) -> Result<()> {
        let mac = change.mac().context("a change of nobody's record")?;
        ensure!(
            self.books.get(&mac) == change.before.as_ref(),
            "a change from what never was: {change:?}"
        );
        match &change.after {
            Some(lease) => self.books.insert(mac, lease.clone()),
            None => self.books.remove(&mac),
        };
        Ok(())
    }

    /// Takes over that records were forgotten, which none of a live lease may.
    fn forget(&mut self) -> Result<()> {
        let kept: HashSet<MacAddr> = self.server.records().map(|l| l.mac).collect();
        let now = self.now;
        let lost = |lease: &&Lease| lease.is_live(now) && !kept.contains(&lease.mac);
        if let Some(lease) = self.books.values().find(lost) {
            bail!("a live lease was lost: {lease:?}");
        }
        self.books.retain(|mac, _| kept.contains(mac));
        Ok(())
    }

    /// Whether what is served is what was written down, no address twice.
    fn balance(&self) -> Result<()> {
        let mut records = 0;
        for lease in self.server.records() {
            records += 1;
            ensure!(
                self.books.get(&lease.mac) == Some(lease),
                "{lease:?} was never written down"
            );
        }
        ensure!(
            records == self.books.len(),
            "{records} records, {} written down",
            self.books.len()
        );
        let addresses: HashSet<Ipv4Addr> = self.books.values().map(|l| l.address).collect();
        ensure!(addresses.len() == records, "two clients, one address");
        let live = self.books.values().filter(|l| l.is_live(self.now));
        ensure!(
            live.count() == self.server.bindings(self.now).count(),
            "the bindings are not the live leases"
        );
        Ok(())
    }

    fn bounded(&self, outcome: &Outcome) -> Result<()> {
        let records = self.server.records().count();
        ensure!(
            records <= MAX_LEASES,
            "{records} records after {:?}",
            outcome.changes
        );
        Ok(())
    }

    fn judge(&mut self, request: &[u8], reply: &Reply, tally: &mut Tally) -> Result<()> {
        let bytes = &reply.message;
        ensure!(
            REPLY.contains(&bytes.len()) && bytes.len() <= longest(request),
            "{} bytes",
            bytes.len()
        );
        let message = Message::decode(&mut Decoder::new(bytes)).context("a reply")?;
        let options = message.opts();
        ensure!(
            message.opcode() == Opcode::BootReply
                && request.get(4..8) == Some(&message.xid().to_be_bytes())
                && request.get(28..34) == Some(message.chaddr())
                && options.get(OptionCode::ServerIdentifier).is_some(),
            "no reply to its message: {message:?}"
        );
        let chaddr: [u8; 6] = message.chaddr().try_into()?;
        let mac = MacAddr::from(chaddr);
        let address = message.yiaddr();
        match options.msg_type() {
            Some(MessageType::Offer) => {
                tally.add("dhcp", "offer", 1);
                self.ensure_given(mac, address)?;
                if mac.octets().starts_with(&client(0).octets()[..5]) {
                    self.offers.insert(mac, address);
                }
            }
            Some(MessageType::Ack) if address.is_unspecified() => {
                tally.add("dhcp", "ack to inform", 1);
            }
            Some(MessageType::Ack) => {
                tally.add("dhcp", "ack", 1);
                self.ensure_given(mac, address)?;
                let lease = self.books.get(&mac).context("an ACK without a lease")?;
                ensure!(
                    lease.address == address && lease.is_live(self.now),
                    "an ACK of {address} on {lease:?}"
                );
            }
            Some(MessageType::Nak) => {
                tally.add("dhcp", "nak", 1);
                ensure!(address.is_unspecified(), "a NAK with an address");
            }
            other => bail!("a reply of type {other:?}"),
        }
        Ok(())
    }

    /// Whether `address` may be given to `mac`.
    fn ensure_given(&self, mac: MacAddr, address: Ipv4Addr) -> Result<()> {
        let [a, b, c, last] = address.octets();
        ensure!(
            [a, b, c] == [192, 168, 122] && !matches!(last, 0 | 1 | 255),
            "{address} is no address to give"
        );
        ensure!(
            last != 200 || mac == client(STATIC),
            "{mac} gets the static address of another"
        );
        let live = self.books.values().filter(|l| l.is_live(self.now));
        let other = live
            .into_iter()
            .find(|l| l.address == address && l.mac != mac);
        ensure!(other.is_none(), "{address} for {mac}, but {other:?} has it");
        Ok(())
    }
}

/// Whose frame `message` comes in: the client's that it names, as a rule.
fn sender(rng: &mut Rng, message: &[u8]) -> Sender {
    let named = message.get(28..34).and_then(|mac| mac.try_into().ok());
    let named = named.map_or(client(0), |mac: [u8; 6]| mac.into());
    Sender {
        // Most by one port, so that it comes to its bounds.
        origin: Origin(rng.u32(..8 * ORIGINS).saturating_sub(7 * ORIGINS)),
        mac: if rng.u8(..8) == 0 { client(0) } else { named },
        unicast: false,
    }
}

/// The longest reply that the client of `request` takes, less IP and UDP header
/// (RFC 2132 §9.10).
fn longest(request: &[u8]) -> usize {
    let options = Options::read(request);
    let size = options.as_ref().and_then(|options| options.get(57));
    let size = size.and_then(|size| size.try_into().ok());
    size.map_or(576, |size| u16::from_be_bytes(size).clamp(576, 1500))
        .saturating_sub(28)
        .into()
}

/// An address of the subnet.
#[must_use]
pub fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 122, last)
}

/// The address of an honest client.
#[must_use]
pub fn client(number: u8) -> MacAddr {
    MacAddr(0x52, 0x54, 0, 0, 2, number)
}
