//! Runs of real programs.

use super::super::book::Holder;
use super::super::client::ClientData;
use super::*;
use pnet_base::MacAddr;
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

const NOW: u64 = 1_700_000_000;

fn call(action: Action) -> LeaseCall {
    LeaseCall {
        action,
        address: Ipv4Addr::new(192, 168, 122, 9),
        holder: Holder {
            mac: MacAddr(0x52, 0x54, 0, 0, 0, 0xa),
            hostname: Some("web".into()),
            client_id: Some([1, 0x52].into()),
            expiry: NOW - 1000 + 60,
        },
        old_hostname: None,
        data: None,
    }
}

/// What a call is told, in the form of a shell.
fn told(call: LeaseCall) -> (String, String) {
    let surroundings = Surroundings {
        interface: Some("vmlan0".into()),
        domain: Some("vm".into()),
    };
    let call = Call::Lease(call);
    let variables: Vec<_> = environment(&call, &surroundings, NOW - 1000, 1000)
        .into_iter()
        .map(|(name, value)| {
            let name = name.strip_prefix("DNSMASQ_").unwrap().to_owned();
            format!("{name}={}", value.into_string().unwrap())
        })
        .collect();
    (arguments(&call).join(" "), variables.join(" "))
}

#[test]
fn arguments_and_variables_are_dnsmasqs() {
    let data = ClientData {
        variables: vec![("VENDOR_CLASS".into(), "udhcp 1.35".into())],
        takes_up: true,
    };
    let add = LeaseCall {
        data: Some(Arc::new(data)),
        ..call(Action::Add)
    };
    let (arguments, variables) = told(add);
    assert_eq!(arguments, "add 52:54:00:00:00:0a 192.168.122.9 web");
    assert_eq!(
        variables,
        "INTERFACE=vmlan0 LEASE_EXPIRES=1700000060 TIME_REMAINING=60 CLIENT_ID=01:52 DOMAIN=vm \
         VENDOR_CLASS=udhcp 1.35"
    );
    let (arguments, variables) = told(call(Action::Del));
    assert_eq!(arguments, "del 52:54:00:00:00:0a 192.168.122.9 web");
    assert_eq!(
        variables,
        "INTERFACE=vmlan0 LEASE_EXPIRES=1700000060 CLIENT_ID=01:52 DOMAIN=vm DATA_MISSING=1"
    );
    assert_eq!(super::arguments(&Call::Init), ["init"]);
}

#[test]
fn a_lost_name_stands_in_the_environment_alone() {
    let mut lost = call(Action::Old);
    lost.old_hostname = lost.holder.hostname.take();
    (lost.holder.expiry, lost.holder.client_id) = (0, None);
    let (arguments, variables) = told(lost);
    assert_eq!(arguments, "old 52:54:00:00:00:0a 192.168.122.9");
    assert_eq!(
        variables,
        "INTERFACE=vmlan0 LEASE_EXPIRES=0 DOMAIN=vm OLD_HOSTNAME=web DATA_MISSING=1"
    );
}

fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("hook");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

async fn run_of(program: &Path, limit: Duration) -> Result<(), Failure> {
    let call = Call::Lease(call(Action::Add));
    let told = Told {
        arguments: arguments(&call),
        environment: environment(&call, &Surroundings::default(), NOW, 0),
        quiet: false,
    };
    run(program, told, limit, &mut Allowance::new(Instant::now())).await
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "current_thread")]
async fn a_run_has_its_own_environment_and_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let text = format!(
        "cat >{0}; pwd >>{0}; env | sort >>{0}; echo $@ >>{0}",
        out.display()
    );
    run_of(&script(folder.path(), &text), LONG).await.unwrap();
    let text = fs::read_to_string(out).unwrap();
    assert!(text.starts_with("/\nDNSMASQ_CLIENT_ID=01:52\n"), "{text}");
    assert!(
        text.ends_with("\nadd 52:54:00:00:00:0a 192.168.122.9 web\n"),
        "{text}"
    );
    assert!(!text.contains("CARGO"), "{text}");
}

#[tokio::test(flavor = "current_thread")]
async fn how_a_run_failed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = run_of(&folder.path().join("none"), LONG).await;
    assert!(matches!(missing, Err(Failure::Start(_))), "{missing:?}");
    let failed = run_of(&script(folder.path(), "exit 3"), LONG).await;
    assert!(failed.unwrap_err().to_string().contains("exit status: 3"));
    // Much output does not stall it.
    let script = script(
        folder.path(),
        "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2",
    );
    run_of(&script, LONG).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_run_that_takes_too_long_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let text = format!("sleep 1000 & echo $! >{}; wait", pid.display());
    let script = script(folder.path(), &text);
    let ended = run_of(&script, Duration::from_secs(1)).await;
    assert!(matches!(ended, Err(Failure::Timeout(_))), "{ended:?}");
    let pid = fs::read_to_string(pid).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let gone = async {
        // A zombie is gone too; who reaps it is the machine's affair.
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_run_leaves_behind_does_not_hold_up_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    // It keeps the pipes open.
    let text = format!("sleep 1000 & echo $! >{}", pid.display());
    run_of(&script(folder.path(), &text), LONG).await.unwrap();
    let pid: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}
