//! The program that is told of leases, with real clients.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use vmlan_tests::dhcp_client::{Dhclient, Udhcpc, udhcpc};
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

const MAC1: &str = "52:54:00:00:00:01";
const MAC2: &str = "52:54:00:00:00:02";

/// A folder with a hook that writes down what it is told, a line a run.
struct Hook {
    folder: tempfile::TempDir,
}

impl Hook {
    /// `more` is run behind that.
    fn new(more: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("vt-{}-", std::process::id()))
            .tempdir()?;
        let hook = Self { folder };
        fs::write(
            hook.path("hook"),
            format!(
                "#!/bin/sh\n\
                 echo \"$*\" \"$(env | grep ^DNSMASQ_ | sort | tr '\\n' ' ')\" >>{}\n{more}\n",
                hook.path("told").display()
            ),
        )?;
        fs::set_permissions(hook.path("hook"), Permissions::from_mode(0o755))?;
        Ok(hook)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, keys: &str) -> String {
        format!(
            "{ISOLATED}\n[dhcp.hook]\nprogram = {:?}\n{keys}\n{}",
            self.path("hook"),
            taps(&["c1", "c2"])
        )
    }

    /// What it was told: the arguments of each run, and behind ` | ` the
    /// variables.
    fn told(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("told")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until it was told `runs`, and nothing but these, since number
    /// `start`; each has to begin like that. Gives the lines.
    fn expect(&self, start: usize, runs: &[String]) -> Result<Vec<String>> {
        wait::until("the hook's runs", wait::SOON, || {
            let told = self.told().get(start..).unwrap_or_default().to_vec();
            let same = told.len() == runs.len()
                && told
                    .iter()
                    .zip(runs)
                    .all(|(told, run)| told.starts_with(run));
            ensure!(same, "{told:#?}\nbut {runs:#?} was expected");
            Ok(told)
        })
    }
}

fn run(parts: &[&dyn std::fmt::Display]) -> String {
    let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
    parts.join(" ")
}

#[test]
fn a_lease_is_told_from_its_begin_to_its_end() -> Result<()> {
    let hook = Hook::new("")?;
    let marked = "[[dhcp.host]]\nmac = \"52:54:00:*:*:*\"\n\
                  [[dhcp.match]]\nvendor-class = \"thing\"\nset = \"thing\"\n";
    let switch = Switch::start(&hook.config(marked))?;
    let c1 = switch.container("c1", MAC1)?;
    hook.expect(0, &["init".into()])?;

    let (mut client, lease) = Udhcpc::start(&c1, "-x hostname:web -V thing -O 43")?;
    let address = lease.address;
    let told = hook.expect(1, &[run(&[&"add", &MAC1, &address, &"web DNSMASQ_"])])?;
    let line = &told[0];
    let id = format!("DNSMASQ_CLIENT_ID=01:{MAC1} ");
    for part in [
        id.as_str(),
        "DNSMASQ_DOMAIN=vm ",
        "DNSMASQ_INTERFACE=vmlan0 ",
        "DNSMASQ_SUPPLIED_HOSTNAME=web ",
        "DNSMASQ_TAGS=vmlan0 known thing ",
        "DNSMASQ_VENDOR_CLASS=thing ",
        "DNSMASQ_TIME_REMAINING=3",
        ",43",
    ] {
        ensure!(line.contains(part), "{part} is missing: {line}");
    }
    ensure!(!line.contains("DATA_MISSING"), "{line}");

    // A renewal is not told by default; a client that comes again is.
    client.renew()?;
    drop(client.release());
    hook.expect(2, &[run(&[&"del", &MAC1, &address, &"web"])])?;
    let (_client, again) = Udhcpc::start(&c1, "-x hostname:web")?;
    assert_eq!(again.address, address);
    hook.expect(3, &[run(&[&"add", &MAC1, &address, &"web"])])?;
    let (_client, _) = Udhcpc::start(&c1, "-x hostname:db")?;
    let told = hook.expect(
        4,
        &[
            run(&[&"old", &MAC1, &address, &"DNSMASQ_"]),
            run(&[&"old", &MAC1, &address, &"db"]),
        ],
    )?;
    ensure!(told[0].contains("DNSMASQ_OLD_HOSTNAME=web "), "{told:?}");

    switch.cli(&format!("lease del {address}"))?.success()?;
    let told = hook.expect(6, &[run(&[&"del", &MAC1, &address, &"db"])])?;
    ensure!(told[0].contains("DNSMASQ_DATA_MISSING=1 "), "{told:?}");
    Ok(())
}

#[test]
fn a_client_that_reboots_with_its_lease_is_old() -> Result<()> {
    let hook = Hook::new("")?;
    let switch = Switch::start(&hook.config(""))?;
    let c1 = switch.container("c1", MAC1)?;
    let dhclient = Dhclient::new()?;
    let address = dhclient.lease(&c1)?.address;
    let add = run(&[&"add", &MAC1, &address]);
    wait::until("the lease", wait::SOON, || {
        let told = hook.told();
        let begun = told.get(1).is_some_and(|told| told.starts_with(&add));
        ensure!(begun, "{told:#?}");
        Ok(())
    })?;
    let before = hook.told().len();
    assert_eq!(dhclient.lease(&c1)?.option("event"), "REBOOT");
    // One for each REQUEST; dhclient may send several, of the first lease too.
    let old = run(&[&"old", &MAC1, &address]);
    wait::until("the hook's run", wait::SOON, || {
        let told = hook.told();
        ensure!(told.len() > before, "not yet: {told:#?}");
        let told = told.get(2..).unwrap_or_default();
        ensure!(told.iter().all(|told| told.starts_with(&old)), "{told:#?}");
        let said = told[0].contains("DNSMASQ_REQUESTED_OPTIONS=1,");
        ensure!(said && !told[0].contains("DATA_MISSING"), "{told:#?}");
        Ok(())
    })
}

#[test]
fn renewals_are_told_on_demand() -> Result<()> {
    let hook = Hook::new("")?;
    let config = hook.config("on-renewal = true");
    let switch = Switch::prepare(&config)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let file = switch.state_file("leases");
    fs::create_dir_all(file.parent().context("no folder")?)?;
    // Half of it is over.
    fs::write(&file, format!("{} {MAC1} 192.168.122.9 * *\n", now + 1800))?;
    let mut switch = switch;
    switch.launch()?;
    let c1 = switch.container("c1", MAC1)?;
    c1.run("ip addr add 192.168.122.9/24 dev eth0")?;
    let (client, _) = Udhcpc::start(&c1, "-r 192.168.122.9")?;
    let old = run(&[&"old", &MAC1, &"192.168.122.9"]);
    hook.expect(0, &["init".into(), old.clone(), old])?;
    // As good as new: nothing is written, and nothing told.
    client.renew()?;
    assert_eq!(hook.told().len(), 3);
    Ok(())
}

#[test]
fn leases_that_are_there_are_told_at_the_start_and_after_a_reload() -> Result<()> {
    let hook = Hook::new("")?;
    let mut switch = Switch::prepare(&hook.config(""))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let file = switch.state_file("leases");
    fs::create_dir_all(file.parent().context("no folder")?)?;
    let leases = [
        format!("{} {MAC1} 192.168.122.9 web *\n", now + 9999),
        format!("{} {MAC2} 192.168.122.8 * *\n", now - 9),
        format!("{} 52:54:00:00:00:03 192.168.122.7 * *\n", now + 2),
    ];
    fs::write(&file, leases.concat())?;
    switch.launch()?;
    let line = |action: &str, mac: &str, rest: &str| run(&[&action, &mac, &rest]);
    let told = hook.expect(
        0,
        &[
            "init".into(),
            line("del", MAC2, "192.168.122.8"),
            line("old", "52:54:00:00:00:03", "192.168.122.7"),
            line(
                "old",
                MAC1,
                "192.168.122.9 web DNSMASQ_DATA_MISSING=1 DNSMASQ_DOMAIN=vm",
            ),
            // It ends while nobody sends anything.
            line("del", "52:54:00:00:00:03", "192.168.122.7"),
        ],
    )?;
    switch.signal(Signal::HUP)?;
    hook.expect(told.len(), &[line("old", MAC1, "192.168.122.9 web")])?;
    Ok(())
}

#[test]
fn a_program_that_hangs_delays_no_answer_and_is_told_of_the_last_state() -> Result<()> {
    // The first lease's run hangs until it is killed.
    let hook = Hook::new("case $1 in add) if mkdir ${0}.once 2>&-; then sleep 1000; fi;; esac")?;
    let switch = Switch::start(&hook.config("timeout = \"5s\""))?;
    let c1 = switch.container("c1", MAC1)?;
    let c2 = switch.container("c2", MAC2)?;
    let one = udhcpc(&c1, "")?.address;
    hook.expect(0, &["init".into(), run(&[&"add", &MAC1, &one])])?;
    // Meanwhile another comes, goes and comes again.
    let two = udhcpc(&c2, "-x hostname:first")?.address;
    switch.cli(&format!("lease del {two}"))?.success()?;
    assert_eq!(udhcpc(&c2, "-x hostname:second")?.address, two);
    assert_eq!(hook.told().len(), 2, "two runs at a time");
    hook.expect(2, &[run(&[&"add", &MAC2, &two, &"second"])])?;
    let log = switch.log();
    ensure!(
        log.contains("has not ended within 5s and is killed"),
        "{log}"
    );
    let metrics = switch.namespace.run(&format!(
        "curl -sS --unix-socket {} http://vmlan/metrics",
        switch.run_file("control.sock").display()
    ))?;
    for line in [
        "vmlan_hook_runs_total{action=\"add\"} 2",
        "vmlan_hook_failures_total 1",
        "vmlan_hook_merged_total 1",
        "vmlan_hook_waiting 0",
    ] {
        ensure!(metrics.contains(line), "{line}: {metrics}");
    }
    Ok(())
}

#[test]
fn what_a_program_prints_and_how_it_fails_is_logged() -> Result<()> {
    let hook = Hook::new("echo out $1; echo \"err $1\" >&2; [ $1 != add ]")?;
    let switch = Switch::start(&hook.config(""))?;
    let c1 = switch.container("c1", MAC1)?;
    let address = udhcpc(&c1, "")?.address;
    wait::until("the log", wait::SOON, || {
        let log = switch.log();
        let failed = format!("add {MAC1} {address} ends with exit status: 1");
        ensure!(
            log.contains("hook: out add") && log.contains("hook: err add"),
            "{log}"
        );
        ensure!(log.contains(&failed), "{log}");
        // What dnsmasq takes for the leases.
        ensure!(!log.contains("hook: out init"), "{log}");
        Ok(())
    })
}

#[test]
fn a_hook_comes_and_goes_by_a_reload() -> Result<()> {
    let hook = Hook::new("")?;
    let plain = ISOLATED.to_owned() + &taps(&["c1", "c2"]);
    let switch = Switch::start(&plain)?;
    let c1 = switch.container("c1", MAC1)?;
    let one = udhcpc(&c1, "")?.address;
    assert_eq!(hook.told(), [""; 0]);
    switch.write_config(&hook.config(""))?;
    switch.cli("reload")?.success()?;
    hook.expect(0, &["init".into(), run(&[&"old", &MAC1, &one])])?;
    switch.write_config(&plain)?;
    switch.cli("reload")?.success()?;
    let c2 = switch.container("c2", MAC2)?;
    udhcpc(&c2, "")?;
    assert_eq!(hook.told().len(), 2);
    Ok(())
}

#[test]
fn the_last_leases_are_told_before_the_network_ends() -> Result<()> {
    let hook = Hook::new("sleep 1")?;
    let mut switch = Switch::start(&hook.config(""))?;
    let c1 = switch.container("c1", MAC1)?;
    let one = udhcpc(&c1, "")?.address;
    switch.stop()?;
    hook.expect(0, &["init".into(), run(&[&"add", &MAC1, &one])])?;
    Ok(())
}

#[test]
fn a_program_that_cannot_be_run_is_named_before_anything_starts() -> Result<()> {
    let hook = Hook::new("")?;
    fs::set_permissions(hook.path("hook"), Permissions::from_mode(0o644))?;
    let switch = Switch::prepare(&hook.config(""))?;
    for refused in [switch.refuse()?, switch.cli("check CONFIG")?] {
        assert_eq!(refused.status, 2, "{}", refused.stderr);
        let error = refused.stderr;
        ensure!(error.contains("is not executable"), "{error}");
        ensure!(error.contains("help: chmod +x"), "{error}");
    }
    Ok(())
}
