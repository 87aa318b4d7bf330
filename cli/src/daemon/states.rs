//! What the service manager is told of (sd_notify(3)). Without one there is
//! nobody to tell.

use super::network::Network;
use sd_notify::NotifyState;

/// All is in place.
pub(super) fn ready(network: &Network) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(network))]);
}

/// The configuration is being read again; [`ready`] ends that.
pub(super) fn reloading() {
    // systemd takes the one only with the other (`Type=notify-reload`).
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// It ends, and takes everything down.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// One line for `systemctl status`.
fn status(network: &Network) -> String {
    let (used, size) = network.dhcp.fill().unwrap_or_default();
    format!(
        "network {}: {} ports, {used} of {size} leases",
        network.config.name,
        network.ports.len()
    )
}
