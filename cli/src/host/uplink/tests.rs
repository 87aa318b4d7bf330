use super::super::netns::{block_on_in_new_netns, ip};
use super::*;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// What `ip ARGUMENTS` prints.
fn shown(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// Waits until duplicate address detection is done.
fn settle() {
    let deadline = Instant::now() + Duration::from_secs(10);
    while shown("addr show tentative").contains("inet6") {
        assert!(
            Instant::now() < deadline,
            "{}",
            shown("addr show tentative")
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All that `ip` tells of the addresses of `nic` and of all routes.
fn picture() -> [String; 3] {
    settle();
    [
        shown("-j -d addr show dev nic"),
        shown("-j -d route show table all"),
        shown("-6 -j -d route show table all"),
    ]
}

/// A NIC with what a host may have on it, and the host interface, both up.
async fn host() -> (Links, Link, Link, tempfile::TempDir) {
    ip("link add nic type veth peer name cable");
    ip("link add vmlan0 type veth peer name switch");
    for netdev in ["lo", "nic", "cable", "vmlan0", "switch"] {
        ip(&format!("link set {netdev} up"));
    }
    let links = Links::new().unwrap();
    let nic = links.by_name("nic").await.unwrap();
    let interface = links.by_name("vmlan0").await.unwrap();
    (links, nic, interface, tempfile::tempdir().unwrap())
}

fn furnish() {
    for address in [
        "10.1.0.7/16 brd + dev nic",
        "10.1.0.8/16 brd + dev nic label nic:1",
        "10.2.0.7/24 dev nic metric 50 scope link",
        "10.3.0.7/24 dev nic noprefixroute",
        "10.4.0.1 peer 10.4.0.2/32 dev nic",
        "2001:db8:1::7/64 dev nic",
        "2001:db8:3::8/64 dev nic metric 60",
        "2001:db8:2::7/128 dev nic nodad preferred_lft 0",
        "fe80::77/64 dev nic",
    ] {
        ip(&format!("addr add {address}"));
    }
    for route in [
        "default via 10.1.0.1 dev nic",
        "default via 10.1.0.2 dev nic metric 100 src 10.1.0.8 proto static",
        "172.16.0.0/12 via 10.1.0.3 dev nic mtu lock 1400 advmss 1300 table 100",
        "172.17.0.0/16 dev nic scope link src 10.1.0.8 tos 0x10",
        "192.0.2.0/24 via 198.51.100.1 dev nic onlink",
        "203.0.113.0/24 nexthop via 10.1.0.4 dev nic weight 3 nexthop via 10.1.0.5 dev nic",
    ] {
        ip(&format!("route add {route}"));
    }
    // A route from an address that is not settled is refused.
    settle();
    for route in [
        "default via fe80::1 dev nic metric 1024 pref high",
        "2001:db8:9::/48 via 2001:db8:1::1 dev nic src 2001:db8:3::8",
        "2001:db8:a::/48 via fe80::2 dev nic table 100 expires 5000",
        "2001:db8:b::/48 nexthop via fe80::3 dev nic nexthop via fe80::4 dev nic weight 5",
    ] {
        ip(&format!("-6 route add {route}"));
    }
}

/// Without what runs down by itself, and the state of links, which follows that
/// of others a moment later.
fn steady(picture: [String; 3]) -> [String; 3] {
    picture.map(|text| {
        let text = text.replace("\"linkdown\"", "");
        let mut parts = text.split("\"expires\":");
        let head = parts.next().unwrap_or_default().to_owned();
        parts.fold(head, |text, part| {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            text + "\"expires\":" + rest
        })
    })
}

#[test]
fn addresses_and_routes_move_and_come_back_as_they_were() {
    block_on_in_new_netns(|| async {
        let (links, nic, interface, run) = host().await;
        furnish();
        let before = steady(picture());
        let moved = Moved::begin(run.path(), &links, &nic, &interface).await;
        let moved = moved.unwrap().unwrap();

        let left = shown("-br addr show dev nic");
        assert!(!left.contains("10.") && !left.contains("2001"), "{left}");
        let there = shown("addr show dev vmlan0");
        for address in [
            "10.1.0.7/16",
            "2001:db8:1::7/64",
            "vmlan0:1",
            "noprefixroute",
        ] {
            assert!(there.contains(address), "{address} in {there}");
        }
        assert!(!there.contains("fe80::77"), "{there}");
        assert!(!there.contains("tentative"), "{there}");
        assert_eq!(there.matches("nodad").count(), 1, "{there}");
        let routes = shown("route show table all") + &shown("-6 route show table all");
        for line in routes.lines().filter(|line| line.contains("dev nic")) {
            assert!(line.contains("fe80::") || line.contains("ff00::"), "{line}");
        }
        assert!(
            routes.contains("default via 10.1.0.1 dev vmlan0"),
            "{routes}"
        );

        moved.end(&links, Some(&interface)).await.unwrap();
        let there = shown("-br addr show dev vmlan0");
        assert!(!there.contains("10.") && !there.contains("2001"), "{there}");
        assert_eq!(steady(picture()), before);
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    });
}

#[test]
fn after_a_crash_at_any_point_all_is_put_back() {
    for steps in 0..4 {
        block_on_in_new_netns(|| async move {
            let (links, nic, interface, run) = host().await;
            furnish();
            ip("link del vmlan0");
            let before = steady(picture());
            ip("link add vmlan0 type veth peer name switch");
            ip("link set switch up");
            ip("link set vmlan0 up");
            let interface = Link {
                index: links.by_name("vmlan0").await.unwrap().index,
                ..interface
            };

            let moved = Moved {
                run: run.path().to_owned(),
                record: Record {
                    uplink: nic.name.clone(),
                    index: nic.index,
                    interface: interface.name.clone(),
                    at: record::since_boot(),
                    holdings: links.holdings_of(&nic).await.unwrap(),
                },
                announcing: None,
            };
            let global = moved.record.holdings.global();
            moved.record.write(run.path()).unwrap();
            let (from, to) = (moved.receiver(&nic), moved.receiver(&interface));
            if steps > 0 {
                links.place(&global, &to).await.unwrap();
            }
            if steps > 1 {
                links.withdraw(&global, &from).await.unwrap();
            }
            if steps > 2 {
                // While it was put back.
                links.place(&global, &from).await.unwrap();
            }
            ip("link del vmlan0");
            let restored = restore(run.path(), &links).await.unwrap();
            assert_eq!(restored.unwrap().to, "nic");
            assert_eq!(steady(picture()), before, "after {steps} steps");
            assert!(restore(run.path(), &links).await.unwrap().is_none());
        });
    }
}

#[test]
fn a_move_that_fails_leaves_all_as_it_was() {
    block_on_in_new_netns(|| async {
        let (links, nic, interface, run) = host().await;
        furnish();
        // A route by a netdev that is down is refused.
        ip("link set vmlan0 down");
        let before = steady(picture());
        let error = Moved::begin(run.path(), &links, &nic, &interface).await;
        assert!(error.unwrap_err().to_string().contains("one of vmlan0"));
        assert_eq!(steady(picture()), before);
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    });
}

#[test]
fn a_record_of_another_boot_or_that_makes_no_sense_is_not_used() {
    block_on_in_new_netns(|| async {
        let (links, nic, interface, run) = host().await;
        ip("addr add 10.1.0.7/16 dev nic");
        let moved = Moved::begin(run.path(), &links, &nic, &interface).await;
        moved.unwrap().unwrap();
        let path = record::path(run.path());
        let good = fs::read_to_string(&path).unwrap();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        for bad in [
            good.replace(boot_id.trim(), "another"),
            good.replace("netns = ", "netns = 1"),
            good.replace("message = \"", "message = \"0"),
            good.replace("message = \"", "message = \"zz"),
            good.replace("uplink", "downlink"),
            "x".to_owned(),
        ] {
            fs::write(&path, bad).unwrap();
            assert_eq!(left(run.path()), None);
            assert!(restore(run.path(), &links).await.unwrap().is_none());
            assert!(!path.exists(), "it is put aside");
        }
        assert!(!shown("addr show dev nic").contains("10.1.0.7"));
        fs::write(&path, good).unwrap();
        let (nic, addresses) = left(run.path()).unwrap();
        assert_eq!(nic, "nic");
        assert!(addresses.contains(&"10.1.0.7/16".to_owned()));
        assert!(restore(run.path(), &links).await.unwrap().is_some());
        assert_eq!(left(run.path()), None);
        assert!(shown("addr show dev nic").contains("10.1.0.7"));
    });
}

#[test]
fn what_cannot_be_moved_is_said_before_anything_changes() {
    block_on_in_new_netns(|| async {
        let (links, nic, interface, run) = host().await;
        let moved = Moved::begin(run.path(), &links, &nic, &interface).await;
        assert!(moved.unwrap().is_none(), "nothing but a link-local address");
        ip("addr add 10.1.0.7/16 dev nic");
        ip("nexthop add id 7 via 10.1.0.1 dev nic");
        ip("route add default nhid 7");
        let before = picture();
        let error = Moved::begin(run.path(), &links, &nic, &interface).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("default"), "{error}");
        assert_eq!(picture(), before);
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    });
}

#[test]
fn lifetimes_run_down_meanwhile() {
    block_on_in_new_netns(|| async {
        let (links, nic, interface, run) = host().await;
        ip("addr add 10.1.0.7/16 dev nic valid_lft 1000 preferred_lft 900");
        ip("addr add 10.2.0.7/16 dev nic valid_lft 100 preferred_lft 90");
        let moved = Moved::begin(run.path(), &links, &nic, &interface).await;
        let mut moved = moved.unwrap().unwrap();
        assert_eq!(moved.dynamic(), ["10.1.0.7/16", "10.2.0.7/16"]);
        moved.record.at = moved.record.at.saturating_sub(Duration::from_secs(200));
        moved.end(&links, Some(&interface)).await.unwrap();
        let there = shown("addr show dev nic");
        assert!(!there.contains("10.2.0.7"), "{there}");
        let seconds = there.split("valid_lft ").nth(1).unwrap();
        let seconds: u32 = seconds.split("sec").next().unwrap().parse().unwrap();
        assert!((750..=800).contains(&seconds), "{there}");
    });
}
