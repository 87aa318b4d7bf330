//! What stands ready for the next process while this one serves: in the service
//! manager's store each file, and in RUN/NAME/handover.json what they are.

use super::record::{Fixed, PortRecord, Record, VERSION};
use super::store::{Files, Store};
use crate::config::PortName;
use crate::config::PortSettings;
use crate::daemon::network::Network;
use crate::daemon::ports::Origin;
use crate::host::durable;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use vmlan_dataplane::table::PortId;

/// The record in RUN/NAME.
pub(super) const RECORD: &str = "handover.json";

/// The most that is read of it, in bytes.
pub(super) const LIMIT: usize = 64 << 20;

/// What is kept for the next process.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Kept {
    pub(super) store: Option<Store>,
    /// The sockets that are listened on, by their names in RUN/NAME.
    pub(super) listeners: Files,
    /// The record is not written yet: the network is not whole.
    pub(super) is_filling: bool,
}

impl Kept {
    /// Keeps a socket that is listened on.
    pub(in crate::daemon) fn listener(&mut self, name: &str, socket: OwnedFd) {
        if let Some(store) = &mut self.store
            && let Err(error) = store.keep(name, socket.as_fd())
        {
            not_kept(name, &error);
        }
        self.listeners.insert(name.to_owned(), socket);
    }
}

impl Network {
    /// Keeps the files of a port that has come.
    pub(in crate::daemon) fn keep_port(&mut self, name: &PortName, id: PortId) {
        let Some(store) = &mut self.kept.store else {
            return;
        };
        let kept = self.switch.hand_over(id).and_then(|handed| {
            let mut files = handed.files.iter().enumerate();
            files.try_for_each(|(n, file)| store.keep(&PortRecord::file(name, n), file.as_fd()))
        });
        if let Err(error) = kept {
            not_kept(name.as_str(), &error);
        }
        self.write_record();
    }

    /// Forgets the files of a port that has gone.
    pub(in crate::daemon) fn forget_port(&mut self, name: &PortName) {
        let Some(store) = &mut self.kept.store else {
            return;
        };
        for n in 0.. {
            match store.forget(&PortRecord::file(name, n)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    not_kept(name.as_str(), &error);
                    break;
                }
            }
        }
        self.write_record();
    }

    /// Takes note of what was changed on a port.
    pub(in crate::daemon) fn note_settings(&mut self, name: &PortName, changed: &PortSettings) {
        if let Some(port) = self.ports.get_mut(name) {
            port.offload = changed.offload.unwrap_or(port.offload);
            port.dhcp = changed.dhcp.unwrap_or(port.dhcp);
        }
        self.write_record();
    }

    /// Listens on RUN/NAME/`file`, or goes on with a socket that was handed over.
    ///
    /// # Errors
    /// Those of [`RunDir::listen`](crate::host::rundir::RunDir::listen).
    pub(in crate::daemon) fn listen_on(&mut self, file: &str) -> anyhow::Result<UnixListener> {
        let inherited = self.kept.listeners.get(file);
        let is_there = self.run.path().join(file).exists();
        let listener = match inherited.filter(|_| is_there) {
            Some(listener) => UnixListener::from(listener.try_clone()?),
            None => {
                let listener = self.run.listen(file)?;
                self.kept.listener(file, listener.try_clone()?.into());
                listener
            }
        };
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Lets the host back on netdevs that were ports of another process and are
    /// none any more.
    pub(super) fn release_strangers(&mut self) {
        for index in self.quiet.all_taken() {
            if self.ports.by_index(index).is_none() {
                self.let_go(index);
            }
        }
    }

    /// Has everything forgotten that the store has of ports that are gone.
    pub(super) fn forget_strangers(&mut self) {
        let mut names: BTreeSet<String> = self.kept.listeners.keys().cloned().collect();
        for (name, port) in self.ports.iter() {
            names.extend((0..port.files()).map(|n| PortRecord::file(name, n)));
        }
        if let Some(store) = &mut self.kept.store
            && let Err(error) = store.retain(&names)
        {
            not_kept("the store", &error);
        }
    }

    /// Keeps what is there.
    pub(super) fn keep_all(&mut self) {
        let ports: Vec<_> = self.ports.iter().map(|(n, p)| (n.clone(), p.id)).collect();
        for (name, id) in ports {
            self.keep_port(&name, id);
        }
        let listeners = std::mem::take(&mut self.kept.listeners);
        for (name, socket) in listeners {
            self.kept.listener(&name, socket);
        }
        self.write_record();
    }

    /// Has the record say what the ports are now.
    pub(in crate::daemon) fn write_record(&self) {
        if self.kept.store.is_none() || self.kept.is_filling {
            return;
        }
        if let Err(error) = self.write(&self.record()) {
            not_kept(RECORD, &error);
        }
    }

    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        durable::write(&self.run.path().join(RECORD), &text, 0o600)
    }

    /// Leaves nothing for a next process.
    pub(in crate::daemon) fn keep_nothing(&mut self) {
        let cleared = self.kept.store.as_mut().map_or(Ok(()), Store::clear);
        let path = self.run.path().join(RECORD);
        if let Err(error) = cleared.and(durable::remove_if_there(&path)) {
            not_kept(RECORD, &error);
        }
        self.kept = Kept::default();
    }

    /// What the next process goes by from its start.
    pub(super) fn fixed(&self) -> Fixed {
        Fixed {
            former: self.former.clone(),
            ..Fixed::of(&self.config, self.gateway)
        }
    }

    /// What the network is, without what changes with each frame.
    pub(super) fn record(&self) -> Record {
        let configured = self.config.wanted_ports();
        let ports = self.ports.iter().map(|(name, port)| {
            let wanted = configured.iter().find(|wanted| wanted.name == *name);
            let wanted = wanted.filter(|_| port.origin == Origin::Config);
            PortRecord {
                name: name.to_string(),
                kind: port.kind,
                origin: port.origin,
                interface: wanted.map(|wanted| wanted.interface.to_string()),
                netdev: port.netdev.clone(),
                offload: port.offload,
                dhcp: port.dhcp,
                external_ids: port.external_ids.clone(),
                files: port.files(),
                begun: Vec::new(),
                part: Vec::new(),
                rx: Default::default(),
                tx: Default::default(),
            }
        });
        Record {
            version: VERSION,
            network: self.fixed(),
            ports: ports.collect(),
            streams: self.ports.streams(),
            detached: self.ports.all_detached().clone(),
            stations: Vec::new(),
        }
    }
}

/// The record that a process has left in `run`, the folder RUN/NAME.
pub(super) fn left(run: &Path) -> Option<Record> {
    let path = run.join(RECORD);
    let text = match durable::read(&path, LIMIT) {
        Ok(text) => text?,
        Err(error) => {
            tracing::warn!("cannot read {}: {error}", path.display());
            return None;
        }
    };
    match serde_json::from_slice::<Record>(&text) {
        Ok(record) if record.version == VERSION => Some(record),
        Ok(record) => {
            tracing::warn!(
                "{} is of version {}, which this vmlan does not know",
                path.display(),
                record.version
            );
            None
        }
        Err(error) => {
            tracing::warn!("{} makes no sense: {error}", path.display());
            None
        }
    }
}

fn not_kept(what: &str, error: &io::Error) {
    tracing::warn!("{what} will not come through a crash of vmlan: {error}");
}
