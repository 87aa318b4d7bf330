//! How long a path is silent: datagrams at a fixed beat, and the longest time
//! between two that came.

use crate::namespace::Namespace;
use anyhow::Result;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Between two datagrams.
const BEAT: Duration = Duration::from_millis(1);

const PORT: u16 = 5002;

/// A stream of datagrams that ends with the value.
#[derive(Debug)]
pub struct Beat {
    heard: Arc<Mutex<Heard>>,
    ends: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Heard {
    last: Instant,
    longest: Duration,
}

impl Beat {
    /// Sends from `from` to `to`, which has `address`.
    ///
    /// # Errors
    /// The sockets cannot be had.
    pub fn start(from: &Namespace, to: &Namespace, address: Ipv4Addr) -> Result<Self> {
        let receiver = to.enter(|| Ok(UdpSocket::bind((address, PORT))?))?;
        receiver.set_read_timeout(Some(Duration::from_millis(50)))?;
        let sender = from.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
        sender.connect((address, PORT))?;
        let beat = Self {
            heard: Arc::new(Mutex::new(Heard {
                last: Instant::now(),
                longest: Duration::ZERO,
            })),
            ends: Arc::default(),
        };
        let ends = Arc::clone(&beat.ends);
        thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                // What cannot leave is silence too.
                let _ = sender.send(b"beat");
                thread::sleep(BEAT);
            }
        });
        let (ends, heard) = (Arc::clone(&beat.ends), Arc::clone(&beat.heard));
        thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                if receiver.recv(&mut [0; 16]).is_ok() {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.longest = heard.longest.max(heard.last.elapsed());
                    heard.last = Instant::now();
                }
            }
        });
        Ok(beat)
    }

    /// The longest silence since this was asked last.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut heard.longest)
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}
