//! Leases that run out, on time and while no message comes as well.

use super::{DhcpService, State, bindings};
use std::sync::Arc;
use std::time::Duration;
use vmlan_dhcp::Server;

impl DhcpService {
    /// Ends the leases that have run out, and says how long it is until the
    /// next one does; `None` if none will.
    pub(in crate::daemon) fn expire(&self) -> Option<Duration> {
        let mut state = self.state();
        let now = state.keeper.now();
        state.expire(now);
        let next = state.server.as_ref().and_then(Server::next_expiry);
        state.awake_at = next;
        next.map(|at| state.keeper.until(at))
    }

    /// Ends each lease when it runs out, for as long as it is polled: the
    /// address is no longer answered for, whether or not a message comes.
    ///
    /// It wakes up once for a lease's end, and when one begins that ends before
    /// all others.
    pub(in crate::daemon) async fn expire_on_time(self) {
        let earlier = Arc::clone(&self.state().earlier);
        loop {
            match self.expire() {
                Some(wait) => {
                    // Either way it is time to look again.
                    let _ = tokio::time::timeout(wait, earlier.notified()).await;
                }
                None => earlier.notified().await,
            }
        }
    }
}

impl State {
    /// Ends the leases that have run out by `now`.
    pub(super) fn expire(&mut self, now: u64) {
        let Some(server) = &mut self.server else {
            return;
        };
        let events = server.expire(now);
        if !events.is_empty() {
            self.leases_changed.notify_one();
        }
        self.hooks.expired(&events);
        self.tell(bindings::expired(&events).collect());
        self.note(&events, None);
    }

    /// Has [`DhcpService::expire_on_time`] look again if a lease runs out
    /// before it would.
    pub(super) fn look_earlier(&mut self) {
        let next = self.server.as_ref().and_then(Server::next_expiry);
        if let Some(next) = next
            && self.awake_at.is_none_or(|at| next < at)
        {
            self.awake_at = Some(next);
            self.earlier.notify_one();
        }
    }
}
