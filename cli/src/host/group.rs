//! The group whose members may use a network's sockets.

use rustix::fs::{AtFlags, CWD, Gid, chownat};
use rustix::process::geteuid;
use std::fs;
use std::io;
use std::path::Path;

/// The group, which the package makes. Where there is none, the sockets stay
/// root's.
pub(crate) const NAME: &str = "vmlan";

/// The groups of the system (group(5)). Others, as of a directory service,
/// are not looked for: a group of the system is never there.
const FILE: &str = "/etc/group";

/// Gives the socket at `path` to the group, if there is such a group and root
/// has made the socket.
///
/// # Errors
/// The kernel refuses: without CAP_CHOWN one has to be in the group oneself
/// (chown(2)).
pub(crate) fn give(path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let groups = fs::read_to_string(FILE).unwrap_or_default();
    match find(&groups, NAME) {
        None => Ok(()),
        // Not through a link that took the socket's place.
        Some(group) => Ok(chownat(
            CWD,
            path,
            None,
            Some(group),
            AtFlags::SYMLINK_NOFOLLOW,
        )?),
    }
}

/// The number of the group `name` in the text of group(5).
fn find(groups: &str, name: &str) -> Option<Gid> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let number = fields.nth(1)?.parse().ok()?;
        found.then(|| Gid::from_raw(number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nvmlan-test:x:7:\nvmlan:x:997:alice,bob\n";
        assert_eq!(find(groups, "vmlan"), Some(Gid::from_raw(997)));
        assert_eq!(find(groups, "root"), Some(Gid::ROOT));
        assert_eq!(find(groups, "vm"), None);
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let groups = "\nvmlan\nvmlan:x\nvmlan:x:many:\nvmlan:x:5:\n";
        assert_eq!(find(groups, "vmlan"), Some(Gid::from_raw(5)));
        assert_eq!(find("", "vmlan"), None);
    }
}
