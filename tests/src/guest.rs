//! A qemu guest with one virtio-net NIC and a shell on its serial line.
//!
//! Kernel and initramfs are those that `tests/install.sh` makes; what the
//! guest's init does with a line is told in `tests/guest/init`. There is no
//! KVM on the machines of the tests: a boot takes about 3 s.

use crate::console::Console;
use crate::dhcp_client::{self, Lease};
use crate::namespace::Namespace;
use crate::process::{Outcome, Process};
use crate::station::Station;
use crate::target_dir;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How the guest's NIC is joined to the switch.
#[derive(Debug, Clone, Copy)]
pub enum Link<'a> {
    /// `-netdev tap`: qemu makes the netdev of this name and holds its fd.
    /// Offloads are on, since the TAP has a vnet header.
    Tap(&'a str),
    /// `-netdev stream` to the unix socket at this path.
    Stream(&'a Path),
}

/// A guest that runs. It is killed on drop.
#[derive(Debug)]
pub struct Guest {
    console: Mutex<Console>,
    /// Ends the guest on drop.
    qemu: Process,
    mac: String,
}

impl Guest {
    /// Boots a guest whose qemu runs in `namespace`, with a NIC of address
    /// `mac`, and waits for its shell.
    ///
    /// # Errors
    /// qemu fails, or the guest does not come up; with what both printed.
    pub fn boot(namespace: &Namespace, mac: &str, link: Link<'_>) -> Result<Self> {
        let folder = target_dir().join("guest");
        let kernel = folder.join("vmlinuz");
        ensure!(kernel.exists(), "no guest kernel: run tests/install.sh");

        let mut command = namespace.command("qemu-system-x86_64");
        command
            .args("-accel tcg -m 320 -smp 1 -nodefaults -no-user-config -no-reboot".split(' '))
            .args("-display none -serial stdio".split(' '))
            .arg("-kernel")
            .arg(&kernel)
            .arg("-initrd")
            .arg(folder.join("initramfs.gz"))
            .args(["-append", "console=ttyS0 quiet loglevel=0 panic=-1"])
            .arg("-netdev")
            .arg(match link {
                Link::Tap(name) => format!("tap,id=lan,ifname={name},script=no,downscript=no"),
                Link::Stream(path) => {
                    format!("stream,id=lan,addr.type=unix,addr.path={}", path.display())
                }
            })
            .args([
                "-device",
                &format!("virtio-net-pci,netdev=lan,mac={mac},romfile="),
            ]);
        let mut qemu = Process::spawn(command)?;
        if let Link::Tap(name) = link {
            // As libvirt does: whoever makes the TAP brings it up.
            namespace
                .wait_for_netdev(name)
                .with_context(|| qemu.stderr())?;
            namespace.run(&format!("ip link set {name} up"))?;
        }
        let mut console = qemu.console()?;
        console.wait_for_shell().with_context(|| qemu.stderr())?;
        Ok(Self {
            console: Mutex::new(console),
            qemu,
            mac: mac.to_owned(),
        })
    }

    /// The MAC of its NIC.
    #[must_use]
    pub fn mac(&self) -> &str {
        &self.mac
    }

    /// Leases an address with udhcpc and sets it on the NIC.
    ///
    /// # Errors
    /// None was offered.
    pub fn lease(&self) -> Result<Lease> {
        dhcp_client::udhcpc_in_guest(self, "")
    }
}

impl Station for Guest {
    fn shell(&self, script: &str, within: Duration) -> Result<Outcome> {
        let mut console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        console
            .shell(script, within)
            .with_context(|| self.qemu.stderr())
    }
}
