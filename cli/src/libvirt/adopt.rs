//! `vmlan libvirt adopt`: vmlan takes the place of a network's bridge and
//! dnsmasq.
//!
//! The bridge has to go before vmlan can have its name, so there is a moment
//! without network. Whatever runs on it stays: the netdevs of guests lose their
//! bridge and become ports of vmlan, which has the gateway's MAC and address,
//! and knows the leases. A failure half-way undoes all of it.

use super::plan::Plan;
use super::record::{Files, Turn, remove, rename, text, write};
use super::service::Keeper;
use super::steps::Steps;
use super::virsh::Virsh;
use super::{front, taps};
use crate::args::Place;
use crate::bench::interrupt;
use crate::client::Client;
use crate::config::FOLDER;
use crate::model::{Done, ImportLeases};
use anyhow::{Context as _, Result};
use hyper::Method;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// Where libvirt's lease helper keeps what dnsmasq has leased.
const LEASES: &str = "/var/lib/libvirt/dnsmasq";

/// Adopts libvirt's network `network`; with `dry_run` only shows to `out` what
/// that would do.
///
/// # Errors
/// It cannot be adopted; all is as it was before, or the error says what is
/// not.
pub(super) fn adopt(
    place: &Place,
    virsh: &Virsh,
    network: &str,
    dry_run: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let _turn = Turn::to_change(place, dry_run)?;
    let plan = Plan::make(place, virsh, network)?;
    write!(out, "{plan}")?;
    if dry_run {
        return Ok(());
    }
    interrupt::listen()?;
    let mut steps = Steps::new(out);
    steps.say("");
    match (Adoption {
        place,
        virsh,
        plan: &plan,
    })
    .perform(&mut steps)
    {
        Ok(()) => Ok(()),
        Err(error) => Err(steps.put_back(&error)),
    }
}

struct Adoption<'a> {
    place: &'a Place,
    virsh: &'a Virsh,
    plan: &'a Plan,
}

impl<'a> Adoption<'a> {
    fn perform(&self, steps: &mut Steps<'a>) -> Result<()> {
        self.keep(steps)?;
        self.write_config(steps)?;
        let (place, plan) = (self.place, self.plan);
        steps.undo_by("ovs-vsctl", || front::remove(place, &plan.name));
        let (link, new_hook) = front::install()?;
        steps.say(format_args!(
            "{} is vmlan, which libvirt calls for each guest",
            link.display()
        ));
        if new_hook {
            steps.say(
                "libvirtd finds the hook that says why a guest is refused when it starts the \
                 next time; guests go on while it is restarted",
            );
        }
        interrupt::check()?;
        let leases = self.take_down(steps)?;
        interrupt::check()?;
        self.bring_up(steps)?;
        if let Some(leases) = leases {
            self.import(leases, steps);
        }
        let (network, bridge) = (&self.plan.network, self.plan.now().0.as_str());
        // A libvirt of nothing but networks (network:///system) has no domains.
        let nics = self.virsh.nics(network, bridge).unwrap_or_default();
        for tap in &self.plan.taps {
            let ids = taps::ids(tap, bridge, &nics);
            if taps::attach(self.place, &self.plan.name, tap, ids)? {
                steps.say(format_args!("{tap} is attached"));
            }
        }
        interrupt::check()?;
        let (virsh, network) = (self.virsh, &self.plan.network);
        steps.undo_by("start of the network", move || Ok(virsh.stop(network)?));
        virsh.start(network)?;
        steps.say(format_args!(
            "libvirt's network {network} is served by vmlan; `vmlan libvirt release {network}` \
             gives it back"
        ));
        Ok(())
    }

    /// Keeps what is needed to give it back.
    fn keep(&self, steps: &mut Steps<'a>) -> Result<()> {
        let plan = self.plan;
        steps.undo_by("record", || plan.files.forget());
        plan.files
            .keep(&plan.record(self.virsh), &plan.description)?;
        let path = plan.files.description();
        steps.say(format_args!(
            "libvirt's description is kept in {}",
            path.display()
        ));
        Ok(())
    }

    fn write_config(&self, steps: &mut Steps<'a>) -> Result<()> {
        let plan = self.plan;
        let path = plan.files.config();
        let before = plan.config_before.as_deref();
        if before == Some(plan.config()) {
            return Ok(());
        }
        fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
        steps.undo_by("configuration", move || restore_config(&plan.files, before));
        if before.is_some() {
            // As it is: it may be a link, or not for everybody to read.
            rename(&path, &plan.files.config_before())?;
        }
        write(&path, plan.config())?;
        steps.say(format_args!("{} is written", path.display()));
        Ok(())
    }

    /// Ends libvirt's bridge and dnsmasq. Returns what that had leased.
    fn take_down(&self, steps: &mut Steps<'a>) -> Result<Option<String>> {
        let (plan, virsh) = (self.plan, self.virsh);
        let (bridge, isolated) = plan.now();
        let path = PathBuf::from(format!("{LEASES}/{bridge}.status"));
        let leases = text(&path)?;
        if plan.state.active {
            steps.undo_by("stop of the network", move || {
                match &plan.running {
                    None => virsh.start(&plan.network)?,
                    Some(running) => {
                        virsh.define(&running.description)?;
                        virsh.start(&plan.network)?;
                        virsh.define(&plan.description)?;
                    }
                }
                taps::give(&plan.taps, bridge.as_str(), isolated)
            });
            virsh.stop(&plan.network)?;
        }
        // What was leased meanwhile counts too.
        let leases = text(&path)?.or(leases);
        steps.undo_by("description", move || {
            virsh.define(&plan.description)?;
            Ok(virsh.set_autostart(&plan.network, plan.state.autostart)?)
        });
        virsh.define(&plan.redefined)?;
        virsh.set_autostart(&plan.network, plan.state.autostart)?;
        Ok(leases.filter(|text| !text.trim().is_empty()))
    }

    fn bring_up(&self, steps: &mut Steps<'a>) -> Result<()> {
        let (place, plan) = (self.place, self.plan);
        let keeper = Keeper::find(&plan.name);
        let log = plan.files.log();
        let stop = keeper.clone();
        steps.undo_by("start of vmlan", move || stop.stop(place, &plan.name));
        keeper.start(&plan.name, &log)?;
        match &keeper {
            Keeper::Systemd(unit) => {
                steps.say(format_args!("{unit} is started; {}", keeper.at_boot()));
            }
            Keeper::Nobody => steps.say(format_args!(
                "vmlan runs in the background, with its log in {}; {}",
                log.display(),
                keeper.at_boot()
            )),
        }
        Ok(())
    }

    /// Takes the leases over. What cannot be is told: its guest asks again.
    fn import(&self, text: String, steps: &mut Steps<'a>) {
        let client = Client::of(self.place, &self.plan.name);
        let done: Result<Done, _> =
            client.send(&Method::POST, "/v1/leases", &ImportLeases { text });
        match done {
            Ok(done) => steps.say(done.message),
            Err(error) => steps.say(format_args!("no leases are taken over: {error}")),
        }
    }
}

/// Puts the configuration back that was there, also where it never went.
pub(super) fn restore_config(files: &Files, before: Option<&str>) -> Result<()> {
    let (path, kept) = (files.config(), files.config_before());
    match before {
        None => remove(&path),
        Some(before) if text(&kept)?.as_deref() == Some(before) => rename(&kept, &path),
        Some(before) if text(&path)?.as_deref() == Some(before) => Ok(()),
        Some(before) => write(&path, before),
    }
}
