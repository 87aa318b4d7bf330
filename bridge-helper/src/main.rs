//! `vmlan-bridge-helper`: what qemu's `-netdev bridge,br=BR,helper=…` starts in
//! place of its own qemu-bridge-helper, where BR is the host interface of a
//! vmlan network.
//!
//! It is installed setuid root and started by users who may be hostile. In this
//! order:
//!
//! 1. The command line is read ([`args`]). Nothing else comes from the user:
//!    neither the environment nor the working folder is looked at.
//! 2. The descriptor to answer by has to be a unix socket ([`handover`]).
//! 3. As root, the network that has BR is looked for below /run/vmlan, where
//!    only root writes, and its control socket connected to ([`network`]);
//!    /dev/net/tun is opened. Nothing is asked of either yet.
//! 4. All rights but CAP_NET_ADMIN go for good, user and group are the
//!    caller's ([`privileges`]).
//! 5. With the caller's rights to files, the ACL says whether they may
//!    ([`acl`]). What is not allowed is denied, before anything was made.
//! 6. The TAP is made and attached. It lives as long as its file: whatever
//!    fails from here on leaves nothing behind.
//! 7. The last right goes, then qemu is handed the file.

mod acl;
mod args;
mod handover;
mod network;
mod privileges;

use anyhow::{Context as _, ensure};
use args::Args;
use network::Network;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use vmlan_dataplane::port::sys::tun;

/// TAPs by the name `tapN` that there may be on the host at a time, whoever has
/// made them: enough for any host, and less than the ports of a network.
const MAX_TAPS: usize = 512;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(OsStringExt::into_vec);
    let result = Args::parse(arguments).and_then(|args| help(&args));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vmlan-bridge-helper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn help(args: &Args) -> anyhow::Result<()> {
    let answer = handover::socket(args.fd)?;
    let network = Network::of(&args.bridge);
    let tap = tun::device().context("cannot open /dev/net/tun");
    privileges::keep_net_admin()?;
    acl::check(&args.bridge)?;
    // Who is denied does not learn which networks there are.
    let mut network = network?;

    ensure!(
        taps()? < MAX_TAPS,
        "there are {MAX_TAPS} taps on this host already"
    );
    let tap = tap?;
    let name = tun::create(&tap, "tap%d", args.vnet_header).context("cannot make a TAP")?;
    let mtu = tun::mtu(&args.bridge).with_context(|| format!("there is no {}", args.bridge))?;
    tun::set_mtu(&name, mtu).with_context(|| format!("cannot set the MTU of {name}"))?;
    network.attach(&name)?;

    privileges::keep_nothing()?;
    handover::send(&answer, &tap)
}

/// How many netdevs are called `tapN` (proc_pid_net(5)).
fn taps() -> anyhow::Result<usize> {
    let netdevs = fs::read_to_string("/proc/self/net/dev").context("cannot list the netdevs")?;
    let names = netdevs.lines().filter_map(|line| line.split(':').next());
    Ok(names.filter(|name| is_tap(name.trim())).count())
}

fn is_tap(name: &str) -> bool {
    let number = name.strip_prefix("tap").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::is_tap;

    #[test]
    fn taps_are_told_by_their_names() {
        assert!(is_tap("tap0") && is_tap("tap17"));
        assert!(!is_tap("tap") && !is_tap("tap0x") && !is_tap("vnet0") && !is_tap(""));
    }
}
