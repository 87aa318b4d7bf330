//! From the name in a request to a path in the root folder, as dnsmasq does
//! it: boot ROMs and boot loaders of every age ask.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The path, relative to `root`, that a client means by `name`; `None` if it
/// is the root itself. It may still lead out of the root (`..`), which
/// [`super::root`] refuses.
///
/// - A backslash separates folders like a slash.
/// - With `lowercase`, capital letters (ASCII) become small ones.
/// - A name that starts with the path of the root is meant in the host's file
///   system; any other leading slash means the root.
#[must_use]
pub fn path(name: &[u8], root: &Path, lowercase: bool) -> Option<PathBuf> {
    let translated = name.iter().map(|byte| match byte {
        b'\\' => b'/',
        other if lowercase => other.to_ascii_lowercase(),
        other => *other,
    });
    let mut name: Vec<u8> = translated.collect();
    let root = root.as_os_str().as_bytes();
    let root = root.strip_suffix(b"/").unwrap_or(root);
    if let Some(rest) = name.strip_prefix(root)
        && rest.first() == Some(&b'/')
    {
        name.drain(..root.len());
    }
    let slashes = name.iter().take_while(|byte| **byte == b'/').count();
    name.drain(..slashes);
    (!name.is_empty()).then(|| OsString::from_vec(name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, lowercase: bool) -> Option<PathBuf> {
        path(name.as_bytes(), Path::new("/srv/tftp"), lowercase)
    }

    #[test]
    fn names_are_meant_in_the_root() {
        for (name, path) in [
            ("undionly.kpxe", "undionly.kpxe"),
            ("/undionly.kpxe", "undionly.kpxe"),
            ("//a/b", "a/b"),
            ("\\Boot\\BCD", "Boot/BCD"),
            ("boot\\x64\\wdsnbp.com", "boot/x64/wdsnbp.com"),
            ("/srv/tftp/a", "a"),
            ("/srv/tftp", "srv/tftp"),
            ("/srv/tftpd/a", "srv/tftpd/a"),
            ("srv/tftp/a", "srv/tftp/a"),
            ("../etc/passwd", "../etc/passwd"),
        ] {
            assert_eq!(of(name, false).as_deref(), Some(Path::new(path)), "{name}");
        }
    }

    #[test]
    fn the_root_itself_is_no_file() {
        for name in ["/", "\\", "///", "/srv/tftp/"] {
            assert_eq!(of(name, false), None, "{name}");
        }
    }

    #[test]
    fn capital_letters_become_small_ones_on_demand() {
        let path = of("\\Boot\\BCD", true);
        assert_eq!(path.as_deref(), Some(Path::new("boot/bcd")));
    }
}
