//! What a run that was killed has left on the host, found by its records in
//! RUN/NAME, and taken away without serving the network.

use super::{outside, uplink};
use crate::args::Place;
use crate::firewall::{self, Firewall};
use crate::host::link::Links;
use crate::host::quiet::{self, Quiet};
use crate::host::rundir::{self, RunDir};
use crate::host::{forwarding, uplink as moved};
use std::fs;
use std::path::Path;

/// What a run that was killed has left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Leftovers {
    /// The NIC whose addresses went with it, and these addresses.
    pub(crate) uplink: Option<(String, Vec<String>)>,
    /// Rules of the firewall may be there still.
    pub(crate) rules: bool,
    /// The host may forward since.
    pub(crate) forwarding: bool,
    /// Netdevs that the host was kept off by sysctls, and still is.
    pub(crate) netdevs: Vec<String>,
}

impl Leftovers {
    /// Those in `run`, the folder RUN/NAME of a network that is not served.
    pub(crate) fn find(run: &Path) -> Self {
        Self {
            uplink: moved::left(run),
            rules: run.join(firewall::RECORD).exists(),
            forwarding: run.join(forwarding::RECORD).exists(),
            netdevs: quiet::left(run),
        }
    }

    /// The networks below `root`, the folder RUN, but for `own` that were
    /// killed and have left something; sorted.
    pub(crate) fn of_others(root: &Path, own: &str) -> Vec<String> {
        let folders = fs::read_dir(root).into_iter().flatten().flatten();
        let names = folders.map(|folder| folder.file_name().to_string_lossy().into_owned());
        let is_left = |name: &String| {
            // Whoever cannot be asked may be served.
            name != own
                && Self::find(&root.join(name)) != Self::default()
                && matches!(rundir::server(root, name), Ok(None))
        };
        let mut names: Vec<_> = names.filter(is_left).collect();
        names.sort();
        names
    }
}

/// Does what the next start would do first, and the end of it last. Says what
/// was done, a line each.
pub(super) async fn remove(place: &Place) -> anyhow::Result<Vec<String>> {
    let name = place.network();
    let run = RunDir::claim(&place.run_dir(), name.as_str(), None)?;
    let mut done = Vec::new();
    // Its sysctls first, which keep the host off the uplink.
    for netdev in Quiet::open(run.path())?.restored() {
        done.push(format!("put back: the host listens on {netdev} again"));
    }
    if let Some(summary) = uplink::restore(&run, &Links::new()?).await? {
        done.push(format!("put back: {summary}"));
    }
    let mut firewall = Firewall::open(run.path(), name.as_str());
    let closed = outside::close(&mut firewall, &run).await?;
    done.extend(closed.removed.iter().map(|it| format!("removed: {it}")));
    done.extend(closed.forwarding);
    for socket in run.leftovers() {
        done.push(format!("removed: {}", socket.display()));
    }
    Ok(done)
}

/// [`remove`], for a person.
pub(super) async fn remove_by_command(place: &Place) -> anyhow::Result<String> {
    let (name, root) = (place.network(), place.run_dir());
    let mut said = remove(place).await?;
    if said.is_empty() {
        said.push(format!("network {name} has left nothing"));
    }
    for other in Leftovers::of_others(&root, name.as_str()) {
        said.push(format!(
            "network {other} has left something too: `vmlan cleanup --network {other}`"
        ));
    }
    Ok(said.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_run_say_what_is_left() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("lab");
        fs::create_dir(&run).unwrap();
        assert_eq!(Leftovers::find(&run), Leftovers::default());
        let others = || Leftovers::of_others(root.path(), "default");
        assert_eq!(others(), [""; 0]);
        fs::write(run.join("firewall.toml"), "").unwrap();
        fs::write(run.join("uplink.toml"), "of another boot").unwrap();
        let left = Leftovers::find(&run);
        assert!(left.rules && !left.forwarding && left.uplink.is_none());
        assert_eq!(others(), ["lab"]);
        assert_eq!(Leftovers::of_others(root.path(), "lab"), [""; 0]);
        let _served = RunDir::claim(root.path(), "lab", None).unwrap();
        assert_eq!(others(), [""; 0]);
    }
}
