//! `ovs-vsctl`, by which libvirt tells of guests that start and end.

use anyhow::Result;

/// Whether it can be installed.
///
/// # Errors
/// Open vSwitch itself is in use.
pub(super) fn check() -> Result<()> {
    Ok(())
}

/// Installs it.
///
/// # Errors
/// It cannot be written.
pub(super) fn install() -> Result<()> {
    Ok(())
}

/// Removes it, if it is vmlan's own.
///
/// # Errors
/// It cannot be removed.
pub(super) fn remove() -> Result<()> {
    Ok(())
}
