//! Several queues of one link that one worker reads: where there are fewer
//! workers than queues, since some were taken away while the link was in use.

use super::{Ingress, Received};
use crate::frame::Burst;
use mio::{Registry, Token};
use std::io;

/// Queues that are read in turn.
pub(crate) struct Joined {
    queues: Vec<Box<dyn Ingress>>,
    /// The queue to begin with.
    next: usize,
}

impl Joined {
    /// Reads `queues`, all of which are registered, or are about to be.
    pub(crate) fn new(queues: Vec<Box<dyn Ingress>>) -> Self {
        Self { queues, next: 0 }
    }
}

impl Ingress for Joined {
    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut queues = self.queues.iter_mut();
        queues.try_for_each(|queue| queue.register(registry, token))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        let mut queues = self.queues.iter_mut();
        queues.try_for_each(|queue| queue.deregister(registry))
    }

    fn into_queues(self: Box<Self>) -> Vec<Box<dyn Ingress>> {
        self.queues
    }

    /// It is drained when each queue says so in one call: one that said so in an
    /// earlier call may have become readable since, which no event tells again.
    fn receive(&mut self, burst: &mut Burst) -> Received {
        for _ in 0..self.queues.len() {
            let at = self.next;
            self.next = (at + 1).checked_rem(self.queues.len()).unwrap_or(0);
            match self.queues.get_mut(at).map(|queue| queue.receive(burst)) {
                None | Some(Received::Drained) => {}
                Some(received) => return received,
            }
        }
        Received::Drained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue that has this many bursts.
    struct Has(usize);

    impl Ingress for Has {
        fn register(&mut self, _: &Registry, _: Token) -> io::Result<()> {
            Ok(())
        }

        fn deregister(&mut self, _: &Registry) -> io::Result<()> {
            Ok(())
        }

        fn into_queues(self: Box<Self>) -> Vec<Box<dyn Ingress>> {
            vec![self]
        }

        fn receive(&mut self, burst: &mut Burst) -> Received {
            if self.0 == 0 {
                return Received::Drained;
            }
            self.0 -= 1;
            if let Some(frame) = burst.vacant().first_mut() {
                frame.set(&[0; 60]);
                burst.accept(0);
            }
            Received::More
        }
    }

    fn frames_of(joined: &mut Joined) -> usize {
        let mut burst = Burst::default();
        let mut frames = 0;
        loop {
            burst.clear();
            let received = joined.receive(&mut burst);
            frames += burst.frames().len();
            if matches!(received, Received::Drained) {
                return frames;
            }
        }
    }

    #[test]
    fn a_queue_that_becomes_readable_while_another_is_read_is_not_forgotten() {
        let queues: Vec<Box<dyn Ingress>> = vec![Box::new(Has(0)), Box::new(Has(2))];
        let mut joined = Joined::new(queues);
        let mut burst = Burst::default();
        assert!(matches!(joined.receive(&mut burst), Received::More));
        joined.queues[0] = Box::new(Has(1));
        burst.clear();
        assert_eq!(
            frames_of(&mut joined),
            2,
            "its one, and the rest of the other"
        );
    }

    #[test]
    fn every_queue_is_drained_and_looked_at_again_later() {
        let mut joined = Joined::new(vec![Box::new(Has(3)), Box::new(Has(0)), Box::new(Has(5))]);
        assert_eq!(frames_of(&mut joined), 8);
        assert_eq!(frames_of(&mut joined), 0);
        joined.queues[1] = Box::new(Has(1));
        assert_eq!(frames_of(&mut joined), 1, "it has become readable");
        assert_eq!(Box::new(joined).into_queues().len(), 3);
    }
}
