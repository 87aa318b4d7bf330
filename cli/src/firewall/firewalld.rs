//! firewalld, which refuses what comes by an interface that is in no zone for
//! it.
//!
//! libvirt brings zones of its own along (`libvirt` for what is translated,
//! `libvirt-routed` with policies for what is routed), and so lets guests ask
//! the host for DHCP, DNS, TFTP and SSH, and no more. Where they are not there,
//! the zone `trusted` is, which closes nothing. A zone can only be made for
//! good, so vmlan makes none. An interface that somebody has given a zone keeps
//! it. The binding is one of the running firewalld; It is recorded in
//! RUN/NAME, for whoever comes after a crash.

use super::tool::{Tool, ToolError};
use super::wanted::{Wanted, Way};

const FIREWALL_CMD: Tool = Tool {
    program: "firewall-cmd",
    package: "firewalld",
};

/// What `firewall-cmd` says of a zone that there is not, of an interface that is
/// not in the zone, and without firewalld.
const NO_ZONE: &str = "INVALID_ZONE";
const NOT_THERE: &str = "UNKNOWN_INTERFACE";
const NOT_RUNNING: &str = "FirewallD is not running";

/// The zones to try for `wanted`, the best one first.
pub(super) fn zones(wanted: &Wanted) -> &'static [&'static str] {
    match wanted.way {
        Way::Nat { .. } => &["libvirt", TRUSTED],
        Way::Route { .. } => &["libvirt-routed", TRUSTED],
        // Nothing would be gained by opening the host to it.
        Way::Isolated => &["libvirt"],
        Way::Open => &[],
    }
}

/// The zone that closes nothing.
pub(super) const TRUSTED: &str = "trusted";

/// Puts `interface` in `zone`; `false`: there is no such zone.
///
/// # Errors
/// firewalld does not run, or refuses.
pub(super) async fn bind(interface: &str, zone: &str) -> Result<bool, ToolError> {
    match change("--change-interface", interface, zone).await {
        Ok(_) => Ok(true),
        Err(ToolError::Failed { said, .. }) if said.contains(NO_ZONE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes `interface` out of `zone` again. That it is not in there is fine, and
/// that firewalld has ended, since the binding has with it.
///
/// # Errors
/// firewalld refuses.
pub(super) async fn release(interface: &str, zone: &str) -> Result<(), ToolError> {
    match change("--remove-interface", interface, zone).await {
        Ok(_) => Ok(()),
        Err(ToolError::Failed { said, .. })
            if [NO_ZONE, NOT_THERE, NOT_RUNNING]
                .iter()
                .any(|it| said.contains(it)) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn change(action: &str, interface: &str, zone: &str) -> Result<String, ToolError> {
    let (zone, action) = (format!("--zone={zone}"), format!("{action}={interface}"));
    FIREWALL_CMD.run(&[&zone, &action], b"").await
}
