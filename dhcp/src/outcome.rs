//! What handling one message comes to.

use std::fmt;
use std::net::Ipv4Addr;

use pnet_base::MacAddr;

use crate::lease::Lease;
use crate::probe::Probe;
use crate::tag::Tags;

/// All that one message led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What to send, if anything. Where `changes` is not empty it must not be
    /// sent before these are on disk.
    pub answer: Answer,
    /// What the client is marked with, in the order in which it was; none where
    /// its message was not looked at.
    pub tags: Tags,
    /// What changed in the lease table, in this order.
    pub changes: Vec<Change>,
    /// What an operator, a hook or a metric may want to know of.
    pub events: Vec<Event>,
}

/// What to do about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Send this.
    Reply(Reply),
    /// Send nothing, for this reason.
    Silence(Silence),
    /// Ask the segment whether somebody uses the address, and give the message
    /// to [`Server::probed`](crate::Server::probed) with what comes of it, some
    /// tenths of a second later. The address is held for the client meanwhile;
    /// there are no changes.
    Probe(Probe),
}

/// A message to send, from UDP port 67.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The DHCP message: the UDP payload, at least 300 bytes.
    pub message: Vec<u8>,
    /// The server's address that it comes from.
    pub source: Ipv4Addr,
    /// Where it goes.
    pub destination: Destination,
}

/// Where a reply goes (RFC 2131 §4.1): to UDP port 68, a relay agent's to 67.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To 255.255.255.255 and the Ethernet broadcast address.
    Broadcast,
    /// To one client. It may not have the address yet, so it must be reached
    /// without asking for it by ARP.
    Unicast {
        /// The IPv4 destination.
        address: Ipv4Addr,
        /// The Ethernet destination.
        mac: MacAddr,
    },
    /// To the relay agent that sent the message on, at UDP port 67. Whose
    /// frame brought the message knows the way there.
    Relay {
        /// The agent's address (field `giaddr`).
        address: Ipv4Addr,
    },
}

/// One client's record, before and after. At least one of the two is there,
/// and both are of the same client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The record that is replaced or removed.
    pub before: Option<Lease>,
    /// The record that is new.
    pub after: Option<Lease>,
}

impl Change {
    /// The client whose record changed.
    #[must_use]
    pub fn mac(&self) -> Option<MacAddr> {
        self.after.as_ref().or(self.before.as_ref()).map(|l| l.mac)
    }
}

/// Something that happened on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An address was offered.
    Offered {
        /// To whom.
        mac: MacAddr,
        /// Which.
        address: Ipv4Addr,
    },
    /// A client got an address that it did not have.
    Bound {
        /// The client.
        mac: MacAddr,
        /// Its address.
        address: Ipv4Addr,
    },
    /// A client may keep the address that it has.
    Renewed {
        /// The client.
        mac: MacAddr,
        /// Its address.
        address: Ipv4Addr,
    },
    /// A client gave its address back.
    Released {
        /// The client.
        mac: MacAddr,
        /// The address that it had.
        address: Ipv4Addr,
    },
    /// A lease ran out.
    Expired {
        /// The client.
        mac: MacAddr,
        /// The address that it had.
        address: Ipv4Addr,
    },
    /// A client found its address in use by somebody else.
    Declined {
        /// The client.
        mac: MacAddr,
        /// The address.
        address: Ipv4Addr,
        /// Whether it is put aside for a while. It is free again where its
        /// client's [`Origin`](crate::Origin) has as many put aside as it may.
        put_aside: bool,
    },
    /// An address that was to be offered is in use by a station without a lease
    /// on it.
    InUse {
        /// The client that it was for.
        mac: MacAddr,
        /// The address.
        address: Ipv4Addr,
        /// The hardware address that answered the probe.
        holder: MacAddr,
        /// Whether it is put aside for a while. It is offered all the same where
        /// the holder's [`Origin`](crate::Origin) has as many put aside as it
        /// may.
        put_aside: bool,
    },
    /// A client was told that it may not have an address.
    Refused {
        /// The client.
        mac: MacAddr,
        /// What it asked for.
        address: Ipv4Addr,
        /// Why not.
        refusal: Refusal,
    },
    /// The record of a client's former lease made room for another's.
    Forgotten {
        /// The client that is no longer remembered.
        mac: MacAddr,
        /// The address that it had.
        address: Ipv4Addr,
    },
    /// Two stations present one client identifier, as clones of one image do.
    /// Each gets an address of its own where leases are keyed by MAC; by client
    /// identifier they are one client, and the second takes the first one's.
    DuplicateClientId {
        /// The identifier as it came in option 61.
        client_id: Box<[u8]>,
        /// The client that had a lease already, and the one that got one now.
        macs: [MacAddr; 2],
    },
    /// A static host could not get its address and is served from the range.
    HostAddressTaken {
        /// The static host.
        mac: MacAddr,
        /// Its configured address.
        address: Ipv4Addr,
        /// Who has a lease on it; `None` where it was declined or is on offer.
        holder: Option<MacAddr>,
    },
    /// The name that a client gave is no host name and was not taken.
    BadHostname {
        /// The client.
        mac: MacAddr,
    },
    /// Options did not fit into the longest message that the client takes.
    OptionsLeftOut {
        /// The client.
        mac: MacAddr,
        /// The codes of these options.
        codes: Vec<u8>,
    },
}

/// Gives an enum without fields the names that users see, in one place.
macro_rules! named {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$doc])* $variant, )+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name that users see: lower case, words joined by `-`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// Why a message got no reply.
    pub enum Silence {
        /// The checksum of its IP header or of its UDP datagram is wrong.
        BadChecksum = "bad-checksum",
        /// Shorter than a BOOTP header and the cookie (240 bytes).
        Truncated = "truncated",
        /// Not a request (field `op`).
        NotRequest = "not-request",
        /// Not from an Ethernet client (`htype` 1, `hlen` 6).
        NotEthernet = "not-ethernet",
        /// The client's hardware address is zero or a group address.
        BadMac = "bad-mac",
        /// No DHCP cookie in front of the options: plain BOOTP, or not DHCP.
        NoCookie = "no-cookie",
        /// An option runs past the end of its field, or has a length that its
        /// code does not allow.
        BadOption = "bad-option",
        /// No message type (option 53).
        NoMessageType = "no-message-type",
        /// A message type that no client sends to this server.
        UnknownMessageType = "unknown-message-type",
        /// Its client is on a subnet that is not served: what a relay agent says
        /// of it (`giaddr`, options 82 and 118) is in none.
        UnknownSubnet = "unknown-subnet",
        /// The configuration has the client ignored.
        Ignored = "ignored",
        /// The client is no configured host, and only these are served.
        NotKnown = "not-known",
        /// A DECLINE or RELEASE in the name of another than its frame's sender.
        OtherSender = "other-sender",
        /// It is for another server (option 54, or the address that it was sent to).
        OtherServer = "other-server",
        /// It does not say which address it is about.
        NoAddress = "no-address",
        /// It is about an address that the client does not hold.
        NotHeld = "not-held",
        /// It renews by itself, which a relay agent did for it before, and the
        /// agent, its router, is not known (any more). What it would be told
        /// without one took its default route; it asks the agent next.
        AgentUnknown = "agent-unknown",
        /// An INFORM from an address that is not of this subnet.
        WrongSubnet = "wrong-subnet",
        /// DECLINE and RELEASE are not answered (RFC 2131 §4.3.3, §4.3.4).
        NoAnswerDue = "no-answer-due",
        /// No range serves the client, or no address of those that do is free
        /// and no lease of them has run out.
        RangeExhausted = "range-exhausted",
        /// There are as many leases as the configuration allows.
        LeaseLimit = "lease-limit",
        /// As many addresses are on offer to clients of its
        /// [`Origin`](crate::Origin) as may be at a time.
        OriginLimit = "origin-limit",
        /// Its address is being probed for; the answer to the DISCOVER that
        /// began that is still to come.
        Probing = "probing",
        /// Each of the addresses that were tried for it is in use. The client's
        /// next DISCOVER goes on with others.
        AddressesInUse = "addresses-in-use",
        /// It would have to be recorded, which cannot be done at present.
        NotRecorded = "not-recorded",
        /// The reply could not be put into bytes: a defect of this program.
        Unencodable = "unencodable",
    }
}

named! {
    /// Why a server did not take a lease that it was started with, or that was
    /// to be imported.
    pub enum LeftOut {
        /// A lease that lasts longer is on its address.
        AddressTaken = "address-taken",
        /// Its client has a lease that lasts longer.
        ClientHasAnother = "client-has-another",
        /// It ran out, and its address is not served any more.
        NotServed = "not-served",
        /// There are as many records as may be; when loading, only one that ran
        /// out is left out for that.
        LeaseLimit = "lease-limit",
        /// Its address is not of the subnet.
        OtherSubnet = "other-subnet",
        /// It ran out before it was imported.
        RanOut = "ran-out",
    }
}

named! {
    /// Why a client got a NAK, which says so in option 56.
    pub enum Refusal {
        /// The address is not of this subnet.
        WrongSubnet = "wrong-network",
        /// The client has another address.
        WrongAddress = "wrong-address",
        /// The address is not one to hand out, or reserved for another host.
        NotServed = "address-not-available",
        /// Another client has it.
        InUse = "address-in-use",
        /// It was declined and is put aside.
        Declined = "address-declined",
        /// The client has a static address, which is another one.
        StaticAddress = "static-host-address-available",
    }
}
