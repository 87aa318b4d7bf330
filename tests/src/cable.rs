//! A guest with a whole network stack and without a qemu: a namespace whose
//! `eth0` is a TAP, and two threads that carry its frames, as a VMM does, to a
//! TAP in the switch's namespace or to a stream.

use crate::namespace::Namespace;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tun_tap::{Iface, Mode};

/// The longest frame.
const LONGEST: usize = 65_536;

/// A guest on a cable.
#[derive(Debug)]
pub struct Cabled {
    /// Where its `eth0` is.
    pub namespace: Namespace,
    cut: Arc<AtomicBool>,
}

impl Cabled {
    /// A guest whose VMM holds the new TAP `interface` in `host`.
    ///
    /// # Errors
    /// The name is taken.
    pub fn by_tap(host: &Namespace, interface: &str, mac: &str) -> Result<Self> {
        let (guest, eth0) = Self::new(interface, mac)?;
        let near = Arc::new(host.enter(|| tap(interface))?);
        host.run_up(interface)?;
        let (a, b) = (Arc::clone(&near), Arc::clone(&eth0));
        guest.carry(
            move |frame| Ok(a.recv(frame)?),
            move |frame| Ok(b.send(frame).map(drop)?),
        );
        guest.carry(
            move |frame| Ok(eth0.recv(frame)?),
            move |frame| Ok(near.send(frame).map(drop)?),
        );
        Ok(guest)
    }

    /// A guest whose VMM is connected to the socket at `path`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn by_stream(path: &Path, mac: &str) -> Result<Self> {
        let (guest, eth0) = Self::new("stream", mac)?;
        let socket = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        let (mut reads, mut writes) = (socket.try_clone()?, socket);
        let to = Arc::clone(&eth0);
        guest.carry(
            move |frame| {
                let mut length = [0; 4];
                reads.read_exact(&mut length)?;
                let length = usize::try_from(u32::from_be_bytes(length))?;
                let part = frame
                    .get_mut(..length)
                    .context("a frame that is too long")?;
                reads.read_exact(part)?;
                Ok(length)
            },
            move |frame| Ok(to.send(frame).map(drop)?),
        );
        let mut message = Vec::new();
        guest.carry(
            move |frame| Ok(eth0.recv(frame)?),
            move |frame| {
                message.clear();
                message.extend(u32::try_from(frame.len())?.to_be_bytes());
                message.extend(frame);
                Ok(writes.write_all(&message)?)
            },
        );
        Ok(guest)
    }

    /// Whether the connection to the switch has ended.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    fn new(role: &str, mac: &str) -> Result<(Self, Arc<Iface>)> {
        let namespace = Namespace::new(role)?;
        let eth0 = namespace.enter(|| tap("eth0"))?;
        namespace.run_up(&format!("eth0 address {mac}"))?;
        let cut = Arc::default();
        Ok((Self { namespace, cut }, Arc::new(eth0)))
    }

    /// Carries frames until one of the two ends is gone.
    fn carry(
        &self,
        mut from: impl FnMut(&mut [u8]) -> Result<usize> + Send + 'static,
        mut to: impl FnMut(&[u8]) -> Result<()> + Send + 'static,
    ) {
        let cut = Arc::clone(&self.cut);
        thread::spawn(move || {
            let mut frame = vec![0; LONGEST];
            while let Ok(length) = from(&mut frame) {
                if to(frame.get(..length).unwrap_or_default()).is_err() {
                    break;
                }
            }
            cut.store(true, Ordering::Relaxed);
        });
    }
}

fn tap(interface: &str) -> Result<Iface> {
    Iface::without_packet_info(interface, Mode::Tap)
        .with_context(|| format!("cannot make the TAP {interface}"))
}
