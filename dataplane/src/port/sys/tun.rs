//! The TUN driver's file (Linux `Documentation/networking/tuntap.rst`,
//! `include/uapi/linux/if_tun.h`).

use super::check;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Makes the TAP netdev `name` and returns its file: non-blocking, frames
/// without packet information, each behind a virtio-net header of `header`
/// bytes. With `multi_queue`, each further call for the name gives a file of
/// another queue.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`, `EBUSY` if another process holds a TAP of
/// this name, and what else `TUNSETIFF` says.
pub fn open(name: &str, header: usize, multi_queue: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let mut request = ifreq(name)?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if multi_queue {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(flags).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which `request` is.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;

    let header = libc::c_int::try_from(header).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: TUNSETVNETHDRSZ reads one int.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const header) })?;
    Ok(file)
}

/// The driver's device, of which [`create`] makes a TAP.
///
/// # Errors
/// It is not there, or not for this process.
pub fn device() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open("/dev/net/tun")
}

/// Makes `device` the file of a new TAP netdev, for another program to hold.
/// Its name, which is the answer, is `pattern` with the first free number in
/// place of `%d`. The file blocks; frames come without packet information, with
/// `vnet_header` behind a virtio-net header.
///
/// # Errors
/// As [`open`].
pub fn create(device: &File, pattern: &str, vnet_header: bool) -> io::Result<String> {
    let mut request = ifreq(pattern)?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI;
    if vnet_header {
        flags |= libc::IFF_VNET_HDR;
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(flags).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which `request` is.
    check(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    text(&request.ifr_name)
}

/// The name of the netdev that `file` is a queue of, wherever it is now.
///
/// # Errors
/// `EBADFD` where the netdev is gone, or `file` is not of the TUN driver.
pub fn name(file: &impl AsRawFd) -> io::Result<String> {
    // SAFETY: ifreq is plain data; all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // SAFETY: TUNGETIFF writes one ifreq, which `request` is.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNGETIFF, &raw mut request) })?;
    text(&request.ifr_name)
}

/// Sets how many frames wait in the netdev's queue before the kernel drops
/// (`txqueuelen`). Its frames towards the switch wait there.
///
/// # Errors
/// What `SIOCSIFTXQLEN` says.
pub fn set_queue_length(name: &str, frames: u16) -> io::Result<()> {
    let socket = control_socket()?;
    let mut request = ifreq(name)?;
    request.ifr_ifru.ifru_metric = libc::c_int::from(frames);
    // SAFETY: SIOCSIFTXQLEN reads one ifreq, which `request` is.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFTXQLEN, &raw const request) })?;
    Ok(())
}

/// The longest packet of the netdev `name`, in bytes.
///
/// # Errors
/// What `SIOCGIFMTU` says.
pub fn mtu(name: &str) -> io::Result<libc::c_int> {
    let socket = control_socket()?;
    let mut request = ifreq(name)?;
    // SAFETY: SIOCGIFMTU reads and writes one ifreq, which `request` is.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) })?;
    // SAFETY: the kernel has set this field of the union.
    Ok(unsafe { request.ifr_ifru.ifru_mtu })
}

/// Sets the longest packet of the netdev `name`, in bytes.
///
/// # Errors
/// What `SIOCSIFMTU` says.
pub fn set_mtu(name: &str, mtu: libc::c_int) -> io::Result<()> {
    let socket = control_socket()?;
    let mut request = ifreq(name)?;
    request.ifr_ifru.ifru_mtu = mtu;
    // SAFETY: SIOCSIFMTU reads one ifreq, which `request` is.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFMTU, &raw const request) })?;
    Ok(())
}

/// A socket to ask for and change netdevs by (netdevice(7)).
fn control_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd =
        check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the netdev may leave checksums and segmentation to whoever reads
/// the file. Writing super-frames is possible either way, but those of UDP only
/// where this kernel knows them: that is the answer.
///
/// # Errors
/// What `TUNSETOFFLOAD` says.
pub fn set_offload(file: &File, on: bool) -> io::Result<bool> {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    if !on {
        set_features(file, 0)?;
        return Ok(false);
    }
    if set_features(file, tcp | udp).is_ok() {
        return Ok(true);
    }
    // Linux before 6.2.
    set_features(file, tcp)?;
    Ok(false)
}

fn set_features(file: &File, features: libc::c_uint) -> io::Result<()> {
    let features = libc::c_ulong::from(features);
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, features) })?;
    Ok(())
}

fn ifreq(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: ifreq is plain data; all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // The last byte stays 0: the kernel wants a terminated name.
    let room = request.ifr_name.len() - 1;
    if name.is_empty() || name.len() > room {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

/// The text in a terminated name.
fn text(name: &[libc::c_char]) -> io::Result<String> {
    let name = name.iter().map(|byte| byte.to_ne_bytes()[0]);
    let name: Vec<u8> = name.take_while(|byte| *byte != 0).collect();
    String::from_utf8(name).map_err(|_| io::ErrorKind::InvalidData.into())
}
