//! A stream of numbered datagrams, by which every lost one is found.

use crate::namespace::Namespace;
use crate::wait;
use anyhow::{Result, ensure};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two datagrams.
const PACE: Duration = Duration::from_micros(500);

/// How long a datagram may be under way before it counts as lost.
const LATE: Duration = Duration::from_secs(2);

/// A stream from one namespace to another, or to a host's interface. It ends
/// with the value.
#[derive(Debug)]
pub struct Numbered {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
    /// Numbers below are accounted for.
    from: usize,
}

#[derive(Debug, Default)]
struct State {
    sent: AtomicUsize,
    /// Of each number, how often it came.
    came: Mutex<Vec<u8>>,
    over: AtomicBool,
}

/// What became of the datagrams of some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Datagrams sent.
    pub sent: usize,
    /// Those that never came.
    pub lost: usize,
    /// Those that came more than once.
    pub doubled: usize,
}

impl Numbered {
    /// Starts to send from `from` to `to`, which has `address`, where `port` is
    /// free.
    ///
    /// # Errors
    /// The sockets cannot be had.
    pub fn start(from: &Namespace, to: &Namespace, address: Ipv4Addr, port: u16) -> Result<Self> {
        let receiver = to.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?))?;
        receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
        let sender = from.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
        sender.connect((address, port))?;
        let state = Arc::new(State::default());
        let (sending, receiving) = (Arc::clone(&state), Arc::clone(&state));
        let threads = vec![
            std::thread::spawn(move || sending.send(&sender)),
            std::thread::spawn(move || receiving.receive(&receiver)),
        ];
        let mut stream = Self {
            state,
            threads,
            from: 0,
        };
        // ARP may take the first.
        wait::until("the first datagram", wait::SOON, || {
            let came = stream.state.came();
            ensure!(came.iter().any(|it| *it > 0), "none has come");
            Ok(())
        })?;
        stream.account();
        Ok(stream)
    }

    /// What became of those that were sent since the last time. Waits for those
    /// under way.
    pub fn account(&mut self) -> Account {
        let to = self.state.sent.load(Relaxed);
        let missing = || {
            let came = self.state.came();
            let of = |n: usize| came.get(n).copied().unwrap_or(0);
            (self.from..to).filter(|n| of(*n) == 0).count()
        };
        // Those that do not come in time are lost, which is what is asked for.
        let _ = wait::until("datagrams under way", LATE, || {
            ensure!(missing() == 0, "some are missing");
            Ok(())
        });
        let lost = missing();
        let came = self.state.came();
        let doubled = (self.from..to).filter(|n| came.get(*n).is_some_and(|it| *it > 1));
        let account = Account {
            sent: to - self.from,
            lost,
            doubled: doubled.count(),
        };
        drop(came);
        self.from = to;
        account
    }
}

impl State {
    fn send(&self, socket: &UdpSocket) {
        while !self.over.load(Relaxed) {
            let number = self.sent.load(Relaxed) as u64;
            // One that the host itself refuses is lost.
            let _ = socket.send(&number.to_be_bytes());
            self.sent.fetch_add(1, Relaxed);
            std::thread::sleep(PACE);
        }
    }

    fn receive(&self, socket: &UdpSocket) {
        let mut bytes = [0; 8];
        while !self.over.load(Relaxed) {
            if !matches!(socket.recv(&mut bytes), Ok(8)) {
                continue;
            }
            let number = usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(0);
            let mut came = self.came();
            if came.len() <= number {
                came.resize(number + 1, 0);
            }
            if let Some(times) = came.get_mut(number) {
                *times = times.saturating_add(1);
            }
        }
    }

    fn came(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.state.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there has been told already.
            let _ = thread.join();
        }
    }
}
