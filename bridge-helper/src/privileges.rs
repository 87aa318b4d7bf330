//! The rights of the process, which only get fewer.

use anyhow::{Context as _, ensure};
use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_res_gid, set_thread_res_uid,
};

/// Becomes the caller, user and group, with CAP_NET_ADMIN as the one right
/// beside theirs. The program has one thread, so the thread's are the
/// process's.
///
/// # Errors
/// It does not have that right, or a step fails.
pub(crate) fn keep_net_admin() -> anyhow::Result<()> {
    let (user, group) = (getuid(), getgid());
    set_keep_capabilities(true).context("cannot keep CAP_NET_ADMIN")?;
    set_thread_res_gid(group, group, group).context("cannot become the caller's group")?;
    set_thread_res_uid(user, user, user).context("cannot become the caller")?;
    set_keep_capabilities(false).context("cannot let go of rights")?;
    keep(CapabilitySet::NET_ADMIN).context(
        "it takes CAP_NET_ADMIN: install vmlan-bridge-helper setuid root (chown root, chmod u+s)",
    )?;
    clear_ambient_capability_set().context("cannot let go of rights")?;
    set_no_new_privs(true).context("cannot do without further rights")?;
    ensure!(
        (geteuid(), getegid()) == (user, group),
        "cannot become the caller"
    );
    Ok(())
}

/// Lets the last right go.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn keep_nothing() -> anyhow::Result<()> {
    keep(CapabilitySet::empty()).context("cannot let go of CAP_NET_ADMIN")
}

fn keep(rights: CapabilitySet) -> anyhow::Result<()> {
    let wanted = CapabilitySets {
        effective: rights,
        permitted: rights,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, wanted)?;
    ensure!(capabilities(None)? == wanted, "the kernel has others");
    Ok(())
}
