//! The names of libvirt's domains, by their UUIDs.
//!
//! libvirtd is not asked: it may be asking us. It keeps a file for each domain,
//! `NAME.xml`, that runs or is defined.

use super::durable;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where the files of domains are: those that run, then those that are defined.
const FOLDERS: [&str; 4] = [
    "/run/libvirt/qemu",
    "/run/libvirt/lxc",
    "/etc/libvirt/qemu",
    "/etc/libvirt/lxc",
];

/// The largest of these files that is read, in bytes.
const LARGEST: usize = 4 << 20;

/// Finds the names of the domains `wanted`, given by their UUIDs; those that
/// have no file (yet) are missing.
pub(crate) fn names<'a>(wanted: &[&'a str]) -> BTreeMap<&'a str, String> {
    names_in(&FOLDERS.map(Path::new), wanted)
}

fn names_in<'a>(folders: &[&Path], wanted: &[&'a str]) -> BTreeMap<&'a str, String> {
    let mut names = BTreeMap::new();
    let mut wanted: Vec<(&str, String)> = wanted
        .iter()
        .map(|uuid| (*uuid, format!("<uuid>{uuid}</uuid>")))
        .collect();
    let files = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(Iterator::flatten)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xml"));
    for path in files {
        if wanted.is_empty() {
            break;
        }
        let (Ok(Some(text)), Some(name)) = (
            durable::read(&path, LARGEST),
            path.file_stem().and_then(|stem| stem.to_str()),
        ) else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        wanted.retain(|(uuid, element)| {
            let is_there = text.contains(element);
            if is_there {
                names.insert(*uuid, name.to_owned());
            }
            !is_there
        });
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_found_by_its_uuid_while_it_runs_or_is_defined() {
        let [run, etc] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let status = "<domstatus><domain type='kvm' id='1'>\n <name>one</name>\n \
                      <uuid>u-1</uuid></domain></domstatus>";
        fs::write(run.path().join("one.xml"), status).unwrap();
        fs::write(run.path().join("one.pid"), "<uuid>u-1</uuid>").unwrap();
        let defined = "<domain><name>two &amp; more</name><uuid>u-2</uuid></domain>";
        fs::write(etc.path().join("two & more.xml"), defined).unwrap();
        let missing = run.path().join("missing");
        let folders = [missing.as_path(), run.path(), etc.path()];
        let names = names_in(&folders, &["u-1", "u-2", "u-3"]);
        assert_eq!(names.get("u-1").map(String::as_str), Some("one"));
        assert_eq!(names.get("u-2").map(String::as_str), Some("two & more"));
        assert_eq!(names.len(), 2);
    }
}
