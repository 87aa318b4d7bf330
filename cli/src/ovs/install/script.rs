//! The script by which libvirt runs its hook of ours. libvirtd finds a first hook
//! of its kind when it starts. A file of that name that is somebody else's is
//! left alone.

use crate::config::Problem;
use crate::host::durable;
use crate::ovs::{NAME, hook};
use std::fs;
use std::path::Path;

/// libvirt's hook (libvirt.org/hooks.html, "/etc/libvirt/hooks/network").
pub const HOOK: &str = "/etc/libvirt/hooks/network.d/vmlan";

/// What a script of ours says of itself.
const SIGN: &str = "Put here by vmlan; `vmlan libvirt release` takes it away.";

/// A hook of ours is no longer than this, in bytes.
const MAX: usize = 4096;

/// Makes the hook [`HOOK`], which calls the link in `folder`, and says whether
/// it was not there before: then libvirtd has to start again to run it.
///
/// # Errors
/// Something else has its name, or it cannot be written.
pub fn install_hook(folder: &Path) -> Result<bool, Problem> {
    write(Path::new(HOOK), folder)
}

/// Takes the hook away again, if it is ours; says whether it was.
///
/// # Errors
/// It cannot be removed.
pub fn remove_hook() -> Result<bool, Problem> {
    remove(Path::new(HOOK))
}

/// Whether the hook `path` can be put in place.
///
/// # Errors
/// Something else has its name.
pub(super) fn check(path: &Path) -> Result<(), Problem> {
    // Not `exists`: a link to nowhere has the name, too.
    if fs::symlink_metadata(path).is_err() || is_ours(path) {
        return Ok(());
    }
    let path = path.display();
    Err(Problem::new(format!("{path} is not of vmlan"))
        .help("libvirt runs it for each network: give it another name there, if it is needed"))
}

/// Whether `path` is a file that says so, not a link to one.
fn is_ours(path: &Path) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    let text = durable::read(path, MAX).ok().flatten().unwrap_or_default();
    is_file && String::from_utf8_lossy(&text).contains(SIGN)
}

fn write(path: &Path, folder: &Path) -> Result<bool, Problem> {
    check(path)?;
    let text = hook_script(&folder.join(NAME));
    let failed = |error| Problem::new(format!("cannot write {}: {error}", path.display()));
    let there = durable::read(path, MAX).map_err(failed)?;
    if there.as_deref() == Some(text.as_bytes()) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    durable::write(path, text.as_bytes(), 0o755).map_err(failed)?;
    Ok(there.is_none())
}

fn remove(path: &Path) -> Result<bool, Problem> {
    if !is_ours(path) {
        return Ok(false);
    }
    fs::remove_file(path)
        .map(|()| true)
        .map_err(|error| Problem::new(format!("cannot remove {}: {error}", path.display())))
}

/// The script of the hook, which calls the program by `link`. AppArmor lets
/// libvirtd run no link from the folder of hooks.
#[must_use]
pub fn hook_script(link: &Path) -> String {
    format!(
        "#!/bin/sh\n\
         # Says why a domain cannot be plugged into a network of vmlan, before libvirt\n\
         # tries. {SIGN}\n\
         [ \"$2\" = port-created ] && [ -x {0} ] || exit 0\n\
         exec {0} {1} \"$@\"\n",
        link.display(),
        hook::WORD,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const FOLDER: &str = "/usr/local/sbin";

    #[test]
    fn the_hook_is_a_script_that_calls_the_name() {
        let host = tempfile::tempdir().unwrap();
        let path = host.path().join("hooks/network.d/vmlan");
        assert!(write(&path, Path::new(FOLDER)).unwrap());
        assert!(!write(&path, Path::new(FOLDER)).unwrap());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#!/bin/sh\n"), "{text}");
        let call = "exec /usr/local/sbin/ovs-vsctl libvirt-hook";
        assert!(text.contains(call), "{text}");
        // One of another version is replaced.
        fs::write(&path, text + "# more\n").unwrap();
        assert!(!write(&path, Path::new(FOLDER)).unwrap());
        assert!(!fs::read_to_string(&path).unwrap().contains("# more"));
        assert!(remove(&path).unwrap());
        assert!(!remove(&path).unwrap());
    }

    #[test]
    fn a_hook_of_somebody_else_is_neither_replaced_nor_removed() {
        let host = tempfile::tempdir().unwrap();
        let path = host.path().join("vmlan");
        let own = "#!/bin/sh\nlogger vmlan: \"$@\"\n";
        let long = "#".repeat(MAX + 1);
        for text in [own, "", long.as_str()] {
            fs::write(&path, text).unwrap();
            let problem = check(&path).unwrap_err();
            assert!(problem.message.contains("is not of vmlan"), "{problem}");
            write(&path, Path::new(FOLDER)).unwrap_err();
            assert!(!remove(&path).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        symlink("/nowhere", &path).unwrap();
        check(&path).unwrap_err();
    }
}
