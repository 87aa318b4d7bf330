//! AF_PACKET sockets (packet(7), `include/uapi/linux/if_packet.h`): all frames
//! of a netdev, each behind a virtio-net header, a burst a system call.

use super::{check, get_option, iovecs, set_option, set_receive_buffer, set_send_buffer};
use crate::frame::vnet::LEGACY_LEN;
use crate::frame::{BURST, Frame};
use crate::port::TxFrame;
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use zerocopy::{Immutable, IntoBytes};

/// Bytes that a socket may hold in either direction. The default (212,992)
/// takes three super-frames.
const SOCKET_BUFFER: usize = 8 << 20;

/// `PACKET_MR_PROMISC`, in the type of its field.
const PROMISCUOUS: libc::c_ushort = 1;

/// `BPF_RET | BPF_K`.
const RETURN_CONSTANT: u16 = 0x06;

/// `struct packet_mreq`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Membership {
    ifindex: libc::c_int,
    kind: libc::c_ushort,
    address_len: libc::c_ushort,
    address: [u8; 8],
}

/// What came with a received frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Datagram {
    /// Bytes received, header included.
    pub len: usize,
    /// TPID and TCI of a VLAN tag that the kernel took out of the frame.
    pub vlan: Option<(u16, u16)>,
    /// The frame was longer than the buffer.
    pub truncated: bool,
}

/// A socket bound to one netdev.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    ifindex: libc::c_int,
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Room for one `PACKET_AUXDATA` control message, aligned for its header.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
// SAFETY: computes a length from a length.
const CONTROL: usize =
    unsafe { libc::CMSG_SPACE(size_of::<libc::tpacket_auxdata>() as libc::c_uint) } as usize;

/// Length of a whole `PACKET_AUXDATA` control message, its header included.
#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
// SAFETY: computes a length from a length.
const AUXDATA: usize =
    unsafe { libc::CMSG_LEN(size_of::<libc::tpacket_auxdata>() as libc::c_uint) } as usize;

impl PacketSocket {
    /// Sockets that together take every frame that the netdev with `ifindex`
    /// receives, in promiscuous mode, but none that is sent out of it. Frames
    /// of one flow stay with one socket (`PACKET_FANOUT_HASH`).
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW`, `ENODEV` if there is no such netdev.
    pub fn receiving(ifindex: u32, sockets: usize) -> io::Result<Vec<Self>> {
        let first = Self::open(ifindex)?;
        first.prepare_to_receive()?;
        first.bind(libc::ETH_P_ALL)?;
        let mut all = vec![first];
        let mut join = None;
        while all.len() < sockets {
            let group = match (join, all.first()) {
                (Some(group), _) => group,
                (None, Some(first)) => first.found_group()?,
                (None, None) => break,
            };
            join = Some(group);
            let socket = Self::open(ifindex)?;
            socket.prepare_to_receive()?;
            // Bound and not in the group yet, it would receive every frame a
            // second time.
            socket.refuse_all()?;
            socket.bind(libc::ETH_P_ALL)?;
            set_option(&socket.fd, libc::SOL_PACKET, libc::PACKET_FANOUT, &group)?;
            set_option(&socket.fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0)?;
            all.push(socket);
        }
        Ok(all)
    }

    /// Sets what has to be set before the first frame comes.
    fn prepare_to_receive(&self) -> io::Result<()> {
        for option in [libc::PACKET_AUXDATA, libc::PACKET_IGNORE_OUTGOING] {
            set_option(&self.fd, libc::SOL_PACKET, option, &1)?;
        }
        set_receive_buffer(&self.fd, SOCKET_BUFFER)?;
        let membership = Membership {
            ifindex: self.ifindex,
            kind: PROMISCUOUS,
            address_len: 0,
            address: [0; 8],
        };
        let option = libc::PACKET_ADD_MEMBERSHIP;
        set_option(&self.fd, libc::SOL_PACKET, option, &membership)
    }

    /// Makes a fan-out group of this socket; gives the argument by which others
    /// join: the group's number in the low half, how it spreads in the high one.
    fn found_group(&self) -> io::Result<u32> {
        let how = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
        let new = (how | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16;
        set_option(&self.fd, libc::SOL_PACKET, libc::PACKET_FANOUT, &new)?;
        let made: u32 = get_option(&self.fd, libc::SOL_PACKET, libc::PACKET_FANOUT)?;
        Ok(how << 16 | made & 0xffff)
    }

    /// Has the socket receive nothing, by a classic BPF program that takes 0
    /// bytes of each frame.
    fn refuse_all(&self) -> io::Result<()> {
        let mut take_nothing = libc::sock_filter {
            code: RETURN_CONSTANT,
            jt: 0,
            jf: 0,
            k: 0,
        };
        let program = libc::sock_fprog {
            len: 1,
            filter: &raw mut take_nothing,
        };
        let len = libc::socklen_t::try_from(size_of_val(&program))
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel reads a sock_fprog of this length, and the one
        // instruction that it points to.
        check(unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                len,
            )
        })?;
        Ok(())
    }

    /// Sends frames out of the netdev with `ifindex` and receives none.
    ///
    /// # Errors
    /// As [`PacketSocket::receiving`].
    pub fn sending(ifindex: u32) -> io::Result<Self> {
        let socket = Self::open(ifindex)?;
        set_send_buffer(&socket.fd, SOCKET_BUFFER)?;
        socket.bind(0)?;
        Ok(socket)
    }

    /// A socket that another process has bound to a netdev and set up.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for another kind of file, `ENODEV` where
    /// the netdev is gone.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: sockaddr_ll is plain data; all zeroes is a valid value.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        let mut len = libc::socklen_t::try_from(size_of_val(&address))
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel writes up to `len` bytes of the address.
        check(unsafe {
            libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut len)
        })?;
        if libc::c_int::from(address.sll_family) != libc::AF_PACKET {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if address.sll_ifindex <= 0 {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        Ok(Self {
            fd,
            ifindex: address.sll_ifindex,
        })
    }

    /// A descriptor of its own for the same socket.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// A socket that is to be bound to the netdev with `ifindex`. Until then it
    /// receives nothing.
    fn open(ifindex: u32) -> io::Result<Self> {
        let ifindex = libc::c_int::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: takes no pointer.
        let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: `fd` was just made and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
        Ok(Self { fd, ifindex })
    }

    /// Whether the netdev that the socket was bound to still exists here.
    #[must_use]
    pub fn netdev_exists(&self) -> bool {
        // SAFETY: ifreq is plain data; all zeroes is a valid value.
        let mut request: libc::ifreq = unsafe { zeroed() };
        request.ifr_ifru.ifru_ifindex = self.ifindex;
        // SAFETY: SIOCGIFNAME reads and writes one ifreq, which `request` is.
        let found =
            check(unsafe { libc::ioctl(self.as_raw_fd(), libc::SIOCGIFNAME, &raw mut request) });
        found.is_ok()
    }

    /// Receives a burst, one datagram a frame: the header stands in the last
    /// [`LEGACY_LEN`] bytes of the headroom, the frame behind it. `received` says
    /// what came, for as many frames as the call returns, `N` at most.
    ///
    /// # Errors
    /// `WouldBlock` when nothing waits; `EINVAL` for a frame whose offload the
    /// header cannot express (it is consumed); `ENETDOWN` once when the netdev
    /// goes down or away.
    pub fn receive<const N: usize>(
        &self,
        frames: &mut [Frame],
        received: &mut [Datagram; N],
    ) -> io::Result<usize> {
        let mut slices = [const { MaybeUninit::<libc::iovec>::uninit() }; N];
        let mut controls = [const { MaybeUninit::<Control>::uninit() }; N];
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; N];
        let mut count = 0;
        for (((frame, slice), control), message) in frames
            .iter_mut()
            .zip(&mut slices)
            .zip(&mut controls)
            .zip(&mut messages)
        {
            let area = frame.receive_area(LEGACY_LEN);
            let slice = slice.write(libc::iovec {
                iov_base: area.as_mut_ptr().cast(),
                iov_len: area.len(),
            });
            // SAFETY: mmsghdr is plain data; all zeroes is a valid value.
            let message = message.write(unsafe { zeroed() });
            message.msg_hdr.msg_iov = slice;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL;
            count += 1;
        }
        // SAFETY: the first `count` messages are initialised; each points to an
        // iovec over a whole receive area and a control buffer of the length
        // given, all of which outlive the call and are borrowed mutably here.
        let got = check(unsafe {
            libc::recvmmsg(
                self.as_raw_fd(),
                messages.as_mut_ptr().cast(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        })?;
        let got = usize::try_from(got).unwrap_or_default();
        for (message, to) in messages.iter().zip(received.iter_mut()).take(got) {
            // SAFETY: the kernel received into it, so it was initialised above.
            let message = unsafe { message.assume_init_ref() };
            *to = Datagram {
                len: usize::try_from(message.msg_len).unwrap_or_default(),
                vlan: vlan_tag(&message.msg_hdr),
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
        }
        Ok(got)
    }

    /// Sends the first [`BURST`] of `frames` and returns how many left.
    ///
    /// # Errors
    /// Why not even the first could leave.
    pub fn send(&self, frames: &[TxFrame<'_>]) -> io::Result<usize> {
        let mut slices = [const { MaybeUninit::<[libc::iovec; 2]>::uninit() }; BURST];
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BURST];
        let mut count = 0;
        for ((frame, slices), message) in frames.iter().zip(&mut slices).zip(&mut messages) {
            let slices = slices.write(iovecs(frame));
            // SAFETY: mmsghdr is plain data; all zeroes is a valid value.
            let message = message.write(unsafe { zeroed() });
            message.msg_hdr.msg_iov = slices.as_mut_ptr();
            message.msg_hdr.msg_iovlen = if frame.body.is_empty() { 1 } else { 2 };
            count += 1;
        }
        // SAFETY: the first `count` messages are initialised; their iovecs
        // cover slices that outlive the call, and the kernel only reads them.
        let sent = check(unsafe {
            libc::sendmmsg(
                self.as_raw_fd(),
                messages.as_mut_ptr().cast(),
                count,
                libc::MSG_DONTWAIT,
            )
        })?;
        Ok(usize::try_from(sent).unwrap_or_default())
    }

    /// Binds to the netdev, to receive frames of `protocol`; 0: none.
    fn bind(&self, protocol: libc::c_int) -> io::Result<()> {
        // SAFETY: sockaddr_ll is plain data; all zeroes is a valid value.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family =
            u16::try_from(libc::AF_PACKET).map_err(|_| io::ErrorKind::InvalidInput)?;
        address.sll_protocol = u16::try_from(protocol)
            .map_err(|_| io::ErrorKind::InvalidInput)?
            .to_be();
        address.sll_ifindex = self.ifindex;
        let len = libc::socklen_t::try_from(size_of_val(&address))
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the address is a sockaddr_ll of the length given.
        check(unsafe { libc::bind(self.as_raw_fd(), (&raw const address).cast(), len) })?;
        Ok(())
    }
}

/// The VLAN tag in a message's auxiliary data.
fn vlan_tag(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: the kernel filled in the message's control buffer and length.
    let control = unsafe { libc::CMSG_FIRSTHDR(message) };
    if control.is_null() {
        return None;
    }
    // SAFETY: not null, so a whole header stands in the control buffer.
    let header = unsafe { control.read() };
    let ours = header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA;
    if !ours || header.cmsg_len < AUXDATA {
        return None;
    }
    // SAFETY: the header has data behind it.
    let data: *const libc::tpacket_auxdata = unsafe { libc::CMSG_DATA(control) }.cast();
    // SAFETY: by its length, the data is a whole tpacket_auxdata.
    let data = unsafe { data.read_unaligned() };
    if data.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = if data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID == 0 {
        0x8100
    } else {
        data.tp_vlan_tpid
    };
    Some((tpid, data.tp_vlan_tci))
}
