//! The sysctls of one netdev, below `/proc/sys/net`, which is that of the
//! calling thread's network namespace.
//!
//! By their paths, since a netdev's name may hold the `.` that parts the words
//! of a sysctl's name.

use super::link::MAX_NAME;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A sysctl that each netdev has of its own, and the value to give it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// `ipv4` or `ipv6`.
    pub(super) family: &'static str,
    /// The last word of its name.
    pub(super) key: &'static str,
    /// The value that vmlan wants.
    pub(super) value: &'static str,
}

/// A sysctl cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SysctlError {
    /// The name is none that a netdev can have sysctls by.
    #[error("{0:?} is no name of a netdev")]
    BadName(String),
    /// The kernel refused it.
    #[error("cannot {action} {}{}", path.display(), mend(.source))]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The sysctl.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (run vmlan as root)",
        io::ErrorKind::ReadOnlyFilesystem => " (a container has to let vmlan write to /proc/sys)",
        _ => "",
    }
}

impl Setting {
    /// The value that `interface` has now; [`None`] where the kernel has no
    /// such sysctl: it has no IPv6, the netdev's MTU is too small for IP, or
    /// the netdev is gone.
    ///
    /// # Errors
    /// [`SysctlError`].
    pub(super) fn read(&self, interface: &str) -> Result<Option<String>, SysctlError> {
        read(&self.path(interface)?)
    }

    /// Gives `interface` the wanted value. Does nothing where
    /// [`Setting::read`] gives [`None`].
    ///
    /// # Errors
    /// [`SysctlError`].
    pub(super) fn apply(&self, interface: &str) -> Result<(), SysctlError> {
        self.write(interface, self.value)
    }

    /// Gives `interface` the value `before`, unless somebody else has changed
    /// it from the wanted one meanwhile.
    ///
    /// # Errors
    /// [`SysctlError`].
    pub(super) fn restore(&self, interface: &str, before: &str) -> Result<(), SysctlError> {
        match self.read(interface)? {
            Some(now) if now == self.value => self.write(interface, before),
            _ => Ok(()),
        }
    }

    fn write(&self, interface: &str, value: &str) -> Result<(), SysctlError> {
        write(&self.path(interface)?, value)
    }

    fn path(&self, interface: &str) -> Result<PathBuf, SysctlError> {
        // `all` and `default` are folders too, but no netdev's. Not every name
        // comes from the kernel: some stood in a file.
        let bad = interface.is_empty()
            || interface.len() > MAX_NAME
            || interface.contains(['/', '\0'])
            || [".", "..", "all", "default"].contains(&interface);
        if bad {
            return Err(SysctlError::BadName(interface.to_owned()));
        }
        Ok(["/proc/sys/net", self.family, "conf", interface, self.key]
            .iter()
            .collect())
    }
}

const NO_IPV6: Setting = Setting {
    family: "ipv6",
    key: "disable_ipv6",
    value: "1",
};

/// What makes the host's own interface of an isolated network a dead end.
const ISOLATED: [Setting; 2] = [forwarding("0"), NO_IPV6];

/// What the host's own interface has of a network whose packets the host
/// forwards. As with libvirt, no IPv6 where the network has no address of it.
const ROUTED: [Setting; 2] = [forwarding("1"), NO_IPV6];

/// Whether the host forwards IPv4 packets that come in by a netdev.
pub(super) const fn forwarding(value: &'static str) -> Setting {
    Setting {
        family: "ipv4",
        key: "forwarding",
        value,
    }
}

/// Makes the host's own interface of an isolated network a dead end: the host
/// forwards no IPv4 packet that comes in by it, and speaks no IPv6 on it. The
/// netdev is vmlan's own and goes with it, so nothing is recorded.
///
/// Writing net.ipv4.ip_forward or net.ipv6.conf.all.disable_ipv6, by whomever,
/// gives every netdev the same value: then this has to be called again. The
/// answer is the sysctls that had another value.
///
/// # Errors
/// [`SysctlError`].
pub(crate) fn isolate_host_interface(interface: &str) -> Result<Vec<String>, SysctlError> {
    set(interface, &ISOLATED)
}

/// Has the host forward what comes in by the own interface of a network, if it
/// forwards at all, and speak no IPv6 on it. As
/// [`isolate_host_interface`], to be called again when others write.
///
/// # Errors
/// [`SysctlError`].
pub(crate) fn route_host_interface(interface: &str) -> Result<Vec<String>, SysctlError> {
    set(interface, &ROUTED)
}

/// Gives the host's own interface, which forwards nothing any more, the settings
/// that a new netdev has: in a bridged LAN it is a station like others.
///
/// # Errors
/// [`SysctlError`].
pub(crate) fn reset_host_interface(interface: &str) -> Result<(), SysctlError> {
    for setting in ISOLATED {
        let default = format!(
            "/proc/sys/net/{}/conf/default/{}",
            setting.family, setting.key
        );
        if let Some(default) = read(Path::new(&default))? {
            setting.write(interface, &default)?;
        }
    }
    Ok(())
}

fn set(interface: &str, settings: &[Setting]) -> Result<Vec<String>, SysctlError> {
    let mut changed = Vec::new();
    for setting in settings {
        match setting.read(interface)? {
            Some(now) if now != setting.value => {
                setting.apply(interface)?;
                let Setting { family, key, .. } = setting;
                changed.push(format!("net.{family}.conf.{interface}.{key}"));
            }
            _ => {}
        }
    }
    Ok(changed)
}

/// net.ipv4.ip_forward: whether the host forwards between its netdevs, except
/// for those that have a value of their own. [`None`] without IPv4.
///
/// # Errors
/// [`SysctlError::File`].
pub(crate) fn host_forwards() -> Result<Option<String>, SysctlError> {
    read(Path::new(IP_FORWARD))
}

/// Writes net.ipv4.ip_forward, which gives every netdev that value.
///
/// # Errors
/// [`SysctlError::File`].
pub(super) fn set_host_forwards(value: &str) -> Result<(), SysctlError> {
    write(Path::new(IP_FORWARD), value)
}

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

fn read(path: &Path) -> Result<Option<String>, SysctlError> {
    match fs::read_to_string(path) {
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file_error("read", path, source)),
    }
}

/// Writes a sysctl; one that the kernel does not have is passed over.
fn write(path: &Path, value: &str) -> Result<(), SysctlError> {
    let written = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    match written {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(file_error("write", path, error))
        }
        _ => Ok(()),
    }
}

fn file_error(action: &'static str, path: &Path, source: io::Error) -> SysctlError {
    SysctlError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::super::netns::{in_new_netns, ip};
    use super::*;

    #[test]
    fn an_isolated_interface_forwards_nothing_and_has_no_ipv6() {
        in_new_netns(|| {
            ip("link add vmlan0 type veth peer name two");
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            let changed = isolate_host_interface("vmlan0").unwrap();
            assert_eq!(
                changed,
                [
                    "net.ipv4.conf.vmlan0.forwarding",
                    "net.ipv6.conf.vmlan0.disable_ipv6"
                ]
            );
            assert!(isolate_host_interface("vmlan0").unwrap().is_empty());
            let now = |name| ISOLATED.map(|setting| setting.read(name).unwrap().unwrap());
            assert_eq!(now("vmlan0"), ["0", "1"]);
            assert_eq!(now("two"), ["1", "0"], "the others are as they were");
        });
    }

    #[test]
    fn a_sysctl_that_the_kernel_does_not_have_is_passed_over() {
        in_new_netns(|| {
            // An MTU below 1280 takes IPv6 off a netdev.
            ip("link add vmlan0 type veth peer name two");
            ip("link set vmlan0 mtu 1000");
            let [forwarding, ipv6] = ISOLATED;
            assert_eq!(ipv6.read("vmlan0").unwrap(), None);
            isolate_host_interface("vmlan0").unwrap();
            assert_eq!(forwarding.read("vmlan0").unwrap().as_deref(), Some("0"));
            isolate_host_interface("gone").unwrap();
        });
    }

    #[test]
    fn what_somebody_else_changed_meanwhile_stays() {
        in_new_netns(|| {
            ip("link add one type veth peer name two");
            let setting = Setting {
                family: "ipv4",
                key: "arp_ignore",
                value: "8",
            };
            setting.apply("one").unwrap();
            setting.write("one", "2").unwrap();
            setting.restore("one", "0").unwrap();
            assert_eq!(setting.read("one").unwrap().as_deref(), Some("2"));
        });
    }

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        for name in ["", ".", "..", "all", "default", "../all", "a/b"] {
            assert!(matches!(
                isolate_host_interface(name),
                Err(SysctlError::BadName(_))
            ));
        }
    }
}
