//! `vmlan libvirt release`: what `adopt` did, backwards. Guests that run get
//! libvirt's bridge back.

use super::adopt::restore_config;
use super::plan::{self, diff};
use super::record::{Files, Record, Turn, rename, text};
use super::service::{self, Keeper};
use super::steps::Steps;
use super::virsh::{Virsh, VirshError};
use super::{front, taps};
use crate::args::Place;
use crate::bench::interrupt;
use crate::client::Client;
use crate::config::{NetworkName, PortKind};
use crate::daemon;
use crate::model::{ExternalIds, PortView};
use anyhow::{Result, bail};
use std::io::Write;

/// Gives libvirt's network `network` back; with `dry_run` only shows to `out`
/// what that would do. `connect` is another libvirt than the one it was taken
/// from.
///
/// # Errors
/// It cannot be given back; all is as it was before, or the error says what is
/// not.
pub(super) fn release(
    place: &Place,
    connect: Option<&str>,
    network: &str,
    dry_run: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let _turn = Turn::to_change(place, dry_run)?;
    let name = plan::name(place, network)?;
    let files = Files::new(place, &name);
    let Some((record, description)) = files.load()? else {
        bail!(
            "the network {name} has not been adopted: there is no {}",
            files.description().display()
        );
    };
    if record.network != network {
        bail!(
            "the network {name} of vmlan stands in for libvirt's {}, not {network}\nhelp: \
             `vmlan libvirt release {}`",
            record.network,
            record.network
        );
    }
    let virsh = Virsh::new(connect.unwrap_or(&record.connect));
    let before = match virsh.description(network) {
        Ok(description) => Some(description),
        // Somebody has undefined it. What is kept makes it anew.
        Err(VirshError::NoNetwork(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let release = Release {
        was_active: before.is_some() && virsh.network(network)?.active,
        before,
        taps: running(place, &virsh, &name, &record)?,
        serves: service::server(place, &name)?.is_some(),
        keeper: Keeper::find(&name),
        place,
        virsh,
        name,
        files,
        record,
        description,
    };
    release.show(out)?;
    if dry_run {
        return Ok(());
    }
    interrupt::listen()?;
    let mut steps = Steps::new(out);
    steps.say("");
    match release.perform(&mut steps) {
        Ok(()) => release.clean_up(&mut steps),
        Err(error) => Err(steps.put_back(&error)),
    }
}

/// The TAPs of guests that run: those that vmlan has as ports, and those that
/// libvirt knows of. Each knows of some that the other does not: vmlan may have
/// ended, a guest may not be libvirt's.
fn running(
    place: &Place,
    virsh: &Virsh,
    name: &NetworkName,
    record: &Record,
) -> Result<Vec<String>> {
    // A libvirt of nothing but networks (network:///system) has no domains.
    let nics = virsh.nics(&record.network, record.bridge.as_str());
    let mut names: Vec<String> = nics
        .unwrap_or_default()
        .into_iter()
        .map(|it| it.tap)
        .collect();
    if service::server(place, name)?.is_some() {
        let ports: Vec<PortView> = Client::of(place, name).get("/v1/ports")?;
        let taken = ports.into_iter().filter(|it| it.kind == PortKind::Packet);
        names.extend(taken.filter_map(|port| port.interface));
    }
    taps::among(&names)
}

struct Release<'a> {
    place: &'a Place,
    virsh: Virsh,
    name: NetworkName,
    files: Files,
    record: Record,
    /// What libvirt had, and what it has now; none: it has no such network.
    description: String,
    before: Option<String>,
    /// Whether the network is active now, and vmlan serves it.
    was_active: bool,
    serves: bool,
    taps: Vec<String>,
    keeper: Keeper,
}

impl Release<'_> {
    fn show(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "libvirt's network {}:", self.record.network)?;
        write!(
            out,
            "{}",
            diff(
                self.before.as_deref().unwrap_or_default(),
                &self.description
            )
        )?;
        let config = self.files.config();
        let (config, changed) = (config.display(), self.config_was_changed()?);
        if changed {
            let aside = self.files.config_changed();
            writeln!(
                out,
                "\n{config} was changed since; it is kept as {}.",
                aside.display()
            )?;
        }
        match &self.record.config_before {
            Some(before) if !changed && *before == self.record.config => {
                writeln!(out, "\n{config} stays as it is.")?;
            }
            Some(_) => writeln!(out, "\n{config} becomes what it was before.")?,
            None if changed => {}
            None => writeln!(out, "\n{config} is removed.")?,
        }
        if !self.taps.is_empty() {
            let taps = self.taps.join(", ");
            writeln!(
                out,
                "\nGuests that run go on with their addresses ({taps}), after a moment without \
                 network."
            )?;
        }
        if !self.record.active {
            writeln!(
                out,
                "\nThe network was not active before; it is not started."
            )?;
        }
        Ok(())
    }

    /// Whether the configuration is neither the one that was made nor, after an
    /// adoption that was cut off, the one before.
    fn config_was_changed(&self) -> Result<bool> {
        let (record, now) = (&self.record, text(&self.files.config())?);
        Ok(now.is_some_and(|now| now != record.config && Some(now) != record.config_before))
    }

    fn perform<'s>(&'s self, steps: &mut Steps<'s>) -> Result<()> {
        let (virsh, record) = (&self.virsh, &self.record);
        let network = &record.network;
        if self.was_active {
            steps.undo_by("stop of the network", || Ok(virsh.start(network)?));
            virsh.stop(network)?;
        }
        interrupt::check()?;
        if self.serves {
            steps.undo_by("end of vmlan", || self.serve_again());
        }
        self.keeper.stop(self.place, &self.name)?;
        // One that was killed could not do that itself.
        daemon::remove_leftovers(&self.place.of(&self.name))?;
        steps.undo_by("description", || match &self.before {
            Some(before) => virsh.define(before),
            None => Ok(virsh.undefine(network)?),
        });
        virsh.define(&self.description)?;
        virsh.set_autostart(network, record.autostart)?;
        interrupt::check()?;
        if record.active {
            steps.undo_by("start of the network", || Ok(virsh.stop(network)?));
            virsh.start(network)?;
            taps::give(&self.taps, record.bridge.as_str(), record.isolated)?;
        }
        Ok(())
    }

    fn serve_again(&self) -> Result<()> {
        let log = self.files.log();
        self.keeper.start(&self.name, &log)?;
        for tap in &self.taps {
            // What it knew of each it has kept itself.
            taps::attach(self.place, &self.name, tap, ExternalIds::default())?;
        }
        Ok(())
    }

    /// Removes what is of no use any more, once libvirt has its network back.
    fn clean_up(&self, steps: &mut Steps<'_>) -> Result<()> {
        let network = &self.record.network;
        let now = self.virsh.description(network)?;
        if now != self.description {
            steps.say(format_args!(
                "libvirt shows the network otherwise than before:\n{}",
                diff(&self.description, &now)
            ));
        }
        if self.config_was_changed()? {
            rename(&self.files.config(), &self.files.config_changed())?;
        }
        restore_config(&self.files, self.record.config_before.as_deref())?;
        front::remove(self.place, &self.name)?;
        self.files.forget()?;
        steps.say(format_args!(
            "libvirt serves its network {network} itself again"
        ));
        Ok(())
    }
}
