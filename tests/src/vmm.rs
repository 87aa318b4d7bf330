//! The end of a TAP that a VMM holds: its fd.

use crate::namespace::Namespace;
use crate::station::Station;
use crate::wait;
use anyhow::{Context, Result, bail};
use std::time::Duration;
use tun_tap::{Iface, Mode};

/// A TAP whose netdev is in a namespace and whose fd is here: what is sent is
/// what a guest would send, what is received is what it would get.
#[derive(Debug)]
pub struct Vmm {
    tap: Iface,
}

impl Vmm {
    /// Makes the TAP `interface` in `namespace` and brings it up. The host's
    /// own IPv6 is kept off it, so that nothing but the switch sends there.
    ///
    /// # Errors
    /// The name is taken, or there is no /dev/net/tun.
    pub fn new(namespace: &Namespace, interface: &str) -> Result<Self> {
        let tap = namespace.enter(|| {
            let tap = Iface::without_packet_info(interface, Mode::Tap)
                .with_context(|| format!("cannot make the TAP {interface}"))?;
            tap.set_non_blocking()?;
            Ok(tap)
        })?;
        namespace.run(&format!(
            "sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=1; ip link set {interface} up"
        ))?;
        Ok(Self { tap })
    }

    /// Sends one frame into the switch.
    ///
    /// # Errors
    /// The netdev is gone or down.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        self.tap.send(frame).context("cannot send on the TAP")?;
        Ok(())
    }

    /// Waits for a frame that `wanted` takes; others are dropped.
    ///
    /// # Errors
    /// None came soon.
    pub fn receive(&self, what: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        self.receive_within(what, wait::SOON, wanted)
    }

    /// As [`Vmm::receive`], with a deadline.
    ///
    /// # Errors
    /// None came within `within`.
    pub fn receive_within(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>> {
        wait::until(what, within, || {
            while let Some(frame) = self.next()? {
                if wanted(&frame) {
                    return Ok(frame);
                }
            }
            bail!("no such frame")
        })
    }

    /// All frames that wait, up to and with the first that `last` takes.
    ///
    /// # Errors
    /// That one did not come soon.
    pub fn receive_until(&self, what: &str, last: impl Fn(&[u8]) -> bool) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        wait::until(what, wait::SOON, || {
            while let Some(frame) = self.next()? {
                let done = last(&frame);
                frames.push(frame);
                if done {
                    return Ok(());
                }
            }
            bail!("no such frame")
        })?;
        Ok(frames)
    }

    fn next(&self) -> Result<Option<Vec<u8>>> {
        let mut frame = vec![0; 65_536];
        match self.tap.recv(&mut frame) {
            Ok(length) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).context("cannot receive on the TAP"),
        }
    }
}
