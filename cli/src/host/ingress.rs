//! Drops all that comes in by a netdev before the host's own network stack
//! takes it, and after packet sockets have seen it.
//!
//! Linux hands a received frame first to packet sockets that take everything
//! (as a `packet` port is), then to the netdev's nftables ingress hook, and
//! only then to VLANs, to its master and to the IP stack
//! (`__netif_receive_skb_core` in net/core/dev.c). A chain there with the
//! policy `drop` and no rule thus leaves the frame to the port alone.
//!
//! The table carries `NFT_TABLE_F_OWNER` (Linux 5.12): the kernel takes it
//! away with the netlink socket that made it, so with the process, however that
//! ends, and `nft flush ruleset` by somebody else leaves it in place.
//!
//! nftables speaks nfnetlink (linux/netfilter/nfnetlink.h and nf_tables.h),
//! here as few messages of it as there can be. A request is carried out before
//! the kernel takes the next one, so the answer is there right after sending.

use rtnetlink::packet_core::{
    DefaultNla, Emitable, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_ERROR,
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};
use rustix::io::Errno;
use std::fmt;
use std::io;

/// `NFNL_SUBSYS_NFTABLES`.
const NFTABLES: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`: nftables takes changes as
/// a transaction only.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

/// `NFPROTO_UNSPEC`, the family of a batch's ends.
const UNSPEC: u8 = 0;
/// `NFPROTO_NETDEV`.
const NETDEV: u8 = 5;

const NEW_TABLE: u16 = NFTABLES << 8;
const NEW_CHAIN: u16 = (NFTABLES << 8) | 3;
const DELETE_CHAIN: u16 = (NFTABLES << 8) | 5;

/// `NFTA_TABLE_*`.
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
/// `NFT_TABLE_F_OWNER`.
const OWNER: u32 = 2;

/// `NFTA_CHAIN_*`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
/// `NF_DROP`.
const DROP: u32 = 0;

/// `NFTA_HOOK_*`.
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_DEVICE: u16 = 3;
/// `NF_NETDEV_INGRESS`.
const INGRESS: u32 = 0;
/// Before those of others: a port's frames are none of theirs.
const FIRST: i32 = i32::MIN;

/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;

/// The netdevs of one network namespace whose frames are kept from the host.
/// Dropping it lets them through again.
pub(super) struct Ingress {
    socket: Socket,
    table: String,
    sequence: u32,
}

impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ingress").field(&self.table).finish()
    }
}

impl Ingress {
    /// Makes the table, `vmlan-` and a number of the kernel's, in the namespace
    /// of the calling thread.
    ///
    /// # Errors
    /// The kernel has no nftables, not for netdevs or too old ones; or the
    /// rights are missing (`CAP_NET_ADMIN`).
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        // What owns a table; unique in the namespace.
        let port = socket.bind_auto()?.port_number();
        socket.set_non_blocking(true)?;
        let mut ingress = Self {
            socket,
            table: format!("vmlan-{port}"),
            sequence: 0,
        };
        let attributes = vec![
            string(TABLE_NAME, &ingress.table),
            number(TABLE_FLAGS, OWNER),
        ];
        ingress.change(NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL, attributes)?;
        Ok(ingress)
    }

    /// Drops from now on what comes in by the netdev `name` with number
    /// `index`.
    ///
    /// # Errors
    /// Those of the kernel. Up to Linux 6.15 that is `ENOENT` where there is no
    /// such netdev; later ones wait for one.
    pub(super) fn block(&mut self, index: u32, name: &str) -> io::Result<()> {
        let hook = [
            number(HOOK_NUMBER, INGRESS),
            DefaultNla::new(HOOK_PRIORITY, FIRST.to_be_bytes().to_vec()),
            string(HOOK_DEVICE, name),
        ];
        let attributes = vec![
            string(CHAIN_TABLE, &self.table),
            string(CHAIN_NAME, &chain(index)),
            DefaultNla::new(CHAIN_HOOK | NESTED, bytes(&hook.as_slice())),
            number(CHAIN_POLICY, DROP),
            string(CHAIN_TYPE, "filter"),
        ];
        self.change(NEW_CHAIN, NLM_F_CREATE | NLM_F_EXCL, attributes)
    }

    /// Lets through again what comes in by the netdev with number `index`. One
    /// that is gone, or was not blocked, is fine.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn unblock(&mut self, index: u32) -> io::Result<()> {
        let attributes = vec![
            string(CHAIN_TABLE, &self.table),
            string(CHAIN_NAME, &chain(index)),
        ];
        match self.change(DELETE_CHAIN, 0, attributes) {
            // Up to Linux 6.15 the chain goes with the netdev.
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(()),
            result => result,
        }
    }

    /// Carries out a transaction of one change.
    fn change(&mut self, kind: u16, flags: u16, attributes: Vec<DefaultNla>) -> io::Result<()> {
        // An answer to an earlier change must not pass for the one to this.
        self.sequence = self.sequence.wrapping_add(1);
        let end = |kind| Message {
            kind,
            family: UNSPEC,
            resource: NFTABLES,
            attributes: Vec::new(),
        };
        let change = Message {
            kind,
            family: NETDEV,
            resource: 0,
            attributes,
        };
        let mut batch = self.serialized(end(BATCH_BEGIN), 0);
        batch.extend(self.serialized(change, flags | NLM_F_ACK));
        batch.extend(self.serialized(end(BATCH_END), 0));
        let sent = self.socket.send_to(&batch, &SocketAddr::new(0, 0), 0)?;
        if sent != batch.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.answer()
    }

    fn answer(&self) -> io::Result<()> {
        loop {
            let datagram = match self.socket.recv_from_full() {
                Ok((datagram, sender)) if sender.port_number() == 0 => datagram,
                Ok(_not_from_the_kernel) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::other("the kernel does not answer"));
                }
                Err(error) => return Err(error),
            };
            let message = NetlinkBuffer::new_checked(datagram.as_slice()).map_err(malformed)?;
            if message.message_type() != NLMSG_ERROR || message.sequence_number() != self.sequence {
                continue;
            }
            // struct nlmsgerr: 0 or a negated errno, then the request.
            let code = message
                .payload()
                .first_chunk()
                .ok_or_else(|| malformed("too short"))?;
            return match i32::from_ne_bytes(*code) {
                0 => Ok(()),
                code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
            };
        }
    }

    fn serialized(&self, message: Message, flags: u16) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut buffer = vec![0; message.buffer_len()];
        message.serialize(&mut buffer);
        buffer
    }
}

/// A message of nfnetlink: `struct nfgenmsg` and attributes.
struct Message {
    kind: u16,
    family: u8,
    resource: u16,
    attributes: Vec<DefaultNla>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        4 + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        /// `NFNETLINK_V0`.
        const VERSION: u8 = 0;
        let [high, low] = self.resource.to_be_bytes();
        if let Some((header, attributes)) = buffer.split_first_chunk_mut() {
            *header = [self.family, VERSION, high, low];
            self.attributes.as_slice().emit(attributes);
        }
    }
}

/// The chain of the netdev with number `index`.
fn chain(index: u32) -> String {
    format!("netdev-{index}")
}

/// With its NUL: without, newer kernels take a netdev's name for a prefix.
fn string(kind: u16, text: &str) -> DefaultNla {
    DefaultNla::new(kind, [text.as_bytes(), b"\0"].concat())
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

fn bytes(attributes: &impl Emitable) -> Vec<u8> {
    let mut buffer = vec![0; attributes.buffer_len()];
    attributes.emit(&mut buffer);
    buffer
}

fn malformed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::super::netns::{in_new_netns, ip};
    use super::*;
    use std::fs;
    use std::net::UdpSocket;

    /// How many of two datagrams that `two` sends get to the IP stack by its
    /// other end, `one`. Nobody in this namespace has their address.
    fn heard() -> u64 {
        let received = || {
            let text = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
            let values = text.lines().filter(|line| line.starts_with("Ip: ")).nth(1);
            // ipInReceives of RFC 4293 is the third.
            let field = values.unwrap().split(' ').nth(3).unwrap();
            field.parse::<u64>().unwrap()
        };
        let to_itself = UdpSocket::bind("127.0.0.1:0").unwrap();
        let guest = UdpSocket::bind("10.0.0.2:0").unwrap();
        let before = received();
        for _ in 0..2 {
            guest.send_to(b"hello", "10.0.0.3:9").unwrap();
        }
        // Comes after what a veth has handed over.
        let address = to_itself.local_addr().unwrap();
        to_itself.send_to(b"last", address).unwrap();
        to_itself.recv(&mut [0; 4]).unwrap();
        received() - before - 1
    }

    #[test]
    fn a_blocked_netdev_is_not_heard_until_it_is_unblocked_or_the_owner_ends() {
        in_new_netns(|| {
            ip("link set lo up");
            ip("link add one type veth peer name two");
            ip("link set one up");
            ip("addr add 10.0.0.2/24 dev two");
            ip("link set two up");
            ip("neigh add 10.0.0.3 lladdr ff:ff:ff:ff:ff:ff dev two");
            assert_eq!(heard(), 2);
            let mut ingress = Ingress::open().unwrap();
            ingress.block(7, "one").unwrap();
            assert_eq!(heard(), 0);
            ingress.unblock(7).unwrap();
            assert_eq!(heard(), 2);
            ingress.unblock(7).unwrap();

            ingress.block(7, "one").unwrap();
            assert_eq!(heard(), 0);
            drop(ingress);
            assert_eq!(heard(), 2);
        });
    }

    #[test]
    fn a_change_that_fails_is_an_error_and_a_netdev_that_is_gone_is_none() {
        in_new_netns(|| {
            ip("link add one type veth peer name two");
            let mut ingress = Ingress::open().unwrap();
            ingress.block(9, "one").unwrap();
            let error = ingress.block(9, "one").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::EXIST.raw_os_error()));
            ip("link del one");
            ingress.unblock(9).unwrap();
        });
    }
}
