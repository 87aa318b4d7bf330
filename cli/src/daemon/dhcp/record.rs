//! Leases put on disk: changes before anybody is told of them, the lease file
//! later and on another thread.

use super::{DhcpError, DhcpService, State};
use crate::host::leases::compact;
use std::sync::PoisonError;
use std::time::Instant;
use vmlan_dhcp::Change;

impl DhcpService {
    /// Keeps the lease file up to date, for as long as it is polled, and gets
    /// over errors. While nothing changes it sleeps.
    pub(in crate::daemon) async fn keep_file(self) {
        let changed = self.state().keeper.changed();
        loop {
            let due = self.state().keeper.due();
            match due {
                None => changed.notified().await,
                Some(due) if due > Instant::now() => tokio::time::sleep_until(due.into()).await,
                Some(_) => {
                    let service = self.clone();
                    // It ends by itself, or the program does.
                    let _ = tokio::task::spawn_blocking(move || service.file_leases()).await;
                }
            }
        }
    }

    /// Brings the lease file up to date, after an error has been got over.
    pub(in crate::daemon) fn file_leases(&self) {
        let _one = self.filing.lock().unwrap_or_else(PoisonError::into_inner);
        let job = {
            let mut state = self.state();
            state.make_ready();
            state.keeper.rotate(Instant::now())
        };
        if let Some((disk, through)) = job {
            let result = compact(disk.as_ref(), through);
            self.state().keeper.compacted(result, Instant::now());
        }
    }

    /// Ends the service, with the lease file up to date.
    pub(in crate::daemon) fn stop(&self) {
        self.state().server = None;
        self.file_leases();
    }
}

impl State {
    /// Makes ready to write. Where that cannot be, the server gives nothing
    /// that would have to be written.
    pub(super) fn make_ready(&mut self) {
        if let Some(server) = &mut self.server {
            let ready = self.keeper.ready(server, Instant::now());
            server.set_recording(ready);
        }
    }

    /// Puts `changes`, made at `now`, on disk; undoes them if that fails.
    pub(super) fn save<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change, IntoIter: Clone>,
        now: u64,
    ) -> Result<(), DhcpError> {
        let (Some(server), changes) = (&mut self.server, changes.into_iter()) else {
            return Ok(());
        };
        if changes.clone().next().is_none() {
            return Ok(());
        }
        self.leases_changed.notify_one();
        self.keeper
            .save(changes.clone(), Instant::now())
            .map_err(|error| {
                let changes: Vec<&Change> = changes.collect();
                for change in changes.into_iter().rev() {
                    server.undo(change, now);
                }
                DhcpError::Stuck(error)
            })
    }
}
