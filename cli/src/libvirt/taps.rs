//! The netdevs of guests that run while their switch is changed: they stay, and
//! so do the guests; only whom they belong to changes.

use super::virsh::Nic;
use crate::args::Place;
use crate::client::{Client, ClientError};
use crate::config::NetworkName;
use crate::host::link::{Link, LinkError, Links};
use crate::model::{Attach, Done, ExternalIds, Fault};
use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use std::collections::BTreeMap;
use std::fs;
use std::future::Future;

/// The kernel's word for a TAP.
const TAP: &str = "tun";

/// Waits for `future` to end.
///
/// # Errors
/// Its own, or the process can have no more file descriptors.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot ask the kernel")?
        .block_on(future)
}

/// Those of `names` that are there and TAPs: what qemu holds the other end of.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn among(names: &[String]) -> Result<Vec<String>> {
    let is_tap = |link: &Link| link.kind.as_deref() == Some(TAP) && names.contains(&link.name);
    all(is_tap)
}

/// The TAPs that belong to `bridge`; none if there is no such bridge.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn of_bridge(bridge: &str) -> Result<Vec<String>> {
    all(|link| link.kind.as_deref() == Some(TAP) && is_port(link, bridge))
}

/// What else belongs to `bridge`, such as the veth of a container.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn others_of_bridge(bridge: &str) -> Result<Vec<String>> {
    all(|link| link.kind.as_deref() != Some(TAP) && is_port(link, bridge))
}

fn is_port(link: &Link, bridge: &str) -> bool {
    let master = link.master.as_ref();
    master.and_then(|master| master.name.as_deref()) == Some(bridge)
}

fn all(wanted: impl Fn(&Link) -> bool) -> Result<Vec<String>> {
    block_on(async {
        let links = Links::new()?.all().await?;
        let taps = links.into_iter().filter(|link| wanted(link));
        Ok(taps.map(|link| link.name).collect())
    })
}

/// Whether there is a netdev `name`, and if so of which kind.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn kind_of(name: &str) -> Result<Option<String>> {
    block_on(async {
        match Links::new()?.by_name(name).await {
            Ok(link) => Ok(Some(link.kind.unwrap_or_else(|| "NIC".to_owned()))),
            Err(LinkError::NoSuchName(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
}

/// What libvirt would have said of `tap` when it started its domain, of whose
/// NICs `nics` are some. vmlan takes a netdev again after a restart only if
/// somebody has said something of it.
pub(super) fn ids(tap: &str, bridge: &str, nics: &[Nic]) -> ExternalIds {
    let id = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut ids = ExternalIds::from([id("adopted-from", bridge)]);
    if let Some(nic) = nics.iter().find(|nic| nic.tap == tap) {
        ids.extend([id("attached-mac", &nic.mac), id("vm-id", &nic.domain)]);
    }
    ids
}

/// Has the network `name` of vmlan take `tap`, of which `external_ids` say
/// what it is; says whether that was there to be taken.
///
/// # Errors
/// vmlan refuses it.
pub(super) fn attach(
    place: &Place,
    name: &NetworkName,
    tap: &str,
    external_ids: ExternalIds,
) -> Result<bool> {
    let attach = Attach {
        interface: tap.parse()?,
        may_exist: true,
        external_ids,
        keys: BTreeMap::new(),
    };
    let done: Result<Done, _> = Client::of(place, name).send(&Method::POST, "/v1/attach", &attach);
    match done {
        Ok(_) => Ok(true),
        // Its guest has ended meanwhile.
        Err(ClientError::Refused(refused)) if refused.fault == Fault::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot attach {tap}")),
    }
}

/// Makes `taps` ports of `bridge`, kept apart from one another where
/// `isolated`. One that is gone meanwhile is no error.
///
/// # Errors
/// The kernel refuses one.
pub(super) fn give(taps: &[String], bridge: &str, isolated: bool) -> Result<()> {
    if taps.is_empty() {
        return Ok(());
    }
    // With a spanning tree a new port is mute for twice the forward delay, 4 s
    // at least; one that comes before the tree goes on forwarding
    // (net/bridge/br_stp.c). They were ports before, so no loop comes of it.
    let tree = format!("/sys/class/net/{bridge}/bridge/stp_state");
    let written =
        |state: &str| fs::write(&tree, state).with_context(|| format!("cannot write {tree}"));
    let on = fs::read_to_string(&tree).is_ok_and(|state| state.trim() == "1");
    if on {
        written("0")?;
    }
    let given = block_on(give_all(taps, bridge, isolated));
    if on {
        written("1")?;
    }
    given
}

async fn give_all(taps: &[String], bridge: &str, isolated: bool) -> Result<()> {
    let links = Links::new()?;
    let master = links.by_name(bridge).await?;
    let is_bridge = master.kind.as_deref() == Some("bridge");
    ensure!(is_bridge, "{bridge} is no bridge of the kernel");
    for tap in taps {
        match links.by_name(tap).await {
            Ok(link) => links.set_master(&link, &master).await?,
            Err(LinkError::NoSuchName(_)) => continue,
            Err(error) => return Err(error.into()),
        }
        if isolated {
            let path = format!("/sys/class/net/{tap}/brport/isolated");
            fs::write(&path, "1").with_context(|| format!("cannot write {path}"))?;
        }
    }
    Ok(())
}
