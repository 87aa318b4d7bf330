//! The network that has a host interface: found below /run/vmlan by its lock
//! file, asked over its control socket.

use anyhow::{Context as _, bail, ensure};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The run folder of root's networks; another one nobody can name.
const RUN: &str = "/run/vmlan";

/// The most that is read of a lock file, in bytes.
const MAX_LOCK: u64 = 4096;

/// The most that is read of an answer, in bytes: a list of 1,024 ports.
const MAX_ANSWER: u64 = 4 << 20;

/// How long a network may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a network.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
    control: BufReader<UnixStream>,
}

/// An answer over HTTP.
struct Answer {
    status: u16,
    body: String,
}

impl Network {
    /// The network whose host interface is `interface`, in this network
    /// namespace.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub(crate) fn of(interface: &str) -> anyhow::Result<Self> {
        let run = Path::new(RUN);
        let none = || format!("no vmlan network has the host interface {interface}");
        root_only(&run.symlink_metadata().with_context(none)?).context(RUN)?;
        let netns = fs::metadata("/proc/self/ns/net").context("cannot tell the namespace")?;
        for entry in fs::read_dir(run).context(RUN)? {
            let path = entry.context(RUN)?.path();
            let is_ours = path
                .symlink_metadata()
                .is_ok_and(|it| root_only(&it).is_ok());
            if !is_ours || !has(&path.join("lock"), interface, netns.ino()) {
                continue;
            }
            // One that was killed has left its lock file behind.
            if let Ok(control) = UnixStream::connect(path.join("control.sock")) {
                control.set_read_timeout(Some(PATIENCE))?;
                control.set_write_timeout(Some(PATIENCE))?;
                let name = path.file_name().unwrap_or_default();
                return Ok(Self {
                    name: name.to_string_lossy().into_owned(),
                    control: BufReader::new(control),
                });
            }
        }
        bail!("{}: is `vmlan run` running?", none())
    }

    /// Has the network take the netdev `tap`, which is up then.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn attach(&mut self, tap: &str) -> anyhow::Result<()> {
        let what = format!("the network {} does not take {tap}", self.name);
        let body = format!("{{\"interface\":\"{tap}\"}}");
        let answer = self.ask("POST /v1/attach", &body).context(what.clone())?;
        if answer.status == 200 {
            return Ok(());
        }
        // One of its own patterns may have been faster.
        let ports = self.ask("GET /v1/ports", "").context(what.clone())?;
        ensure!(
            ports.body.contains(&format!("\"interface\":\"{tap}\"")),
            "{what}: {}",
            answer.body
        );
        Ok(())
    }

    fn ask(&mut self, request: &str, body: &str) -> anyhow::Result<Answer> {
        let length = body.len();
        let message = format!(
            "{request} HTTP/1.1\r\nhost: vmlan\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.control.get_mut().write_all(message.as_bytes())?;
        Answer::read(&mut self.control)
    }
}

impl Answer {
    fn read(from: &mut impl std::io::BufRead) -> anyhow::Result<Self> {
        let mut head = from.by_ref().take(MAX_LOCK);
        let mut line = String::new();
        head.read_line(&mut line)?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|code| code.parse().ok());
        let status = status.context("it answers something else than HTTP")?;
        let mut length = 0;
        loop {
            line.clear();
            head.read_line(&mut line)?;
            ensure!(line.ends_with('\n'), "its answer is cut short");
            if line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().context("an answer without a length")?;
            }
        }
        ensure!(length <= MAX_ANSWER, "its answer is too long");
        let mut body = Vec::new();
        from.take(length).read_to_end(&mut body)?;
        ensure!(body.len() as u64 == length, "its answer is cut short");
        Ok(Self {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

/// Refuses a folder in which others than root could put something.
fn root_only(folder: &Metadata) -> anyhow::Result<()> {
    ensure!(
        folder.is_dir() && folder.uid() == 0 && folder.mode() & 0o022 == 0,
        "it is not a folder that root alone writes"
    );
    Ok(())
}

/// Whether a lock file is that of a network with this host interface in the
/// network namespace with this inode number (cli/src/host/rundir.rs writes it).
fn has(lock: &Path, interface: &str, netns: u64) -> bool {
    let mut text = String::new();
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(lock);
    let read = open.and_then(|file: File| file.take(MAX_LOCK).read_to_string(&mut text));
    let line = |wanted: String| text.lines().any(|line| line == wanted);
    read.is_ok() && line(format!("interface = {interface:?}")) && line(format!("netns = {netns}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_names_interface_and_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        fs::write(
            &lock,
            "pid = 7\ninterface = \"vmlan0\"\nnetns = 4026531840\n",
        )
        .unwrap();
        assert!(has(&lock, "vmlan0", 4_026_531_840));
        assert!(!has(&lock, "vmlan1", 4_026_531_840));
        assert!(!has(&lock, "vmlan0", 4_026_531_841));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&lock, &link).unwrap();
        assert!(!has(&link, "vmlan0", 4_026_531_840));
        assert!(!has(&folder.path().join("gone"), "vmlan0", 1));
    }

    #[test]
    fn an_answer_is_read_to_its_length_and_no_further() {
        let read = |text: &str| Answer::read(&mut text.as_bytes());
        let text = "HTTP/1.1 409 Conflict\r\nX: y\r\nContent-Length: 2\r\n\r\n{}HTTP";
        let answer = read(text).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (409, "{}"));
        for bad in [
            "",
            "HTTP/1.1 200",
            "SSH-2.0",
            "HTTP/1.1 200 OK\r\n\r",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{}",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let endless = "HTTP/1.1 200 OK\r\n".to_owned() + &"x".repeat(10_000);
        assert!(read(&endless).is_err());
    }
}
