//! Who may: /etc/qemu/bridge.conf, the file of qemu's own helper, by the same
//! rules (qemu-bridge-helper.c, `parse_acl_file`).
//!
//! A line is `allow NAME`, `deny NAME`, with `all` for every name, or `include
//! FILE`; `#` starts a comment line. A name is allowed if a line allows it and
//! none denies it, wherever they stand. An included file that the caller cannot
//! read is passed over: that is how a file is for the members of its group.
//!
//! What qemu's helper takes for nothing is an error here, so that no mistyped
//! `deny` is lost: unknown words, several names in a line, an error in an
//! included file. So is a file that others than root may write.

use super::args::MAX_NAME;
use anyhow::{Context as _, bail, ensure};
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// `CONFIG_QEMU_BRIDGE_CONF` where qemu is installed by a distribution.
const ACL: &str = "/etc/qemu/bridge.conf";

/// The longest file in bytes.
const MAX_LEN: u64 = 64 << 10;

/// Files that are read at most, each time that one is included: two that
/// include each other end here.
const MAX_FILES: usize = 64;

/// Checks that the caller may use `bridge`.
///
/// # Errors
/// They may not, or the ACL cannot be used.
pub(crate) fn check(bridge: &str) -> anyhow::Result<()> {
    let rules = Rules::read(Path::new(ACL), &mut read_of_root)?;
    ensure!(
        rules.allow(bridge),
        "access to {bridge} is denied: {ACL} has to allow it (\"allow {bridge}\")"
    );
    Ok(())
}

/// What the files say, in no order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules(Vec<Rule>);

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// `None`: all.
    name: Option<String>,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Nothing,
    Rule(Rule),
    Include(PathBuf),
}

impl Rules {
    /// Reads `first` and what it includes, by `read`, which gives the text of a
    /// file.
    fn read(
        first: &Path,
        read: &mut impl FnMut(&Path) -> io::Result<String>,
    ) -> anyhow::Result<Self> {
        let mut rules = Self::default();
        let mut files = vec![first.to_owned()];
        let mut number = 0;
        while let Some(path) = files.pop() {
            number += 1;
            ensure!(
                number <= MAX_FILES,
                "{ACL} includes more than {MAX_FILES} files, or one that includes itself"
            );
            let text = match read(&path) {
                Ok(text) => text,
                Err(error) if number > 1 && is_withheld(&error) => continue,
                Err(error) => bail!("cannot use the ACL {}: {error}", path.display()),
            };
            for (line, at) in text.lines().zip(1_u32..) {
                let line = Line::parse(line).with_context(|| format!("{}:{at}", path.display()))?;
                match line {
                    Line::Nothing => {}
                    Line::Rule(rule) => rules.0.push(rule),
                    Line::Include(path) => files.push(path),
                }
            }
        }
        Ok(rules)
    }

    fn allow(&self, bridge: &str) -> bool {
        let says = |allow| {
            let about = |rule: &Rule| rule.name.as_deref().is_none_or(|name| name == bridge);
            self.0.iter().any(|rule| rule.allow == allow && about(rule))
        };
        says(true) && !says(false)
    }
}

impl Line {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split_ascii_whitespace();
        let Some(word) = words.next().filter(|word| !word.starts_with('#')) else {
            return Ok(Self::Nothing);
        };
        let (Some(argument), None) = (words.next(), words.next()) else {
            bail!("a line has to be `allow NAME`, `deny NAME` or `include FILE`");
        };
        let allow = match word {
            "allow" => true,
            "deny" => false,
            "include" => {
                // Another one would be looked for where the caller stands.
                let path = PathBuf::from(argument);
                ensure!(path.is_absolute(), "`include` wants a path from / on");
                return Ok(Self::Include(path));
            }
            _ => bail!("there is no `{word}`: it has to be allow, deny or include"),
        };
        ensure!(
            argument.len() <= MAX_NAME,
            "the name {argument} is too long"
        );
        Ok(Self::Rule(Rule {
            allow,
            name: (argument != "all").then(|| argument.to_owned()),
        }))
    }
}

/// Whether a file is not for the caller, or not there.
fn is_withheld(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied].contains(&error.kind())
}

/// The text of a file that root alone can have written.
fn read_of_root(path: &Path) -> io::Result<String> {
    read_of(0, path)
}

fn read_of(owner: u32, path: &Path) -> io::Result<String> {
    // A FIFO would wait for somebody.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let found = file.metadata()?;
    let refused = |why: &str| Err(io::Error::other(why.to_owned()));
    if !found.is_file() {
        return refused("it is not a regular file");
    }
    if found.uid() != owner || found.mode() & 0o022 != 0 {
        return refused("others than root may write it (chown root, chmod go-w)");
    }
    let mut text = String::new();
    file.take(MAX_LEN + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_LEN {
        return refused("it is longer than 64 KiB");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn rules(files: &[(&str, &str)]) -> anyhow::Result<Rules> {
        let files: BTreeMap<_, _> = files.iter().copied().collect();
        let mut read = |path: &Path| match files.get(path.to_str().unwrap()) {
            Some(&"withheld") => Err(io::ErrorKind::PermissionDenied.into()),
            Some(text) => Ok((*text).to_owned()),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        Rules::read(Path::new("/acl"), &mut read)
    }

    fn allows(text: &str, bridge: &str) -> bool {
        rules(&[("/acl", text)]).unwrap().allow(bridge)
    }

    #[test]
    fn what_is_allowed_and_not_denied_is_allowed() {
        assert!(!allows("", "vmlan0"));
        assert!(allows("allow vmlan0", "vmlan0"));
        assert!(!allows("allow vmlan0", "vmlan1"));
        assert!(allows("allow all", "vmlan0"));
        assert!(!allows("deny all\nallow vmlan0", "vmlan0"));
        assert!(!allows("allow all\ndeny vmlan0", "vmlan0"));
        assert!(!allows("deny vmlan0\nallow all", "vmlan0"));
        assert!(allows("allow all\ndeny vmlan0", "vmlan1"));
        assert!(allows("# deny all\n\n  allow\t vmlan0  \r\n", "vmlan0"));
    }

    #[test]
    fn files_are_included_and_those_of_other_groups_passed_over() {
        let acl = "include /alice\ninclude /bob\ninclude /gone";
        let files = [
            ("/acl", acl),
            ("/alice", "allow vmlan0\ninclude /more"),
            ("/bob", "withheld"),
            ("/more", "deny vmlan1"),
        ];
        let rules = rules(&files).unwrap();
        assert!(rules.allow("vmlan0") && !rules.allow("vmlan1"));
    }

    #[test]
    fn what_makes_no_sense_denies_all() {
        for acl in [
            "alow vmlan0",
            "allow",
            "deny vmlan0 vmlan1",
            "allow 0123456789abcdef",
            "include bob",
            "include /acl",
            "include /typo",
        ] {
            let files = [("/acl", acl), ("/typo", "dney all")];
            assert!(rules(&files).is_err(), "{acl}");
        }
        assert!(rules(&[]).is_err(), "no file");
        assert!(rules(&[("/acl", "withheld")]).is_err());
    }

    #[test]
    fn only_a_file_that_nobody_else_writes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acl");
        fs::write(&path, "allow all").unwrap();
        let own = fs::metadata(&path).unwrap().uid();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        assert_eq!(read_of(own, &path).unwrap(), "allow all");
        assert!(read_of(own + 1, &path).is_err());
        for bad in [0o660, 0o602] {
            mode(bad);
            assert!(read_of(own, &path).is_err(), "{bad:o}");
        }
        mode(0o644);
        fs::write(&path, "#".repeat(100_000)).unwrap();
        assert!(
            read_of(own, &path)
                .unwrap_err()
                .to_string()
                .contains("64 KiB")
        );
        assert!(read_of(own, folder.path()).is_err());
        assert!(read_of(own, Path::new("/dev/null")).is_err());
    }

    proptest! {
        #[test]
        fn a_denied_name_is_never_allowed(
            lines in prop::collection::vec("(allow|deny) (vmlan[01]|all)", 0..8),
            at in 0_usize..9,
        ) {
            let mut lines = lines;
            lines.insert(at.min(lines.len()), "deny vmlan0".to_owned());
            prop_assert!(!allows(&lines.join("\n"), "vmlan0"));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}(\n\\PC{0,40}){0,3}") {
            let _ = rules(&[("/acl", &text)]);
        }
    }
}
