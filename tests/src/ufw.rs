//! ufw on the host of a switch, with rules that only it sees.

use crate::namespace::Namespace;
use crate::station::Station;
use anyhow::{Context, Result};

/// ufw, enabled as its package has it: it drops what it forwards, and what comes
/// in. Its rules end with the namespace.
#[derive(Debug)]
pub struct Ufw {
    folder: tempfile::TempDir,
}

impl Ufw {
    /// Enables it in `host`.
    ///
    /// # Errors
    /// The package is not there, or the kernel refuses its rules.
    pub fn enable(host: &Namespace) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("vt-{}-", std::process::id()))
            .tempdir()?;
        host.run(&format!("cp -r /etc/ufw/. {}", folder.path().display()))
            .context("no /etc/ufw (has tests/install.sh run?)")?;
        let ufw = Self { folder };
        ufw.command(host, "--force enable")?;
        Ok(ufw)
    }

    /// Runs `ufw` with `arguments`.
    ///
    /// # Errors
    /// It fails.
    pub fn command(&self, host: &Namespace, arguments: &str) -> Result<String> {
        host.run(&format!(
            "mount --bind {} /etc/ufw && mount -t tmpfs none /run && exec ufw {arguments}",
            self.folder.path().display()
        ))
    }
}
