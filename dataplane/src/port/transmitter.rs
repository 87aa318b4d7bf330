//! What a worker sends by.

use super::sys::ring::Ring;

/// A worker's number, and its io_uring where the kernel lets it have one.
#[derive(Debug)]
pub struct Transmitter {
    worker: usize,
    ring: Option<Ring>,
}

impl Transmitter {
    /// Sends for the worker with the number `worker`, by ordinary system calls.
    #[must_use]
    pub fn new(worker: usize) -> Self {
        Self { worker, ring: None }
    }

    /// The same, by an io_uring. To be made on the thread that sends, as no
    /// other may use it then.
    ///
    /// # Errors
    /// Those of [`Ring::new`].
    pub fn with_ring(worker: usize) -> std::io::Result<Self> {
        Ok(Self {
            worker,
            ring: Some(Ring::new()?),
        })
    }

    /// The worker's number.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Its io_uring, if it has one that works.
    pub fn ring(&mut self) -> Option<&mut Ring> {
        self.ring.as_mut().filter(|ring| ring.works())
    }
}
