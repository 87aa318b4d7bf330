//! A running network goes from one process to the next, and no guest notices.

use anyhow::Result;
use vmlan_tests::manager::Manager;
use vmlan_tests::restarts::Lab;

#[test]
fn ten_takeovers_under_load_lose_no_guest_and_no_byte() -> Result<()> {
    let mut lab = Lab::start(None)?;
    let report = lab.run(10, true, |switch| switch.take_over(), |_| ())?;
    println!("takeover: {report}");
    lab.switch.stop()
}

#[test]
fn three_kills_under_a_service_manager_lose_no_guest_and_no_byte() -> Result<()> {
    let manager = Manager::start(None)?;
    let mut lab = Lab::start(Some(&manager))?;
    let restart = |switch: &mut vmlan_tests::switch::Switch| {
        switch.kill();
        switch.launch_under(&manager)
    };
    let report = lab.run(3, false, restart, |_| ())?;
    println!("kill: {report}");
    lab.switch.stop()
}
