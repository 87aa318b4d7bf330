//! What there is to see from outside: the leases, how many, and by which clock.

use super::DhcpService;
use std::collections::BTreeMap;
use vmlan_dhcp::LeaseView;
use vmlan_dhcp::clock::shift;

impl DhcpService {
    /// What is served; `None` while off.
    pub(in crate::daemon) fn served(&self) -> Option<vmlan_dhcp::Config> {
        let state = self.state();
        state.server.as_ref().map(|server| server.config().clone())
    }

    /// The time that leases run by, and how far that of users is ahead of it.
    pub(in crate::daemon) fn clock(&self) -> (u64, i64) {
        let state = self.state();
        (state.keeper.now(), state.keeper.skew())
    }

    /// Whether leases can be written: `None` while DHCP is off, else why not.
    pub(in crate::daemon) fn trouble(&self) -> Option<Result<(), String>> {
        let state = self.state();
        state.server.as_ref()?;
        let trouble = state.keeper.trouble();
        Some(trouble.map_or(Ok(()), |text| Err(text.to_owned())))
    }

    /// Messages since the start that got no answer, by the name of the reason.
    pub(in crate::daemon) fn unanswered(&self) -> BTreeMap<String, u64> {
        let state = self.state();
        let counts = state.counters.unanswered.iter();
        counts
            .filter(|(_, n)| **n > 0)
            .map(|(reason, n)| ((*reason).to_owned(), *n))
            .collect()
    }

    /// Leases in use, and addresses that there are; `None` while off.
    pub(in crate::daemon) fn fill(&self) -> Option<(usize, usize)> {
        let mut state = self.state();
        let now = state.keeper.now();
        state.expire(now);
        let server = state.server.as_ref()?;
        Some((server.used(), server.capacity()))
    }

    /// What `view` makes of every lease.
    pub(in crate::daemon) fn leases<T>(
        &self,
        mut view: impl FnMut(&LeaseView<'_>, u8) -> T,
    ) -> Vec<T> {
        let state = self.state();
        let Some(server) = &state.server else {
            return Vec::new();
        };
        let skew = state.keeper.skew();
        server
            .leases(state.keeper.now())
            .map(|lease| {
                let expiry = shift(lease.expiry, skew);
                let prefix = server.subnet_of(lease.address).prefix_len();
                view(&LeaseView { expiry, ..lease }, prefix)
            })
            .collect()
    }
}
