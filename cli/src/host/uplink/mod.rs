//! The host's own place on the LAN, moved from the NIC that is the uplink to
//! the host interface, and back.
//!
//! A NIC that the switch takes is a cable end: the host is a station of the LAN
//! by its own interface, as with a kernel bridge it is by `br0`. What the NIC
//! holds of the host ([`holdings`]: addresses and routes of both families) is
//! given to that interface first and taken from the NIC then, so that there is
//! no moment without it; the LAN hears of the MAC that it is at now
//! ([`announce`]). The way back is the same.
//!
//! All of it is in RUN/NAME/uplink.toml ([`record`]) before the first change,
//! and until everything is back. Each step may be done twice, so wherever a
//! process is killed, [`restore`] has only to give the NIC all that stands
//! there: the interface, a TAP, has gone with the process. A record of another
//! boot, or of another network namespace, is not used.
//!
//! What comes to the interface later (an address added by hand, a route) goes
//! with it; lifetimes go on meanwhile.

mod announce;
mod holdings;
mod record;
mod transfer;
mod wireless;

pub(crate) use wireless::is_wireless;

use super::link::{Link, LinkError, Links};
use holdings::Shown;
use pnet_base::MacAddr;
use record::{Found, Record};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use tokio::task::AbortHandle;
use transfer::{PlaceError, Receiver};

/// What was moved from the NIC. It does nothing when it is dropped: the record
/// stays for the next start then.
#[derive(Debug)]
pub(crate) struct Moved {
    /// RUN/NAME.
    run: PathBuf,
    record: Record,
    /// The announcement that is still to come.
    announcing: Option<AbortHandle>,
}

/// What a move or its way back came to, for the log.
#[derive(Debug)]
pub(crate) struct Summary {
    from: String,
    to: String,
    addresses: Vec<String>,
    routes: usize,
}

/// It cannot be moved or put back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UplinkError {
    /// The NIC or the interface cannot be asked or set up.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A part cannot be moved or put back.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A route cannot be moved.
    #[error(
        "{uplink} has the route {route} by a nexthop object, which cannot be moved: write it with \
         `via` and `dev` (`ip route`) in place of `nhid`"
    )]
    NexthopObject {
        /// The NIC.
        uplink: String,
        /// The route.
        route: String,
    },
    /// The record cannot be read, written or removed.
    #[error("cannot {action} {}", path.display())]
    Record {
        /// What was tried.
        action: &'static str,
        /// The record.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            addresses,
            routes,
        } = self;
        let addresses = addresses.join(", ");
        let plural = if *routes == 1 { "" } else { "s" };
        write!(
            f,
            "{addresses} and {routes} route{plural} go from {from} to {to}"
        )
    }
}

impl Moved {
    /// Moves what `uplink` holds to `interface`, which has to be up. With
    /// nothing to move, the answer is `None`.
    ///
    /// # Errors
    /// [`UplinkError`]; all is back on the uplink then, unless the kernel
    /// refuses that too: then the record stays.
    pub(crate) async fn begin(
        run: &Path,
        links: &Links,
        uplink: &Link,
        interface: &Link,
    ) -> Result<Option<Self>, UplinkError> {
        let holdings = links.holdings_of(uplink).await?;
        if let Some(route) = holdings.by_nexthop_object() {
            return Err(UplinkError::NexthopObject {
                uplink: uplink.name.clone(),
                route: Shown(route).to_string(),
            });
        }
        let moved = Self {
            run: run.to_owned(),
            record: Record {
                uplink: uplink.name.clone(),
                index: uplink.index,
                interface: interface.name.clone(),
                at: record::since_boot(),
                holdings,
            },
            announcing: None,
        };
        let global = moved.record.holdings.global();
        if global.is_empty() {
            return Ok(None);
        }
        let write = moved.record.write(run);
        write.map_err(|source| moved.error("write", source))?;
        let (from, to) = (moved.receiver(uplink), moved.receiver(interface));
        let result = async {
            links.place(&global, &to).await?;
            links.withdraw(&global, &from).await?;
            // What went with an address on its way is there again.
            links.place(&global, &to).await
        }
        .await;
        match result {
            Ok(()) => Ok(Some(moved)),
            Err(error) => {
                if let Err(second) = moved.end(links, Some(interface)).await {
                    tracing::error!("{:#}", anyhow::Error::from(second));
                }
                Err(error.into())
            }
        }
    }

    /// What another process has moved, by the record in `run`, the folder
    /// RUN/NAME, and stays moved.
    pub(crate) fn inherit(run: &Path) -> Option<Self> {
        match Record::find(run) {
            Ok(Found::Ours(record)) => Some(Self {
                run: run.to_owned(),
                record,
                announcing: None,
            }),
            _ => None,
        }
    }

    /// What was moved.
    pub(crate) fn summary(&self) -> Summary {
        let record = &self.record;
        let global = record.holdings.global();
        let addresses = global.addresses.iter().map(|it| Shown(it).to_string());
        Summary {
            from: record.uplink.clone(),
            to: record.interface.clone(),
            addresses: addresses.collect(),
            routes: global.routes.len(),
        }
    }

    /// The name of the NIC.
    pub(crate) fn uplink(&self) -> &str {
        &self.record.uplink
    }

    /// The addresses that some program has to renew: it knows nothing of the
    /// move.
    pub(crate) fn dynamic(&self) -> Vec<String> {
        let global = self.record.holdings.global();
        global.dynamic().map(|it| Shown(it).to_string()).collect()
    }

    /// Tells the LAN by which MAC `interface` has the addresses, now and once
    /// more later.
    pub(crate) fn announce(&mut self, interface: &Link) {
        if let Some((mac, addresses)) = announce(&self.record, interface) {
            let again = announce::again(interface.index, mac, addresses);
            self.announcing = Some(again);
        }
    }

    /// Puts everything back on the NIC, takes it from `interface` where that is
    /// still there, and removes the record.
    ///
    /// # Errors
    /// [`UplinkError`]; the record stays.
    pub(crate) async fn end(
        &self,
        links: &Links,
        interface: Option<&Link>,
    ) -> Result<(), UplinkError> {
        if let Some(announcing) = &self.announcing {
            announcing.abort();
        }
        let uplink = links.by_name(&self.record.uplink).await?;
        links.set_up(&uplink, true).await?;
        let holdings = &self.record.holdings;
        let to = self.receiver(&uplink);
        links.place(holdings, &to).await?;
        if let Some(interface) = interface {
            let from = self.receiver(interface);
            links.withdraw(&holdings.global(), &from).await?;
            links.place(holdings, &to).await?;
        }
        announce(&self.record, &uplink);
        record::remove(&self.run).map_err(|source| self.error("remove", source))
    }

    fn receiver<'a>(&'a self, link: &'a Link) -> Receiver<'a> {
        Receiver {
            link,
            from: (self.record.index, &self.record.uplink),
            age: self.record.age(),
        }
    }

    fn error(&self, action: &'static str, source: io::Error) -> UplinkError {
        record_error(&self.run, action, source)
    }
}

/// Puts back what a killed process has moved, by the record in `run`, the
/// folder RUN/NAME, that the caller holds. `None`: there was nothing to do.
///
/// A record that is not to be used is put aside, with a warning.
///
/// # Errors
/// [`UplinkError`]; the record stays.
pub(crate) async fn restore(run: &Path, links: &Links) -> Result<Option<Summary>, UplinkError> {
    let found = Record::find(run).map_err(|source| record_error(run, "read", source))?;
    let record = match found {
        Found::Nothing => return Ok(None),
        Found::Void(reason) => {
            let kept = record::put_aside(run);
            let kept = kept.map_err(|source| record_error(run, "put aside", source))?;
            tracing::warn!(
                "what is kept of the uplink's addresses is not used, as {reason}: see {}",
                kept.display()
            );
            return Ok(None);
        }
        Found::Ours(record) => record,
    };
    let moved = Moved {
        run: run.to_owned(),
        record,
        announcing: None,
    };
    moved.end(links, None).await?;
    let Summary { from, to, .. } = moved.summary();
    Ok(Some(Summary {
        from: to,
        to: from,
        ..moved.summary()
    }))
}

/// The NIC whose addresses a killed process has left moved, by the record in
/// `run`, the folder RUN/NAME, and these addresses.
pub(crate) fn left(run: &Path) -> Option<(String, Vec<String>)> {
    let Ok(Found::Ours(record)) = Record::find(run) else {
        return None;
    };
    let global = record.holdings.global();
    let addresses = global.addresses.iter().map(|it| Shown(it).to_string());
    Some((record.uplink, addresses.collect()))
}

fn record_error(run: &Path, action: &'static str, source: io::Error) -> UplinkError {
    UplinkError::Record {
        action,
        path: record::path(run),
        source,
    }
}

/// Tells the LAN that `link` has the addresses of `record`; gives what was told.
/// Whoever has not heard it finds out by itself, later.
fn announce(record: &Record, link: &Link) -> Option<(MacAddr, Vec<IpAddr>)> {
    let mac = link.mac?;
    let addresses = holdings::announced(&record.holdings.global());
    match announce::announce(link.index, mac, &addresses) {
        Ok(()) => Some((mac, addresses)),
        Err(error) => {
            tracing::warn!("cannot announce the addresses of {}: {error}", link.name);
            None
        }
    }
}

#[cfg(test)]
mod tests;
