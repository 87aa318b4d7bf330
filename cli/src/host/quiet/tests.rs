use super::super::link::Links;
use super::super::netns::{block_on_in_new_netns, ip};
use super::*;
use std::fs;

fn settings(interface: &str) -> [String; SETTINGS.len()] {
    SETTINGS.map(|setting| setting.read(interface).unwrap().unwrap())
}

const BEFORE: [&str; SETTINGS.len()] = ["0", "0", "0", "1"];
const QUIET: [&str; SETTINGS.len()] = ["1", "8", "1", "0"];

/// Gives netdevs made from now on the values [`BEFORE`], whatever those of
/// this machine are.
fn defaults() {
    let write = |path: &str, value| fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
    for key in ["arp_ignore", "rp_filter"] {
        write(&format!("ipv4/conf/default/{key}"), "0");
    }
    write("ipv4/ip_forward", "1");
}

async fn link(name: &str) -> Link {
    Links::new().unwrap().by_name(name).await.unwrap()
}

#[test]
fn a_taken_netdev_is_quiet_until_it_is_released() {
    block_on_in_new_netns(|| async {
        let run = tempfile::tempdir().unwrap();
        defaults();
        ip("link add eth7.5 type veth peer name two");
        ip("link add three type veth peer name four");
        let mut quiet = Quiet::open(run.path()).unwrap();
        for name in ["eth7.5", "three"] {
            assert!(quiet.take(&link(name).await, &[], None).unwrap().is_none());
            assert_eq!(settings(name), QUIET);
        }
        // The second time must not record the quiet values as those before.
        let eth = link("eth7.5").await;
        assert!(quiet.take(&eth, &[], None).unwrap().is_none());

        quiet.release(eth.index).unwrap();
        assert_eq!(settings("eth7.5"), BEFORE);
        assert_eq!(settings("three"), QUIET);
        ip("link set three name renamed");
        quiet.release_all().unwrap();
        assert_eq!(settings("renamed"), BEFORE);
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    });
}

#[test]
fn the_start_after_a_crash_puts_back_what_was_changed() {
    block_on_in_new_netns(|| async {
        let run = tempfile::tempdir().unwrap();
        defaults();
        for pair in [["one", "two"], ["gone", "five"], ["anew", "six"]] {
            ip(&format!(
                "link add {} type veth peer name {}",
                pair[0], pair[1]
            ));
        }
        let mut killed = Quiet::open(run.path()).unwrap();
        for name in ["one", "gone", "anew"] {
            killed.take(&link(name).await, &[], None).unwrap();
        }
        drop(killed);
        ip("link del gone");
        ip("link del anew");
        ip("link add anew type veth peer name six");
        for setting in SETTINGS {
            setting.apply("anew").unwrap();
        }

        let next = Quiet::open(run.path()).unwrap();
        assert_eq!(next.restored(), ["one"]);
        assert_eq!(settings("one"), BEFORE);
        assert_eq!(settings("anew"), QUIET, "it is another netdev");
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    });
}

#[test]
fn a_netdev_with_an_address_is_left_alone_and_warned_about() {
    block_on_in_new_netns(|| async {
        let run = tempfile::tempdir().unwrap();
        defaults();
        ip("link add one type veth peer name two");
        let one = link("one").await;
        let mut quiet = Quiet::open(run.path()).unwrap();
        let address = "10.0.0.1/8".parse().unwrap();
        let warning = quiet
            .take(&one, &[address], None)
            .unwrap()
            .unwrap()
            .to_string();
        assert!(
            warning.contains("both the host and the switch"),
            "{warning}"
        );
        assert!(
            warning.contains("ip address del 10.0.0.1/8 dev one"),
            "{warning}"
        );
        assert_eq!(settings("one"), BEFORE);
    });
}

#[test]
fn a_netdev_that_vanishes_while_it_is_taken_is_no_error() {
    block_on_in_new_netns(|| async {
        let run = tempfile::tempdir().unwrap();
        defaults();
        ip("link add one type veth peer name two");
        ip("link add three type veth peer name four");
        let (one, three) = (link("one").await, link("three").await);
        let mut quiet = Quiet::open(run.path()).unwrap();
        ip("link del three");
        assert!(quiet.take(&three, &[], None).unwrap().is_none());
        quiet.take(&one, &[], None).unwrap();
        ip("link del one");
        quiet.release_all().unwrap();
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    });
}

#[test]
fn forwarding_stays_off_and_comes_back_as_the_host_has_it_by_then() {
    block_on_in_new_netns(|| async {
        let run = tempfile::tempdir().unwrap();
        defaults();
        let host = |value| fs::write("/proc/sys/net/ipv4/ip_forward", value).unwrap();
        let now = || FORWARDING.read("one").unwrap().unwrap();
        host("0");
        ip("link add one type veth peer name two");
        let one = link("one").await;
        let mut quiet = Quiet::open(run.path()).unwrap();
        for (host_has, one_has) in [("1", "0"), ("0", "0")] {
            quiet.take(&one, &[], None).unwrap();
            host(host_has);
            quiet.keep_from_forwarding().unwrap();
            assert_eq!(now(), one_has);
            quiet.release(one.index).unwrap();
            assert_eq!(now(), host_has);
        }
    });
}

#[test]
fn what_stands_on_a_netdev_goes_on_to_receive() {
    block_on_in_new_netns(|| async {
        let run = tempfile::tempdir().unwrap();
        defaults();
        ip("link add one type veth peer name two");
        let one = link("one").await;
        let mut quiet = Quiet::open(run.path()).unwrap();
        let warning = quiet.take(&one, &[], Some("one.5".to_owned())).unwrap();
        assert!(matches!(warning, Some(HostListens::Upper { .. })));
        assert!(quiet.ingress.is_none());
        assert_eq!(settings("one"), QUIET);
        quiet.release(one.index).unwrap();
        assert_eq!(settings("one"), BEFORE);
    });
}

#[test]
fn a_record_that_makes_no_sense_does_not_stop_the_start() {
    let run = tempfile::tempdir().unwrap();
    fs::write(run.path().join("taken.toml"), "taken = 7").unwrap();
    assert!(Quiet::open(run.path()).unwrap().restored().is_empty());
}
