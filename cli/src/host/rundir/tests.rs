use super::super::netns::in_new_netns;
use super::*;
use crate::host::statedir::StateDir;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_network_is_served_once_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut first = RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap();
    let _socket = first.listen("vm.sock").unwrap();
    let error = RunDir::claim(root.path(), "default", None).unwrap_err();
    assert!(
        error.to_string().starts_with(&format!(
            "network \"default\" is already served by process {}",
            std::process::id()
        )),
        "{error}"
    );
    assert_eq!(names(first.path()), ["lock", "vm.sock"]);
    first.release().unwrap();
    assert_eq!(names(root.path()), Vec::<String>::new());
    RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap();
    assert_eq!(names(root.path()), Vec::<String>::new());
}

#[test]
fn an_interface_belongs_to_one_network() {
    let root = tempfile::tempdir().unwrap();
    let mut other = RunDir::claim(root.path(), "other", Some("vmlan0")).unwrap();
    let error = RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "interface vmlan0 belongs to network \"other\" (process {}): give this one \
             another `interface`",
            std::process::id()
        )
    );
    assert_eq!(names(root.path()), ["other"]);
    let _third = RunDir::claim(root.path(), "third", Some("vmlan1")).unwrap();
    let _none = RunDir::claim(root.path(), "none", None).unwrap();
    other.release().unwrap();
    RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap();
}

#[test]
fn in_another_namespace_the_same_name_is_another_interface() {
    let root = tempfile::tempdir().unwrap();
    let mut here = RunDir::claim(root.path(), "here", Some("vmlan0")).unwrap();
    in_new_netns(|| {
        let mut there = RunDir::claim(root.path(), "there", Some("vmlan0")).unwrap();
        let third = RunDir::claim(root.path(), "third", Some("vmlan0")).unwrap_err();
        assert!(third.to_string().contains("\"there\""), "{third}");
        there.release().unwrap();
    });
    here.release().unwrap();
}

/// Another process that holds `lock` until it is killed.
fn holder(lock: &Path) -> std::process::Child {
    let mut child = Command::new("flock")
        .args(["--exclusive", "--no-fork"])
        .arg(lock)
        .args(["sh", "-c", "echo held; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test needs `flock` (package util-linux)");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "held\n");
    child
}

#[test]
fn what_a_killed_process_left_is_removed_and_no_more() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("default");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("lock"), "pid = 4711\ninterface = \"vmlan0\"\n").unwrap();
    for file in ["control.sock", "vm.sock", "fast0.sock"] {
        socket::listen(&path.join(file)).unwrap();
    }
    fs::write(path.join("taken.toml"), "").unwrap();

    let mut process = holder(&path.join("lock"));
    let error = RunDir::claim(root.path(), "default", None).unwrap_err();
    let other = RunDir::claim(root.path(), "other", Some("vmlan0")).unwrap_err();
    let meanwhile = names(&path);
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(error.to_string().contains("by process 4711"), "{error}");
    assert!(
        other.to_string().contains("\"default\" (process 4711)"),
        "{other}"
    );
    assert_eq!(meanwhile.len(), 5, "a live network is left alone");

    let other = RunDir::claim(root.path(), "other", Some("vmlan0")).unwrap();
    drop(other);
    let mut next = RunDir::claim(root.path(), "default", Some("vmlan0")).unwrap();
    let removed = ["control.sock", "fast0.sock", "vm.sock"].map(|file| path.join(file));
    assert_eq!(next.leftovers(), removed);
    assert_eq!(names(&path), ["lock", "taken.toml"]);
    next.release().unwrap();
    assert_eq!(names(&path), ["taken.toml"], "it is not ours to remove");
}

#[test]
fn a_lock_file_that_makes_no_sense_still_locks() {
    let root = tempfile::tempdir().unwrap();
    let held = RunDir::claim(root.path(), "default", None).unwrap();
    for text in ["", "\u{0}\u{0}", "pid = \"x\"", "interface = 7"] {
        fs::write(held.path().join("lock"), text).unwrap();
        let error = RunDir::claim(root.path(), "default", None).unwrap_err();
        assert!(error.to_string().contains("by another process"), "{error}");
    }
}

#[test]
fn of_many_that_start_and_stop_at_once_one_at_a_time_has_the_interface() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let root = tempfile::tempdir().unwrap();
    let (holders, claims) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (root, holders, claims) = (root.path(), &holders, &claims);
            scope.spawn(move || {
                // Two names, four threads each, one interface.
                let network = format!("net{}", thread % 2);
                for _ in 0..200 {
                    match RunDir::claim(root, &network, Some("vmlan0")) {
                        Ok(mut claimed) => {
                            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                            claims.fetch_add(1, Ordering::SeqCst);
                            holders.fetch_sub(1, Ordering::SeqCst);
                            claimed.release().unwrap();
                        }
                        Err(
                            RunDirError::AlreadyServed { .. } | RunDirError::InterfaceTaken { .. },
                        ) => {}
                        Err(error) => panic!("{error}: {error:?}"),
                    }
                }
            });
        }
    });
    assert!(claims.into_inner() > 0);
    assert_eq!(names(root.path()), Vec::<String>::new());
}

#[test]
fn a_folder_removed_by_somebody_else_and_claimed_anew_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let mut first = RunDir::claim(root.path(), "default", None).unwrap();
    fs::remove_dir_all(first.path()).unwrap();
    let mut second = RunDir::claim(root.path(), "default", None).unwrap();
    first.release().unwrap();
    assert_eq!(names(second.path()), ["lock"]);
    fs::remove_dir_all(root.path()).unwrap();
    second.release().unwrap();
}

#[test]
fn a_root_that_cannot_be_made_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for error in [
        RunDir::claim(&file.join("run"), "default", None).unwrap_err(),
        StateDir::claim(&file, "default").unwrap_err(),
    ] {
        assert!(
            error.to_string().contains(file.to_str().unwrap()),
            "{error}"
        );
    }
    let state = StateDir::claim(root.path(), "default").unwrap();
    assert!(state.path().is_dir());
}

#[test]
fn a_sockets_file_is_removed_once_and_then_fine() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::claim(root.path(), "default", None).unwrap();
    let _socket = run.listen("fast0.sock").unwrap();
    run.remove("fast0.sock").unwrap();
    run.remove("fast0.sock").unwrap();
    let _again = run.listen("fast0.sock").unwrap();
}

#[test]
fn a_netdev_that_another_network_has_taken_is_known_by_its_number() {
    let root = tempfile::tempdir().unwrap();
    let first = RunDir::claim(root.path(), "one", None).unwrap();
    let record = "[[taken]]\ninterface = \"vnet0\"\nindex = 7\n[taken.before]\n";
    fs::write(first.path().join("taken.toml"), record).unwrap();
    let second = RunDir::claim(root.path(), "two", None).unwrap();
    assert_eq!(second.taken_by_another(7).unwrap().as_deref(), Some("one"));
    assert_eq!(second.taken_by_another(8).unwrap(), None);
    assert_eq!(first.taken_by_another(7).unwrap(), None, "its own");
    drop(first);
    assert_eq!(second.taken_by_another(7).unwrap(), None, "not served");
}
