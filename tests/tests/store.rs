//! Leases and the disk: kills, a full disk, a folder that becomes read-only,
//! another server's leases.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use vmlan_tests::dhcp_client::{Udhcpc, udhcpc};
use vmlan_tests::killed::{self, crowd::Crowd};
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

/// Kills of the bounded share; the binary `killed` does any number.
const KILLS: u32 = 15;

const MAC: &str = "52:54:00:00:00:01";
const OTHER: &str = "52:54:00:00:00:02";

fn config() -> String {
    format!("{ISOLATED}{}", taps(&["c1", "c2", "c3"]))
}

/// What `status` says of the store.
fn store(switch: &Switch) -> Result<String> {
    let status = switch.json("status")?;
    let store = status.pointer("/dhcp/store").context("no store")?;
    Ok(store.as_str().context("no text")?.to_owned())
}

#[test]
fn no_acknowledged_lease_is_lost_by_kill_9() -> Result<()> {
    let report = killed::run(1, KILLS, |_| ())?;
    ensure!(
        report.kills == KILLS && report.acknowledged > 100,
        "{report:?}"
    );
    Ok(())
}

/// Sees what holds while vmlan cannot write, for `reason`: a client that has a
/// lease keeps it, a new one gets none, and status says why. Then `mend` is
/// called, and all is well by itself.
fn stuck(
    switch: &Switch,
    old: &Udhcpc,
    reason: &str,
    mend: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let new = switch.container("c2", OTHER)?;
    let refused = udhcpc(&new, "-t 3 -T 1");
    ensure!(
        refused.is_err(),
        "a lease that cannot be written: {refused:?}"
    );
    let said = store(switch)?;
    ensure!(said.contains(reason), "{said}");
    let text = switch.cli("status")?.success()?;
    ensure!(text.contains(reason), "{text}");
    let renewed = old.renew()?;
    let left: u64 = renewed.option("lease").parse()?;
    ensure!(
        (3000..3600).contains(&left),
        "{left} s are left of the lease on disk"
    );
    mend()?;
    wait::until("the store's recovery", wait::SOON, || {
        let said = store(switch)?;
        ensure!(said == "ok", "{said}");
        Ok(())
    })?;
    let second = udhcpc(&new, "")?;
    ensure!(second.address != renewed.address);
    wait::until("the lease file", wait::SOON, || {
        let file = fs::read_to_string(switch.state_file_inside("leases")?)?;
        ensure!(file.contains(MAC) && file.contains(OTHER), "{file}");
        Ok(())
    })
}

#[test]
fn a_full_disk_stops_new_leases_and_no_others_until_there_is_room() -> Result<()> {
    let mut switch = Switch::prepare(&config())?;
    switch.launch_on_tmpfs()?;
    let client = switch.container("c1", MAC)?;
    let (client, _) = Udhcpc::start(&client, "")?;
    ensure!(store(&switch)? == "ok");
    let big = switch.state_file_inside("big")?;
    ensure!(
        fs::write(&big, vec![1; 128 << 10]).is_err(),
        "the tmpfs has 64 KiB"
    );
    // The journal's last page has room for some.
    let crowd = Crowd::start(&switch.container("c3", "52:54:00:00:00:03")?, 0)?;
    let full = wait::until("the end of it", wait::SOON, || {
        let said = store(&switch)?;
        ensure!(said.contains("No space left on device"), "{said}");
        Ok(())
    });
    let leased = crowd.stop()?;
    full?;
    ensure!(leased.len() < 100, "{} leases", leased.len());
    stuck(&switch, &client, "No space left on device", || {
        Ok(fs::remove_file(big)?)
    })
}

#[test]
fn a_read_only_folder_stops_new_leases_and_no_others_until_it_is_writable() -> Result<()> {
    let mut switch = Switch::prepare(&config())?;
    switch.launch()?;
    let client = switch.container("c1", MAC)?;
    let lease = udhcpc(&client, "")?;
    switch.stop()?;
    switch.launch_read_only()?;
    let client = switch.container("c1", MAC)?;
    let (client, again) = Udhcpc::start(&client, "")?;
    ensure!(again.address == lease.address);
    stuck(&switch, &client, "Read-only file system", || {
        switch.make_writable()
    })
}

#[test]
fn a_clock_that_is_set_by_an_hour_ends_no_lease_and_prolongs_none() -> Result<()> {
    let mut switch = Switch::prepare(&config())?;
    switch.launch_with_clock()?;
    let c1 = switch.container("c1", MAC)?;
    let (client, lease) = Udhcpc::start(&c1, "")?;
    let end = |switch: &Switch| -> Result<i64> {
        let lease = switch.lease(MAC)?;
        ensure!(lease["state"] == "bound", "{lease}");
        lease["expiry"].as_i64().context("no expiry")
    };
    let first = end(&switch)?;
    for (n, (offset, hours)) in [("+1h", 1), ("-1h", -1)].into_iter().enumerate() {
        switch.set_clock(offset)?;
        let again = client.renew()?;
        ensure!(again.address == lease.address, "{again:?}");
        let left: u64 = again.option("lease").parse()?;
        ensure!((3500..=3600).contains(&left), "{left} s");
        // Another client has it write, and so look at the clock.
        let other = switch.container(["c2", "c3"][n], OTHER)?;
        ensure!(udhcpc(&other, "")?.address != lease.address);
        let said = "the wall clock was set: leases run on";
        let times = switch.log().matches(said).count();
        ensure!(times == n + 1, "{}", switch.log());
        let moved = end(&switch)? - first;
        let wanted = hours * 3600;
        ensure!((wanted..wanted + 100).contains(&moved), "{moved} s");
        wait::until("the lease file", wait::SOON, || {
            let file = fs::read_to_string(switch.state_file("leases"))?;
            let line = file.lines().find(|line| line.contains(MAC));
            let written = line.and_then(|line| line.split(' ').next());
            let written: i64 = written.context("no lease")?.parse()?;
            ensure!((written - first - moved).abs() < 2, "{file}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn leases_of_dnsmasq_are_taken_over_by_a_running_server() -> Result<()> {
    let switch = Switch::start(&config())?;
    let file = switch.config_path().with_file_name("dnsmasq.leases");
    let end = std::time::SystemTime::now() + Duration::from_secs(1800);
    let end = end.duration_since(std::time::UNIX_EPOCH)?.as_secs();
    fs::write(
        &file,
        format!("{end} {OTHER} 192.168.122.77 web *\n9 {MAC} 192.168.122.78 * *\n"),
    )?;
    let said = switch
        .cli(&format!("lease import {}", file.display()))?
        .success()?;
    ensure!(
        said.starts_with("1 leases are taken over; 1 are left out:"),
        "{said}"
    );
    ensure!(said.contains("it ran out"), "{said}");
    let client = switch.container("c2", OTHER)?;
    let lease = udhcpc(&client, "")?;
    ensure!(lease.address.octets() == [192, 168, 122, 77], "{lease:?}");
    let refused = switch.cli(&format!("lease import {}", switch.config_path().display()))?;
    ensure!(refused.success().is_err());
    Ok(())
}
