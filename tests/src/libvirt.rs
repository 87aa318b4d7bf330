//! A host with libvirt: libvirtd, virtlogd and vmlan in namespaces of their
//! own, with empty folders where these write. Its domains are the guests of
//! [`guest`](crate::guest).
//!
//! Nothing of it is seen by the machine's own libvirt: network, mounts and
//! sockets are separate, and all of it is gone with the value.

use crate::console::Console;
use crate::dhcp_client::{self, Lease};
use crate::namespace::Namespace;
use crate::process::{self, Lines, Outcome, Process};
use crate::station::Station;
use crate::switch::program;
use crate::{target_dir, wait};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use vmlan::ovs::install::{HOOK, hook_script};

/// The longest that a virsh command may take: `start` waits for qemu.
const VIRSH: Duration = Duration::from_secs(30);

/// Makes the host's folders, then stays for as long as it lives.
///
/// libvirt's own configuration is kept, but for what needs the real machine:
/// users, confinement, networks that start by themselves.
const MOUNTS: &str = r#"
set -e
mount --make-rprivate /
keep=$(mktemp -d)
cp -a /etc/libvirt/. "$keep"
for folder in /run /etc/libvirt /etc/vmlan /var/lib/libvirt /var/lib/vmlan \
        /var/log/libvirt /var/cache/libvirt /usr/local/sbin /usr/local/bin; do
    [ -d "$folder" ] || { mkdir -p "$folder"; }
    mount -t tmpfs none "$folder"
done
cp -a "$keep/." /etc/libvirt
rm -rf "$keep" /etc/libvirt/qemu/networks/autostart/*
cat >>/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
END
mkdir -p /run/lock /var/lib/libvirt/dnsmasq
cp "$0" /usr/local/bin/vmlan
echo ready
exec sleep infinity
"#;

/// The host.
#[derive(Debug)]
pub struct Libvirt {
    vmlan: Option<Process>,
    libvirtd: Option<Process>,
    /// Ends when the namespace does.
    _virtlogd: Process,
    /// Its mounts are the host's.
    root: Process,
    /// Its network.
    pub namespace: Arc<Namespace>,
    /// Where the domains' serial lines end.
    folder: tempfile::TempDir,
}

impl Libvirt {
    /// A host with libvirtd running, and vmlan installed in /usr/local/bin.
    ///
    /// # Errors
    /// Not root, or libvirt is not installed.
    pub fn start() -> Result<Self> {
        let namespace = Arc::new(Namespace::new("libvirt")?);
        let mut command = namespace.command("sh");
        command.args(["-c", MOUNTS]).arg(program()?);
        let mut root = Process::spawn(command)?;
        root.wait_for_line("the host's folders", 0, wait::SOON, |line| line == "ready")?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("vt-{}-", std::process::id()))
            .tempdir()?;
        let mut host = Self {
            vmlan: None,
            libvirtd: None,
            _virtlogd: Process::spawn(enter(&root, "virtlogd"))?,
            root,
            namespace,
            folder,
        };
        host.start_libvirtd()?;
        Ok(host)
    }

    /// Starts libvirtd and waits until it answers.
    ///
    /// # Errors
    /// It does not; with its log.
    pub fn start_libvirtd(&mut self) -> Result<()> {
        let mut command = self.command("libvirtd");
        // As systemd's services have it (systemd.exec(5)).
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        self.libvirtd = Some(Process::spawn(command)?);
        wait::until("libvirtd", wait::SOON, || self.virsh("list"))
            .with_context(|| self.libvirtd_log())
            .map(drop)
    }

    /// Stops libvirtd as systemd does. Domains go on.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop_libvirtd(&mut self) -> Result<()> {
        let mut libvirtd = self.libvirtd.take().context("libvirtd does not run")?;
        libvirtd.signal(Signal::TERM)?;
        libvirtd.wait(wait::SOON).map(drop)
    }

    /// A command that starts `program` on the host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        enter(&self.root, program)
    }

    /// Runs virsh with `arguments` and gives what it prints.
    ///
    /// # Errors
    /// It fails; with what it printed.
    pub fn virsh(&self, arguments: &str) -> Result<String> {
        self.try_virsh(arguments)?
            .success()
            .with_context(|| format!("virsh {arguments}"))
    }

    /// Runs virsh with `arguments`. An exit status other than 0 is no error
    /// here.
    ///
    /// # Errors
    /// It does not end.
    pub fn try_virsh(&self, arguments: &str) -> Result<Outcome> {
        let mut command = self.command("virsh");
        command.arg("-q").args(arguments.split_whitespace());
        process::run(command, VIRSH)
    }

    /// The path by which this process sees the host's file `path`, which starts
    /// with a slash.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.root.id()))
    }

    /// Writes the host's file `path`.
    ///
    /// # Errors
    /// Its folder is not there.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        fs::write(self.file(path), text).with_context(|| path.to_owned())
    }

    /// Reads the host's file `path`.
    ///
    /// # Errors
    /// It is not there, or no text.
    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.file(path)).with_context(|| path.to_owned())
    }

    /// Starts vmlan for the network `default` with `config` as
    /// /etc/vmlan/default.toml, and waits until it is ready.
    ///
    /// # Errors
    /// It does not come up; with what it printed.
    pub fn start_vmlan(&mut self, config: &str) -> Result<()> {
        self.write("/etc/vmlan/default.toml", config)?;
        let mut command = self.command("vmlan");
        command.arg("run");
        let vmlan = self.vmlan.insert(Process::spawn(command)?);
        vmlan
            .wait_for_line("ready: ", 0, wait::SOON, |line| line.starts_with("ready: "))
            .map(drop)
    }

    /// Puts vmlan in place as `ovs-vsctl`, where libvirtd finds it first, and as
    /// libvirt's hook. libvirtd finds a first hook when it starts.
    ///
    /// # Errors
    /// It is there already.
    pub fn install_ovs_vsctl(&self) -> Result<()> {
        let link = self.file("/usr/local/sbin/ovs-vsctl");
        symlink("/usr/local/bin/vmlan", &link).with_context(|| link.display().to_string())?;
        self.run("mkdir -p /etc/libvirt/hooks/network.d")?;
        self.write(HOOK, &hook_script(Path::new("/usr/local/sbin/ovs-vsctl")))?;
        self.run(&format!("chmod +x {HOOK}")).map(drop)
    }

    /// What vmlan prints as JSON for `vmlan WHAT --json`.
    ///
    /// # Errors
    /// The command fails.
    pub fn json(&self, what: &str) -> Result<Value> {
        let text = self.run(&format!("vmlan {what} --json"))?;
        serde_json::from_str(&text).with_context(|| format!("vmlan {what} --json: {text}"))
    }

    /// Stops vmlan with SIGTERM and wants exit status 0.
    ///
    /// # Errors
    /// It does not end soon, or not with 0.
    pub fn stop_vmlan(&mut self) -> Result<()> {
        let mut vmlan = self.vmlan.take().context("vmlan does not run")?;
        vmlan.signal(Signal::TERM)?;
        let status = vmlan.wait(wait::SOON)?;
        ensure!(status.success(), "{status}\n{}", vmlan.stderr());
        Ok(())
    }

    /// Defines the network of `xml` and starts it.
    ///
    /// # Errors
    /// libvirt refuses it.
    pub fn start_network(&self, name: &str, xml: &str) -> Result<()> {
        self.write("/run/network.xml", xml)?;
        self.virsh("net-define /run/network.xml")?;
        self.virsh(&format!("net-start {name}")).map(drop)
    }

    /// Defines a domain `name` whose NIC is `interface`, such as
    /// `<interface type='network'>…</interface>`.
    ///
    /// # Errors
    /// libvirt refuses it.
    pub fn define_domain(&self, name: &str, interface: &str) -> Result<()> {
        let guest = target_dir().join("guest").canonicalize()?;
        let [kernel, initramfs] = ["vmlinuz", "initramfs.gz"].map(|file| guest.join(file));
        ensure!(kernel.exists(), "no guest kernel: run tests/install.sh");
        let xml = format!(
            "<domain type='qemu'>\n\
               <name>{name}</name><memory unit='MiB'>320</memory><vcpu>1</vcpu>\n\
               <os><type arch='x86_64' machine='pc'>hvm</type>\n\
                 <kernel>{kernel}</kernel><initrd>{initramfs}</initrd>\n\
                 <cmdline>console=ttyS0 quiet loglevel=0 panic=-1</cmdline></os>\n\
               <features><acpi/></features>\n\
               <devices>\n\
                 {interface}\n\
                 <serial type='unix'><source mode='connect' path='{serial}'/></serial>\n\
                 <controller type='usb' model='none'/><memballoon model='none'/>\n\
               </devices>\n\
             </domain>\n",
            kernel = kernel.display(),
            initramfs = initramfs.display(),
            serial = self.serial(name).display(),
        );
        let file = format!("/run/{name}.xml");
        self.write(&file, &xml)?;
        self.virsh(&format!("define {file}")).map(drop)
    }

    /// Starts the domain `name` and waits for its shell.
    ///
    /// # Errors
    /// libvirt or qemu fails, or the guest does not come up.
    pub fn boot(&self, name: &str) -> Result<Domain> {
        self.launch(name)?.booted()
    }

    /// Starts the domain `name`; it boots then.
    ///
    /// # Errors
    /// libvirt or qemu fails.
    pub fn launch(&self, name: &str) -> Result<Launched> {
        let path = self.serial(name);
        if path.exists() {
            fs::remove_file(&path)?;
        }
        // qemu connects, so that nothing is lost of what the guest says.
        let listener = UnixListener::bind(&path)?;
        self.virsh(&format!("start {name}"))?;
        listener.set_nonblocking(true)?;
        let (line, _) = wait::until("the serial line", wait::SOON, || Ok(listener.accept()?))?;
        line.set_nonblocking(false)?;
        Ok(Launched(Console::new(Lines::of(line.try_clone()?), line)))
    }

    fn serial(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.serial"))
    }

    /// What vmlan logged since its last start.
    #[must_use]
    pub fn vmlan_log(&self) -> String {
        let vmlan = self.vmlan.as_ref();
        vmlan.map(Process::stderr).unwrap_or_default()
    }

    /// What libvirtd logged since its last start.
    #[must_use]
    pub fn libvirtd_log(&self) -> String {
        let libvirtd = self.libvirtd.as_ref();
        libvirtd.map(Process::stderr).unwrap_or_default()
    }
}

/// Shell scripts run on the host.
impl Station for Libvirt {
    fn shell(&self, script: &str, within: Duration) -> Result<Outcome> {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        process::run(command, within)
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        // Shown by the test harness where the test fails.
        if thread::panicking() || self.vmlan.is_some() {
            eprintln!("vmlan's log:\n{}", self.vmlan_log());
            eprintln!("libvirtd's log:\n{}", self.libvirtd_log());
        }
    }
}

/// A command that starts `program` in the mounts and the network of `root`.
fn enter(root: &Process, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["-m", "-n", "-t", &root.id().to_string(), "--"])
        .arg(program);
    command
}

/// A domain that boots.
#[derive(Debug)]
pub struct Launched(Console);

impl Launched {
    /// Waits for its shell.
    ///
    /// # Errors
    /// It does not come up; with what it printed.
    pub fn booted(mut self) -> Result<Domain> {
        self.0.wait_for_shell()?;
        Ok(Domain {
            console: Mutex::new(self.0),
        })
    }
}

/// A domain that runs, seen from inside. It ends with its host.
#[derive(Debug)]
pub struct Domain {
    console: Mutex<Console>,
}

impl Domain {
    /// Leases an address with udhcpc, which gives `hostname`, and sets it on
    /// the NIC.
    ///
    /// # Errors
    /// None was offered.
    pub fn lease(&self, hostname: &str) -> Result<Lease> {
        dhcp_client::udhcpc_in_guest(self, &format!("-x hostname:{hostname}"))
    }
}

impl Station for Domain {
    fn shell(&self, script: &str, within: Duration) -> Result<Outcome> {
        let mut console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        console.shell(script, within)
    }
}
