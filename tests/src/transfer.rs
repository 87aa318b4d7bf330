//! Payloads over TCP and UDP that are checked at both ends.

use crate::namespace::Namespace;
use crate::station::Station;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::fmt::Display;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// Where the receiver listens.
const PORT: u16 = 5001;

/// Sends `mebibytes` of random bytes from `from` to `to`, which has `address`,
/// and compares the sha256 of what was sent with that of what came. Gives the
/// time from the first byte to the sum of the last.
///
/// The payload is a file in `/tmp` on the sending side: a guest without KVM
/// takes longer to make random bytes than to send them.
///
/// # Errors
/// The sums differ, or it is not over after `within`.
pub fn tcp(
    from: &impl Station,
    to: &impl Station,
    address: impl Display,
    mebibytes: u32,
    within: Duration,
) -> Result<Duration> {
    // Known to clean.sh by the id of this process.
    let folder = format!("mktemp -d /tmp/vt-{}-XXXXXX", std::process::id());
    let source = from.run(&folder)?;
    let source = source.trim();
    let sent = from
        .shell(
            &format!(
                "dd if=/dev/urandom of={source}/payload bs=1048576 count={mebibytes} 2>&1 \
                 && sha256sum {source}/payload"
            ),
            within,
        )?
        .success()
        .context("cannot make the payload")?;
    ensure!(
        sent.contains(&format!("{mebibytes}+0 records out")),
        "the payload is short: {sent}"
    );
    let sent = sum(&sent).with_context(|| sent.clone())?;

    let sink = to.run(&folder)?;
    let sink = sink.trim();
    to.run(&format!(
        "busybox nc -l -p {PORT} -e busybox sh -c \
         'sha256sum >{sink}/sum && mv {sink}/sum {sink}/done' >/dev/null 2>&1 </dev/null &"
    ))?;
    // Port 5001 in LISTEN (0A), whatever else is there.
    wait::until("the receiver", wait::SOON, || {
        to.run(&format!(
            "grep ':{PORT:04X} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6"
        ))
    })?;

    let start = Instant::now();
    from.shell(
        &format!("busybox nc {address} {PORT} -e busybox cat {source}/payload"),
        within,
    )?
    .success()
    .context("the sender failed")?;
    let received = wait::until("the receiver's sum", within, || {
        sum(&to.run(&format!("cat {sink}/done"))?).context("no sum yet")
    })?;
    let elapsed = start.elapsed();
    from.run(&format!("rm -r {source}"))?;
    to.run(&format!("rm -r {sink}"))?;

    ensure!(
        received == sent,
        "the payload was changed on its way: sent {sent}, received {received}"
    );
    Ok(elapsed)
}

/// Datagrams on their way at most: as many as any queue between holds, so that
/// each that is missing was dropped for another reason.
const WINDOW: usize = 8;

/// Sends `count` datagrams of `length` random bytes from `from` to `to`, which
/// has `address`, and compares each with what comes.
///
/// # Errors
/// One is missing or was changed.
pub fn udp(
    from: &Namespace,
    to: &Namespace,
    address: Ipv4Addr,
    count: usize,
    length: usize,
) -> Result<()> {
    let receiver = to.enter(|| Ok(UdpSocket::bind((address, PORT))?))?;
    receiver.set_read_timeout(Some(wait::SOON))?;
    let sender = from.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    sender.connect((address, PORT))?;
    let mut buffer = vec![0; length + 1];
    for first in (0..count).step_by(WINDOW) {
        let mut sent: Vec<Vec<u8>> = (0..WINDOW)
            .map(|_| {
                std::iter::repeat_with(|| fastrand::u8(..))
                    .take(length)
                    .collect()
            })
            .collect();
        for datagram in &sent {
            sender.send(datagram)?;
        }
        while !sent.is_empty() {
            let got = receiver.recv(&mut buffer).with_context(|| {
                format!(
                    "{} of the datagrams from {first} on are missing",
                    sent.len()
                )
            })?;
            let at = sent
                .iter()
                .position(|datagram| buffer.get(..got) == Some(datagram));
            sent.remove(at.context("a datagram was changed on its way, or came twice")?);
        }
    }
    Ok(())
}

/// The sha256 in the output of sha256sum, 64 hex digits.
fn sum(output: &str) -> Option<String> {
    output
        .split_whitespace()
        .find(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(str::to_owned)
}
