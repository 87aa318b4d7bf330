//! What adopting a network would do: looked at, and shown, before anything
//! changes.

use super::record::{Files, Record, text};
use super::running::Running;
use super::translate::{Surroundings, Translation, translate};
use super::virsh::{State, Virsh, check_kept};
use super::xml::Network;
use super::{front, service, taps};
use crate::args::Place;
use crate::config::{Address, InterfaceName, Loaded, Located, NetworkName, Problem, Source};
use crate::firewall::{self, Wanted};
use anyhow::{Context as _, Result, bail};
use rustix::process::geteuid;
use similar::TextDiff;
use std::fmt;

/// What is known of a network that is to be adopted.
#[derive(Debug)]
pub(super) struct Plan {
    /// Its name in libvirt.
    pub(super) network: String,
    /// Its name in vmlan.
    pub(super) name: NetworkName,
    pub(super) state: State,
    pub(super) bridge: InterfaceName,
    /// Whether guests were kept apart.
    pub(super) isolated: bool,
    /// What runs, if that is something else.
    pub(super) running: Option<Running>,
    /// Its description in libvirt, and what that becomes.
    pub(super) description: String,
    pub(super) redefined: String,
    pub(super) translation: Translation,
    pub(super) files: Files,
    /// The configuration that is there already.
    pub(super) config_before: Option<String>,
    /// Netdevs of guests that run.
    pub(super) taps: Vec<String>,
    /// Other ports of the bridge.
    others: Vec<String>,
    /// What is odd about the configuration.
    warnings: Vec<Located>,
}

/// The name of vmlan's network for libvirt's `network`: the one that
/// `--network` says, or the same.
///
/// # Errors
/// It has to be another one.
pub(super) fn name(place: &Place, network: &str) -> Result<NetworkName> {
    if let Some(name) = &place.network {
        return Ok(name.clone());
    }
    network.parse().map_err(|problem: Problem| {
        problem
            .help("vmlan needs another name for it: add --network NAME, of a-z, 0-9 and -")
            .into()
    })
}

impl Plan {
    /// Looks at the network `network`.
    ///
    /// # Errors
    /// It cannot be adopted: why, and what to do.
    pub(super) fn make(place: &Place, virsh: &Virsh, network: &str) -> Result<Self> {
        let name = name(place, network)?;
        let files = Files::new(place, &name);
        if files.load()?.is_some() {
            let served = service::server(place, &name)?.is_some();
            let (how, again) = match served {
                true => ("", String::new()),
                false => (
                    ", though nobody serves it now",
                    format!("`vmlan run --network {name}` serves it again, "),
                ),
            };
            bail!(
                "the network {name} has been adopted already{how}\nhelp: {again}`vmlan libvirt \
                 release {network}` gives it back"
            );
        }
        front::check()?;
        let state = virsh.network(network)?;
        check_kept(network, state)?;
        let description = virsh.description(network)?;
        let title = format!("libvirt's network {network}");
        let source = Source::new(&title, &description);
        let read = Network::read(&source)?;
        let around = Surroundings {
            name: name.clone(),
            by_libvirt: true,
        };
        let translation = translate(&read, &source, &around)?;
        let Some(bridge) = read.bridge.map(toml::Spanned::into_inner) else {
            bail!("libvirt's network {network} has no bridge");
        };
        let redefined = super::redefine(&source, &bridge)?;
        if let Some(pid) = service::server(place, &name)? {
            bail!(
                "the network {name} is already served by vmlan (process {pid})\nhelp: stop that \
                 first, or give this one another name with --network NAME"
            );
        }
        let running = Running::find(virsh, network, state, &source)?;
        let now = running.as_ref().map_or(&bridge, |it| &it.bridge);
        check_bridges(network, &bridge, Some(now).filter(|_| state.active))?;
        let config_before = text(&files.config())?;
        let mut plan = Self {
            network: network.to_owned(),
            taps: taps::of_bridge(now.as_str())?,
            others: taps::others_of_bridge(now.as_str())?,
            running,
            isolated: read.ports_isolated,
            name,
            state,
            bridge,
            description,
            redefined,
            translation,
            files,
            config_before,
            warnings: Vec::new(),
        };
        plan.warnings = plan.check_config()?;
        Ok(plan)
    }

    /// Whether the configuration will do on this host: the files that it names
    /// are there, and the kernel would take its firewall rules. What is odd
    /// about it is returned.
    fn check_config(&self) -> Result<Vec<Located>> {
        let config = self.translation.config.clone();
        let loaded = Loaded::parse_source(config, Some(&self.name))?;
        loaded.check_files()?;
        let gateway = match loaded.config.address {
            Address::Fixed(gateway) => Some(gateway),
            Address::Auto | Address::None => None,
        };
        let wanted = Wanted::of(&loaded.config, gateway, &[]);
        // Who is not root would learn only that.
        let wanted = wanted.filter(|_| loaded.config.forward.is_routed() && geteuid().is_root());
        if let Some(wanted) = wanted {
            taps::block_on(async { Ok(firewall::trial(Some(&wanted)).await?) }).context(
                "the host's firewall cannot be changed by `nft`, which a network with this \
                 <forward> wants",
            )?;
        }
        Ok(loaded.warnings)
    }

    /// The configuration that is made of it.
    pub(super) fn config(&self) -> &str {
        self.translation.config.text()
    }

    /// The bridge that guests are on now, and whether they are kept apart.
    pub(super) fn now(&self) -> (&InterfaceName, bool) {
        match &self.running {
            Some(running) => (&running.bridge, running.isolated),
            None => (&self.bridge, self.isolated),
        }
    }

    /// What is to be kept of it.
    pub(super) fn record(&self, virsh: &Virsh) -> Record {
        Record {
            network: self.network.clone(),
            connect: virsh.uri().to_owned(),
            bridge: self.bridge.clone(),
            active: self.state.active,
            autostart: self.state.autostart,
            isolated: self.isolated,
            config_before: self.config_before.clone(),
            config: self.config().to_owned(),
        }
    }
}

/// `now` is the bridge of a network that is active. It has to be libvirt's, and
/// once it is gone, nobody else may have the name `bridge`.
fn check_bridges(network: &str, bridge: &InterfaceName, now: Option<&InterfaceName>) -> Result<()> {
    if let Some(now) = now
        && let Some(kind) = taps::kind_of(now.as_str())?
        && kind != "bridge"
    {
        bail!("{now} is no bridge of the kernel but a {kind}: it is not libvirt's");
    }
    if now == Some(bridge) {
        return Ok(());
    }
    let Some(kind) = taps::kind_of(bridge.as_str())? else {
        return Ok(());
    };
    let how = match now {
        Some(now) => format!("has the bridge {now} until it is started again"),
        None => "is not active".to_owned(),
    };
    bail!(
        "libvirt's network {network} {how}, but there is a netdev {bridge} ({kind}): its name is \
         needed\nhelp: find out whose it is (`ip -details link show {bridge}`) and remove it"
    );
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.files.config();
        let config = config.display();
        match &self.config_before {
            Some(before) if *before == self.config() => {
                writeln!(f, "{config} stays as it is")?;
            }
            Some(before) => {
                writeln!(
                    f,
                    "{config} is there already; it would become the following, and is kept as {}",
                    self.files.config_before().display()
                )?;
                f.write_str(&diff(before, self.config()))?;
            }
            None => {
                writeln!(f, "{config}:")?;
                for line in self.config().lines() {
                    writeln!(f, "    {line}")?;
                }
            }
        }
        if let Some(running) = &self.running {
            writeln!(
                f,
                "\nlibvirt's network {} was changed since it was started. What is adopted is the \
                 description that libvirt would start it by, and by which a release does; \
                 addresses of another subnet hold until guests renew their lease:",
                self.network
            )?;
            f.write_str(&diff(&running.description, &self.description))?;
        }
        writeln!(f, "\nlibvirt's network {}:", self.network)?;
        f.write_str(&diff(&self.description, &self.redefined))?;
        if self.translation.left.is_empty() {
            writeln!(f, "\nAll of it is carried over.")?;
        } else {
            writeln!(f, "\nNot carried over (lines of `virsh net-dumpxml`):")?;
            for left in &self.translation.left {
                writeln!(f, "  {left}")?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "\nwarning: {warning}")?;
        }
        for note in &self.translation.notes {
            writeln!(f, "\n{note}.")?;
        }
        if !self.taps.is_empty() {
            let taps = self.taps.join(", ");
            writeln!(
                f,
                "\nGuests that run go on with their addresses ({taps}), after a moment without \
                 network."
            )?;
        }
        if !self.others.is_empty() {
            writeln!(
                f,
                "\nNot of a guest that vmlan would take, and cut off from {}: {}. `vmlan attach` \
                 takes one that is to stay.",
                self.now().0,
                self.others.join(", ")
            )?;
        }
        if !self.state.active {
            writeln!(f, "\nThe network is not active; it is started.")?;
        }
        Ok(())
    }
}

/// The lines of `old` and `new` that differ, with some around them, indented.
pub(super) fn diff(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let unified = diff.unified_diff().context_radius(2).to_string();
    let lines = unified.lines().filter(|line| !line.starts_with('\\'));
    lines.map(|line| format!("    {line}\n")).collect()
}
