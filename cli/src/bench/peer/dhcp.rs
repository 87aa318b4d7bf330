//! DHCP servers, each for clients behind one netdev: vmlan's, dnsmasq, Kea.
//! All keep their leases in a file, serve 10.88.0.0/16 for an hour, and have
//! room for 60,000 leases.

use super::{Peer, hand_over, veth, vmlan};
use crate::bench::lab::Lab;
use crate::bench::lab::namespace::Namespace;
use crate::bench::lab::process::Process;
use anyhow::{Context as _, Result, bail};
use std::fs;

/// The server's netdev, where it has one of its own.
const NETDEV: &str = "srv0";
/// Its address with the prefix length.
const ADDRESS: &str = "10.88.0.1/16";
/// Leases that there is room for.
const ROOM: u32 = 60_000;

/// Starts the DHCP server `peer` in `namespace`, with its clients behind `eth0`
/// of `station`, and waits until it serves. It ends with the value.
///
/// # Errors
/// It is none, is not installed or does not come up.
pub(crate) fn start(
    peer: Peer,
    lab: &Lab,
    namespace: &Namespace,
    station: &Namespace,
) -> Result<Process> {
    let folder = lab.folder("dhcp")?;
    if peer == Peer::Vmlan {
        let config = format!(
            "address = \"{ADDRESS}\"\n[dhcp]\nprobe = false\nmax-leases = {ROOM}\n\
             [[port]]\nname = \"{NETDEV}\"\nkind = \"tap\"\n"
        );
        let command = vmlan::command(&folder, "", &config, |program| namespace.command(program))?;
        let (process, _) = vmlan::start(command, &folder)?;
        hand_over(namespace, NETDEV, station)?;
        return Ok(process);
    }
    veth(namespace, NETDEV, station)?;
    namespace.run(&format!("ip address add {ADDRESS} dev {NETDEV}"))?;
    match peer {
        Peer::Dnsmasq => {
            let mut command = namespace.command("dnsmasq");
            command
                .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0"])
                .args([
                    "--user=root",
                    "--log-facility=-",
                    "--quiet-dhcp",
                    "--no-ping",
                ])
                .arg(format!("--interface={NETDEV}"))
                .arg("--dhcp-range=10.88.0.2,10.88.255.250,1h")
                .arg(format!("--dhcp-lease-max={ROOM}"))
                .arg(format!(
                    "--dhcp-leasefile={}",
                    folder.join("leases").display()
                ))
                .arg(format!("--pid-file={}", folder.join("pid").display()));
            Process::start("dnsmasq", command, &folder)
        }
        Peer::Kea => {
            let file = folder.join("kea.json");
            let config = format!(
                r#"{{"Dhcp4": {{
                    "interfaces-config": {{"interfaces": ["{NETDEV}"]}},
                    "lease-database": {{"type": "memfile", "name": "{}"}},
                    "valid-lifetime": 3600,
                    "subnet4": [{{"subnet": "10.88.0.0/16",
                                  "pools": [{{"pool": "10.88.0.2 - 10.88.255.250"}}]}}],
                    "loggers": [{{"name": "kea-dhcp4", "severity": "ERROR",
                                  "output_options": [{{"output": "stderr"}}]}}]}}}}"#,
                folder.join("leases.csv").display()
            );
            fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
            let mut command = namespace.command("kea-dhcp4");
            command
                .env("KEA_PIDFILE_DIR", &folder)
                .env("KEA_LOCKFILE_DIR", &folder)
                .arg("-c")
                .arg(&file);
            Process::start("kea-dhcp4", command, &folder)
        }
        other => bail!("{other} is no DHCP server"),
    }
}
