//! Feeds the service manager's watchdog (sd_watchdog_enabled(3)), and only while
//! everybody gets on with their work.
//!
//! A thread of its own asks each in turn and waits for the answer: the workers,
//! which answer between two bursts; the DHCP server, which does not while it
//! hangs on a disk; and the control thread. Once all have answered, it feeds the
//! watchdog. Where one hangs, this thread does so too, the watchdog runs out, and
//! the service manager starts vmlan again, with the files that it keeps.

use super::api::Shared;
use super::dhcp::DhcpService;
use sd_notify::NotifyState;
use std::io;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Handle;
use vmlan_dataplane::control::Switch;

/// How often it is fed within the time that it allows.
const TIMES: u32 = 4;

/// Starts feeding, if there is a watchdog.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start(switch: Switch, dhcp: DhcpService, network: &Shared) -> io::Result<()> {
    let Some(time) = sd_notify::watchdog_enabled() else {
        return Ok(());
    };
    let (control, network) = (Handle::current(), network.clone());
    let feed = move || {
        while switch.check_in().is_ok() {
            dhcp.check_in();
            if !control_thread_answers(&control, &network) {
                return;
            }
            // A service manager that is gone starts nothing again.
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            std::thread::sleep(time / TIMES);
        }
    };
    std::thread::Builder::new()
        .name("watchdog".into())
        .spawn(feed)?;
    tracing::debug!("the watchdog is fed within {:.1?}", Duration::from(time));
    Ok(())
}

/// Waits until the control thread has had its hands on the network; false once
/// it has ended.
fn control_thread_answers(control: &Handle, network: &Shared) -> bool {
    let (answer, answered) = mpsc::channel();
    let network = network.clone();
    control.spawn(async move {
        drop(network.lock().await);
        let _ = answer.send(());
    });
    answered.recv().is_ok()
}
