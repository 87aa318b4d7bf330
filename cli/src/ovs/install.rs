//! Puts the name `ovs-vsctl` in place, and takes it away.
//!
//! libvirtd looks for it in its `PATH`. systemd gives services
//! `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin` (systemd.exec(5)), so a
//! link in `/usr/local/sbin` ([`FOLDER`]) is found before the real one of a
//! package in `/usr/bin`, which stays as it is. Where the real Open vSwitch is
//! in use, its name is left alone: libvirt has one name for both.
//!
//! [`script`] puts libvirt's hook beside it, a script that calls that name.

mod script;

pub use script::{HOOK, hook_script, install_hook, remove_hook};

use super::NAME;
use crate::config::Problem;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the name is found first.
pub const FOLDER: &str = "/usr/local/sbin";

/// Open vSwitch's database is configured: the network of a host may depend on
/// it whether or not it runs just now.
const DATABASE: &str = "/etc/openvswitch/conf.db";

/// It runs: the socket of its database server.
const SOCKETS: [&str; 2] = [
    "/run/openvswitch/db.sock",
    "/usr/local/var/run/openvswitch/db.sock",
];

/// What AppArmor confines libvirtd by, and what it lets it run on Debian and
/// Ubuntu.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";
const RUNNABLE: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
const LOCAL_RULES: &str = "/etc/apparmor.d/local/usr.sbin.libvirtd";

/// Makes `folder/ovs-vsctl` a link to this program, and says where it is. One
/// that is there already is fine.
///
/// # Errors
/// The real Open vSwitch is in use, something else has the name in `folder`,
/// libvirtd may not run this program, or the link cannot be made.
pub fn install(folder: &Path) -> Result<PathBuf, Problem> {
    install_under(Path::new("/"), folder, &program()?)
}

/// Whether [`install`] and [`install_hook`] can be done; nothing changes.
///
/// # Errors
/// As there, but for the files themselves.
pub fn check(folder: &Path) -> Result<(), Problem> {
    check_under(Path::new("/"), folder, &program()?)?;
    script::check(Path::new(HOOK))
}

fn program() -> Result<PathBuf, Problem> {
    env::current_exe().map_err(|error| Problem::new(format!("cannot tell where vmlan is: {error}")))
}

/// Takes the link away again, if it is one to a vmlan; says whether it was.
///
/// # Errors
/// It cannot be removed.
pub fn remove(folder: &Path) -> Result<bool, Problem> {
    remove_of(folder, &program()?)
}

fn remove_of(folder: &Path, program: &Path) -> Result<bool, Problem> {
    let link = folder.join(NAME);
    if !is_ours(&link, program) {
        return Ok(false);
    }
    fs::remove_file(&link)
        .map(|()| true)
        .map_err(|error| Problem::new(format!("cannot remove {}: {error}", link.display())))
}

/// Where the real Open vSwitch is in use on this host, if it is.
fn in_use(root: &Path) -> Option<String> {
    let under = |path: &str| root.join(path.trim_start_matches('/'));
    if let Some(socket) = SOCKETS.iter().find(|path| under(path).exists()) {
        return Some(format!("its database server listens on {socket}"));
    }
    has_bridge(&under(DATABASE)).then(|| format!("{DATABASE} has bridges"))
}

/// Whether the database at `path` has ever had a bridge made: its journal is
/// lines of JSON (ovsdb(5)).
fn has_bridge(path: &Path) -> bool {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().filter_map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).ok()?;
        // A row of null was deleted.
        let rows = record.get("Bridge")?.as_object()?;
        let rows: Vec<(String, bool)> = rows
            .iter()
            .map(|(uuid, row)| (uuid.clone(), !row.is_null()))
            .collect();
        Some(rows)
    });
    let mut bridges = std::collections::BTreeMap::new();
    for rows in lines.by_ref() {
        bridges.extend(rows);
    }
    bridges.values().any(|there| *there)
}

fn install_under(root: &Path, folder: &Path, program: &Path) -> Result<PathBuf, Problem> {
    check_under(root, folder, program)?;
    let link = folder.join(NAME);
    if is_ours(&link, program) {
        if fs::read_link(&link).is_ok_and(|target| target == program) {
            return Ok(link);
        }
        remove_of(folder, program)?;
    }
    symlink(program, &link).map_err(|error| {
        let failed = Problem::new(format!("cannot make {}: {error}", link.display()));
        match error.kind() {
            io::ErrorKind::PermissionDenied => failed.help("run this as root"),
            _ => failed,
        }
    })?;
    Ok(link)
}

fn check_under(root: &Path, folder: &Path, program: &Path) -> Result<(), Problem> {
    if let Some(how) = in_use(root) {
        return Err(Problem::new(format!(
            "Open vSwitch is in use on this host ({how}), and libvirt has one name, {NAME}, \
             for both"
        ))
        .help("keep this network on Open vSwitch, or take that out of use first"));
    }
    check_confinement(root, program)?;
    let link = folder.join(NAME);
    // Not `exists`: a link to nowhere has the name, too.
    if fs::symlink_metadata(&link).is_ok() && !is_ours(&link, program) {
        let link = link.display();
        return Err(
            Problem::new(format!("{link} is not of vmlan")).help(format!(
                "libvirt would call it for each guest: if nothing needs it, remove it: `rm {link}`"
            )),
        );
    }
    Ok(())
}

/// Whether `link` is a link to `program`, which is this one, or to a vmlan that
/// was here before: one called so, or `vmlan-0.2`.
fn is_ours(link: &Path, program: &Path) -> bool {
    let Ok(target) = fs::read_link(link) else {
        return false;
    };
    let same = || Some(fs::canonicalize(link).ok()? == fs::canonicalize(program).ok()?);
    let name = target.file_name().and_then(OsStr::to_str);
    let called = name.and_then(|name| name.strip_prefix("vmlan"));
    called.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', '.']))
        || target == program
        || same() == Some(true)
}

/// AppArmor's profile of libvirtd lets it run programs of some folders only,
/// whatever link leads to them.
fn check_confinement(root: &Path, program: &Path) -> Result<(), Problem> {
    let read = |path: &str| {
        let bytes = fs::read(root.join(path.trim_start_matches('/'))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let confined = read(PROFILES).lines().any(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        ["libvirtd", "/usr/sbin/libvirtd", "virtqemud"].contains(&name)
            && line.ends_with("(enforce)")
    });
    let runnable = program
        .parent()
        .is_some_and(|folder| RUNNABLE.iter().any(|it| folder == Path::new(it)));
    let allowed = read(LOCAL_RULES).contains(&program.display().to_string());
    if !confined || runnable || allowed {
        return Ok(());
    }
    let program = program.display();
    Err(Problem::new(format!(
        "AppArmor does not let libvirtd run {program}"
    ))
    .help(format!(
        "install vmlan as /usr/bin/vmlan, or add the line `{program} PUx,` to {LOCAL_RULES} and \
         load it: `apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with a folder for programs and vmlan in `/usr/bin`.
    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            let host = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(host.folder()).unwrap();
            host
        }

        fn folder(&self) -> PathBuf {
            self.0.path().join("usr/local/sbin")
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn install(&self, program: &str) -> Result<PathBuf, Problem> {
            install_under(self.0.path(), &self.folder(), Path::new(program))
        }

        fn remove(&self, program: &str) -> bool {
            remove_of(&self.folder(), Path::new(program)).unwrap()
        }
    }

    #[test]
    fn the_name_is_put_in_place_once_and_taken_away() {
        let host = Host::new();
        let link = host.install("/usr/bin/vmlan").unwrap();
        assert_eq!(link, host.folder().join("ovs-vsctl"));
        assert_eq!(host.install("/usr/bin/vmlan").unwrap(), link);
        host.install("/opt/vmlan").unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/opt/vmlan"));
        assert!(host.remove("/opt/vmlan"));
        assert!(!host.remove("/opt/vmlan"));
    }

    #[test]
    fn a_vmlan_by_another_name_is_known_again() {
        let host = Host::new();
        host.install("/opt/switch").unwrap();
        host.install("/opt/switch").unwrap();
        assert!(host.remove("/opt/switch"));
        // One of before, gone meanwhile.
        host.install("/opt/vmlan-0.1").unwrap();
        host.install("/usr/bin/vmlan").unwrap();
        assert!(host.remove("/usr/bin/vmlan"));
        host.install("/opt/vmlandia").unwrap();
        assert!(host.install("/usr/bin/vmlan").is_err());
        assert!(!host.remove("/usr/bin/vmlan"));
    }

    #[test]
    fn another_program_of_that_name_is_left_alone() {
        let host = Host::new();
        host.write("usr/local/sbin/ovs-vsctl", "#!/bin/sh\n");
        let problem = host.install("/usr/bin/vmlan").unwrap_err();
        assert!(problem.message.contains("ovs-vsctl is not of vmlan"));
        assert!(problem.help.unwrap().contains("remove it"));
        assert!(!host.remove("/usr/bin/vmlan"));
    }

    #[test]
    fn a_real_open_vswitch_in_use_is_not_hidden() {
        let host = Host::new();
        // As the package leaves it: a schema, no bridge.
        let empty = "OVSDB JSON 100 0\n{\"name\":\"Open_vSwitch\"}\nOVSDB JSON 50 0\n\
                     {\"Open_vSwitch\":{\"a\":{\"ovs_version\":\"3.1\"}}}\n";
        host.write("etc/openvswitch/conf.db", empty);
        host.install("/usr/bin/vmlan").unwrap();
        let made =
            format!("{empty}OVSDB JSON 40 0\n{{\"Bridge\":{{\"b\":{{\"name\":\"br0\"}}}}}}\n");
        host.write("etc/openvswitch/conf.db", &made);
        let problem = host.install("/usr/bin/vmlan").unwrap_err();
        assert!(
            problem.message.contains("conf.db has bridges"),
            "{problem:?}"
        );
        let deleted = format!("{made}OVSDB JSON 20 0\n{{\"Bridge\":{{\"b\":null}}}}\n");
        host.write("etc/openvswitch/conf.db", &deleted);
        host.install("/usr/bin/vmlan").unwrap();
        host.write("run/openvswitch/db.sock", "");
        let problem = host.install("/usr/bin/vmlan").unwrap_err();
        assert!(problem.message.contains("db.sock"), "{problem:?}");
    }

    #[test]
    fn a_program_that_apparmor_keeps_from_libvirtd_is_refused_with_the_mend() {
        let host = Host::new();
        let profiles = "sys/kernel/security/apparmor/profiles";
        host.write(profiles, "libvirtd (complain)\n");
        host.install("/usr/local/bin/vmlan").unwrap();
        host.write(profiles, "libvirtd (enforce)\nman_groff (enforce)\n");
        let problem = host.install("/usr/local/bin/vmlan").unwrap_err();
        assert!(problem.help.unwrap().contains("/usr/local/bin/vmlan PUx,"));
        host.install("/usr/bin/vmlan").unwrap();
        let rules = "etc/apparmor.d/local/usr.sbin.libvirtd";
        host.write(rules, "/usr/local/bin/vmlan PUx,\n");
        host.install("/usr/local/bin/vmlan").unwrap();
    }
}
