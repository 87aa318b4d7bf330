//! A DHCPv4 server (RFC 2131) that does no I/O and reads no clock: what
//! clients send and the time go in, replies and lease changes come out.
//!
//! A message's way:
//!
//! 1. `wire` checks the bytes, which nobody has looked at before, and reads
//!    them; whatever is wrong with them is a named [`Silence`].
//! 2. [`Server`] does what the message asks for: `server/message` has a
//!    function for each, named after its section of the RFC, `server/choose`
//!    the choice of an address.
//! 3. `table` holds who has which address: leases, offers and declined
//!    addresses; `pool` knows which address of the range is free. Neither gets
//!    slower with the number of leases.
//! 4. `server/reply` picks the options that the client is told, and `wire`
//!    puts them into bytes.
//! 5. The caller gets an [`Outcome`]: the [`Answer`], the [`Change`]s that must
//!    be on disk before it is sent, and [`Event`]s to log, count or pass on.
//!
//! What is served stands in a [`Config`]; [`options`] turns options as users
//! write them into bytes, [`leasefile`] is the text form of leases and [`journal`]
//! that of their changes; [`clock`] is the time that they run by.
//!
//! # What a client can rely on
//!
//! - No address is given to two clients at a time. A lease, live or not, an
//!   offer and a declined address each keep others away from an address.
//! - A client gets the same address again: while its lease is remembered
//!   because of the record, later because the search for a free address starts
//!   at a keyed hash of its MAC.
//! - An address whose lease ran out goes to another client only when nothing
//!   else is free, the one that ran out first before the others.
//! - Nobody keeps the range from others by messages alone: what clients behind
//!   one [`Origin`] have on offer, and what they have declined, is bounded (a
//!   quarter and a sixteenth of the range). Leases are not: who invents hardware
//!   addresses and takes each through the whole exchange gets an address for
//!   each. To keep a port to the addresses of its own is the switch's part.
//! - Nobody ends a client's lease by naming it in a message: RELEASE and
//!   DECLINE count only in a frame from the hardware address that they name.
//!   Behind a relay agent that is what the agent says.
//!
//! # Where it differs from dnsmasq
//!
//! - Leases are keyed by MAC, unless the configuration says otherwise
//!   ([`Identity`]). Two clients with one client identifier get an address each,
//!   and an [`Event::DuplicateClientId`] says so.
//! - BOOTP is not served, and the server is always authoritative.
//! - Leases that ran out, or were released, stay in the table and in the lease
//!   file, as far as there is room for them.
//! - An offer holds its address for 60 seconds.
//! - A client that renews within a minute, or an eighth of its lease, of the
//!   last time is told what is left of its lease, and nothing is written.
//! - Where a probe goes out before an offer ([`Config::probe`]), it is by ARP, and
//!   for each address that its client has no live lease on, those of static hosts
//!   and former leases included. With many under way, offers go without.
//! - Options come in the order in which the client asks for them, not in that of
//!   the configuration, and one longer than 255 bytes in several parts (RFC 3396).
//! - Option 108 (RFC 8925) does not go to clients that name no option at all,
//!   unless it is forced.
//! - A relay agent is believed when it sends the client to another server address
//!   (RFC 5107), a client without an agent is not.
//! - Firmware that boots by HTTP is answered with its vendor class without a
//!   setting for that.
//! - Renewal times have no random part, and text has no final zero for clients
//!   that send one themselves.
//!
//! ```
//! use vmlan_dhcp::{Answer, Config, MacAddr, Origin, Sender, Server, Silence};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = "192.168.122.1".parse()?;
//! let range = "192.168.122.2".parse()?..="192.168.122.254".parse()?;
//! let config = Config::new(gateway, "192.168.122.0/24".parse()?, range);
//! let mut server = Server::new(config, [], 42, 1_700_000_000)?;
//!
//! let sender = Sender {
//!     origin: Origin(3),
//!     mac: MacAddr::new(0x52, 0x54, 0, 0, 0, 1),
//!     unicast: false,
//! };
//! let outcome = server.handle(b"not DHCP", sender, 1_700_000_001);
//! assert_eq!(outcome.answer, Answer::Silence(Silence::Truncated));
//! assert_eq!(server.capacity(), 253);
//! # Ok(())
//! # }
//! ```

pub mod clock;
pub mod config;
pub mod glob;
mod hash;
mod hold;
mod host;
pub mod hostname;
pub mod journal;
pub mod lease;
pub mod leasefile;
pub mod options;
pub mod outcome;
mod pool;
pub mod probe;
mod sender;
pub mod server;
mod table;
pub mod tag;
mod wire;

pub use config::{
    Condition, Config, ConfigError, Host, HostKey, Identity, LeaseTime, MacPattern, Match, Range,
};
pub use ipnet::Ipv4Net;
pub use lease::{Lease, LeaseState, LeaseView};
pub use outcome::{Answer, Change, Destination, Event, LeftOut, Outcome, Refusal, Reply, Silence};
pub use pnet_base::MacAddr;
pub use probe::{Claimant, Probe};
pub use sender::{Origin, Sender};
pub use server::Server;
pub use tag::{Tag, TagMatch, Tags};
pub use wire::option;
