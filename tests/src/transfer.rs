//! A payload over TCP that is checked at both ends.

use crate::station::Station;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Where the receiver listens.
const PORT: u16 = 5001;

/// Sends `mebibytes` of random bytes from `from` to `to`, which has `address`,
/// and compares the sha256 of what was sent with that of what came.
///
/// The receiver's sha256sum writes its result into the same connection, so
/// that the way back is checked, too. Gives the time that it took.
///
/// # Errors
/// The sums differ, not all was sent, or it is not over after `within`.
pub fn tcp(
    from: &impl Station,
    to: &impl Station,
    address: impl Display,
    mebibytes: u32,
    within: Duration,
) -> Result<Duration> {
    to.run(&format!(
        "busybox nc -l -p {PORT} -e busybox sha256sum >/dev/null 2>&1 </dev/null &"
    ))?;
    // Port 5001 in LISTEN (0A), whatever else is there.
    wait::until("the receiver", wait::SOON, || {
        to.run(&format!(
            "grep ':{PORT:04X} 0*:0000 0A' /proc/net/tcp /proc/net/tcp6"
        ))
    })?;

    // One line, since a guest takes no more.
    let start = Instant::now();
    let output = from
        .shell(
            &format!(
                "d=$(mktemp -d); mkfifo $d/copy; \
                 busybox sha256sum <$d/copy >$d/sent & \
                 dd if=/dev/urandom bs=65536 count={} 2>$d/dd | tee $d/copy \
                 | busybox nc {address} {PORT} >$d/received; \
                 wait; cat $d/received $d/sent $d/dd; rm -r $d",
                mebibytes * 16
            ),
            within,
        )?
        .success()
        .context("the sender failed")?;
    let elapsed = start.elapsed();

    let mut lines = output.lines().map(str::trim);
    let received = lines.next().unwrap_or_default();
    let sent = lines.next().unwrap_or_default();
    ensure!(
        sent.len() >= 64 && received == sent,
        "the payload was changed on its way: {output}"
    );
    ensure!(
        output.contains(&format!("{}+0 records out", mebibytes * 16)),
        "not all was sent: {output}"
    );
    Ok(elapsed)
}
