//! Messages with open files on a unix socket: the length of the text and the
//! number of files, a u32 each in network order; the files, a byte for each lot
//! of them; the text.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Files in one lot: the kernel takes 253 at most (`SCM_MAX_FD`).
const LOT: usize = 250;

/// The most that is received: the files of as many ports as there can be, and
/// what is to be said of them and of the stations.
const MAX_FILES: usize = 65_536;
const MAX_TEXT: usize = 64 << 20;

/// Sends a message.
///
/// # Errors
/// Those of the socket.
pub(super) fn send(
    socket: &UnixStream,
    message: &impl Serialize,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let number = |n: usize| u32::try_from(n).map_err(|_| io::ErrorKind::InvalidInput);
    let head = [number(text.len())?, number(files.len())?];
    let mut out = socket;
    out.write_all(&head.map(u32::to_be_bytes).concat())?;
    for lot in files.chunks(LOT) {
        send_lot(socket, lot)?;
    }
    out.write_all(&text)
}

fn send_lot(socket: &UnixStream, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LOT))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(files));
    let sent = rustix::io::retry_on_intr(|| {
        sendmsg(
            socket,
            &[IoSlice::new(&[0])],
            &mut control,
            SendFlags::NOSIGNAL,
        )
    })?;
    if sent == 1 {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Receives a message.
///
/// # Errors
/// Those of the socket, within the time that it is set to wait;
/// [`io::ErrorKind::InvalidData`] where the peer does not speak so.
pub(super) fn receive<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut input = socket;
    let mut head = [0; 8];
    input.read_exact(&mut head)?;
    let [a, b, c, d, e, f, g, h] = head;
    let number = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    let (length, count) = (number([a, b, c, d]), number([e, f, g, h]));
    if length > MAX_TEXT || count > MAX_FILES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut files = Vec::new();
    while files.len() < count {
        let before = files.len();
        receive_lot(socket, &mut files)?;
        if files.len() == before || files.len() > count {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let mut text = Vec::new();
    input
        .take(u64::try_from(length).unwrap_or(u64::MAX))
        .read_to_end(&mut text)?;
    Ok((serde_json::from_slice(&text)?, files))
}

fn receive_lot(socket: &UnixStream, files: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LOT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let got = rustix::io::retry_on_intr(|| {
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(lot) = message {
            files.extend(lot);
        }
    }
    if got.bytes == 1 {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Seek, SeekFrom};
    use std::os::fd::AsFd;
    use std::thread;

    fn file(n: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        write!(file, "{n}").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    #[test]
    fn a_message_comes_with_its_files_in_their_order() {
        for count in [0, 1, LOT, LOT + 1, 3 * LOT] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let sender = thread::spawn(move || {
                let files: Vec<File> = (0..count).map(file).collect();
                let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
                send(&ours, &vec!["x".repeat(300_000)], &files).unwrap();
                send(&ours, &"next", &[]).unwrap();
            });
            let (text, files): (Vec<String>, _) = receive(&theirs).unwrap();
            assert_eq!(text, ["x".repeat(300_000)]);
            for (n, file) in files.into_iter().enumerate() {
                let mut text = String::new();
                File::from(file).read_to_string(&mut text).unwrap();
                assert_eq!(text, n.to_string());
            }
            assert_eq!(receive::<String>(&theirs).unwrap().0, "next");
            sender.join().unwrap();
        }
    }

    #[test]
    fn what_is_no_message_is_refused_before_memory_is_taken_for_it() {
        for head in [[0xff; 8], [0, 0, 0, 2, 0, 0, 0, 1], [0; 8]] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(&head).unwrap();
            ours.write_all(b"xx").unwrap();
            drop(ours);
            assert!(receive::<String>(&theirs).is_err(), "{head:?}");
        }
    }
}
