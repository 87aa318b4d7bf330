//! A service manager as far as vmlan knows one: it is told of states
//! (sd_notify(3)), keeps open files, starts the next process with them
//! (sd_listen_fds(3)), and has a watchdog. The protocol is systemd's own.

use crate::wait::{self, SOON};
use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::ffi::OsString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Where the files of a started process are put until its shell moves them to
/// the numbers from 3 on.
const ASIDE: i32 = 500;

/// A service manager.
#[derive(Debug)]
pub struct Manager {
    socket: PathBuf,
    watchdog: Option<Duration>,
    seen: Arc<Mutex<Seen>>,
    _folder: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct Seen {
    store: Vec<(String, OwnedFd)>,
    states: Vec<String>,
    fed: Option<Instant>,
}

/// Files that the next process is to inherit, while it is being started.
#[derive(Debug)]
pub struct Inheritance(
    #[expect(dead_code, reason = "open until the process has started")] Vec<OwnedFd>,
);

impl Manager {
    /// One that wants to hear from its service within `watchdog`.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(watchdog: Option<Duration>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("vt-{}-", std::process::id()))
            .tempdir()?;
        let socket = folder.path().join("notify");
        let listener = UnixDatagram::bind(&socket)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sink = Arc::clone(&seen);
        thread::spawn(move || while receive(&listener, &sink).is_ok() {});
        Ok(Self {
            socket,
            watchdog,
            seen,
            _folder: folder,
        })
    }

    /// Names of the kept files, sorted.
    #[must_use]
    pub fn kept(&self) -> Vec<String> {
        let mut names: Vec<_> = self.seen().store.iter().map(|it| it.0.clone()).collect();
        names.sort();
        names
    }

    /// The states that it was told of, in order, each a `KEY=VALUE`.
    #[must_use]
    pub fn states(&self) -> Vec<String> {
        self.seen().states.clone()
    }

    /// Waits until the service has missed the watchdog's time.
    ///
    /// # Errors
    /// It goes on to feed it.
    pub fn wait_for_missed_watchdog(&self) -> Result<()> {
        let time = self.watchdog.context("there is no watchdog")?;
        wait::until("the watchdog to run out", 4 * time + SOON, || {
            let fed = self.seen().fed.context("it was never fed")?;
            anyhow::ensure!(fed.elapsed() > time, "it is fed");
            Ok(())
        })
    }

    /// How long ago the watchdog was fed.
    #[must_use]
    pub fn fed_ago(&self) -> Option<Duration> {
        self.seen().fed.map(|fed| fed.elapsed())
    }

    /// Drops all files, as systemd does once a service is stopped.
    pub fn forget_all(&self) {
        self.seen().store.clear();
    }

    /// Has `command`, which is `ip netns exec NAMESPACE PROGRAM…`, start its program
    /// as a service. What is given is to be dropped once it was started.
    ///
    /// # Errors
    /// No file numbers are left.
    pub fn adopt(&self, command: &Command) -> Result<(Command, Inheritance)> {
        self.seen().fed = None;
        let mut inherited = Vec::new();
        let (mut moves, mut names) = (String::new(), Vec::new());
        for (number, (name, file)) in self.seen().store.iter().enumerate() {
            let aside = fcntl_dupfd_cloexec(file, ASIDE)?;
            fcntl_setfd(&aside, FdFlags::empty())?;
            let (to, from) = (number + 3, aside.as_raw_fd());
            moves += &format!("exec {to}<&{from} {from}<&-; ");
            names.push(name.clone());
            inherited.push(aside);
        }
        let arguments: Vec<OsString> = command.get_args().map(OsString::from).collect();
        let (netns, program) = arguments.split_at(3.min(arguments.len()));
        let mut service = Command::new(command.get_program());
        service
            .args(netns)
            // dash has no numbers above 9.
            .args(["bash", "-c"])
            .arg(format!(
                r#"{moves} export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$@""#
            ))
            .arg("service")
            .args(program)
            .env("NOTIFY_SOCKET", &self.socket)
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"));
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                service.env(key, value);
            }
        }
        if let Some(watchdog) = self.watchdog {
            service.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Ok((service, Inheritance(inherited)))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one message.
fn receive(listener: &UnixDatagram, seen: &Mutex<Seen>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 65_536];
    let got = recvmsg(
        listener,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(lot) = message {
            files.extend(lot);
        }
    }
    let text = String::from_utf8_lossy(bytes.get(..got.bytes).unwrap_or_default()).into_owned();
    let value = |key: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let mut seen = lock(seen);
    let name = value("FDNAME").unwrap_or("stored").to_owned();
    if value("FDSTOREREMOVE") == Some("1") {
        seen.store.retain(|(kept, _)| *kept != name);
    } else if value("FDSTORE") == Some("1") {
        let named = files.into_iter().map(|file| (name.clone(), file));
        seen.store.extend(named);
    } else if value("WATCHDOG") == Some("1") {
        seen.fed = Some(Instant::now());
    } else {
        seen.states.extend(text.lines().map(str::to_owned));
    }
    Ok(())
}
