//! What vmlan needs of the kernel, and the rights to use it.

use super::Finding;
use super::facts::Facts;

/// Rights, `/dev/net/tun`, nftables and io_uring.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = rights(facts);
    findings.extend(tun(facts));
    findings.extend(nft(facts));
    findings.extend(ring(facts));
    if findings.is_empty() {
        let release = &facts.kernel.release;
        let fine = format!("Linux {release} has what is needed, and the rights are there");
        findings.push(Finding::fine("kernel", fine));
    }
    findings
}

fn rights(facts: &Facts) -> Vec<Finding> {
    let capabilities = [
        (
            facts.capabilities.net_admin,
            "CAP_NET_ADMIN",
            "make netdevs and rules",
        ),
        (
            facts.capabilities.net_raw,
            "CAP_NET_RAW",
            "take netdevs as ports",
        ),
    ];
    let missing = capabilities.iter().filter(|(has, ..)| !has);
    let finding = |(_, name, what): &(_, &str, &str)| {
        Finding::obstacle("rights", format!("without {name} vmlan cannot {what}"))
            .help("run this, and `vmlan run`, as root, or under systemd with AmbientCapabilities=")
    };
    missing.map(finding).collect()
}

fn tun(facts: &Facts) -> Option<Finding> {
    let error = facts.kernel.tun.as_ref().err()?;
    let what = format!("/dev/net/tun cannot be opened: {error}");
    Some(Finding::obstacle("tun", what).help(
        "run this as root; where the device is missing, load the driver with `modprobe tun`, in \
         a container pass it in: `--device /dev/net/tun`",
    ))
}

fn nft(facts: &Facts) -> Option<Finding> {
    let error = facts.kernel.nft.as_ref().err()?;
    let what = format!("the host's firewall cannot be changed by `nft`: {error}");
    let finding = if facts.config.forward.is_routed() {
        Finding::obstacle("nft", what)
    } else {
        Finding::warning("nft", what)
    };
    Some(finding.help(
        "install the package nftables, on a kernel with nf_tables, nft_ct, nft_masq and \
         nft_reject_inet (`modprobe` loads them; in a container, on its host)",
    ))
}

fn ring(facts: &Facts) -> Option<Finding> {
    // 1: for the group of kernel.io_uring_group and CAP_SYS_ADMIN; 2: nobody.
    if facts.kernel.io_uring_disabled < 2 {
        return None;
    }
    let what = "kernel.io_uring_disabled is set: frames are sent by slower calls";
    Some(
        Finding::warning("io_uring", what)
            .help("`sysctl kernel.io_uring_disabled=0`, if nothing speaks against it"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::facts::values::facts;
    use super::super::{Level, kernel};

    #[test]
    fn a_host_with_all_of_it_is_fine() {
        let found = kernel::check(&facts(""));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].level, Level::Fine);
    }

    #[test]
    fn each_thing_that_is_missing_is_named_with_its_mend() {
        let mut facts = facts("");
        facts.capabilities.net_raw = false;
        facts.kernel.tun = Err("No such file or directory".into());
        facts.kernel.nft = Err("`nft -c` failed: Operation not supported".into());
        facts.kernel.io_uring_disabled = 2;
        let found = kernel::check(&facts);
        let checks: Vec<_> = found.iter().map(|f| (f.check.as_str(), f.level)).collect();
        assert_eq!(
            checks,
            [
                ("rights", Level::Obstacle),
                ("tun", Level::Obstacle),
                ("nft", Level::Obstacle),
                ("io_uring", Level::Warning)
            ]
        );
        assert!(found[0].message.contains("CAP_NET_RAW"));
        assert!(found.iter().all(|finding| finding.help.is_some()));
    }
}
