//! `vmlan qemu`: what to add to qemu's command line to attach a guest, ready to
//! paste.

use crate::args::Place;
use crate::client::{Client, ClientError};
use crate::config::{Loaded, MAX_NAME, Pattern, PortName};
use crate::daemon;
use crate::model::{AttachView, StatusView};
use pnet_base::MacAddr;
use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The helper for `-netdev bridge`.
const HELPER: &str = "vmlan-bridge-helper";

/// The only run folder in which the helper looks for networks.
const HELPED: &str = "/run/vmlan";

/// `-netdev stream` to the socket `vm.sock` of a network.
#[must_use]
pub fn stream(socket: &Path) -> String {
    format!(
        "-netdev stream,id=net0,server=off,addr.type=unix,addr.path={}",
        // A comma would end the path.
        socket.display().to_string().replace(',', ",,")
    )
}

/// `-netdev tap` with a netdev that qemu makes.
#[must_use]
pub fn tap(interface: &str) -> String {
    format!("-netdev tap,id=net0,ifname={interface},script=no,downscript=no")
}

/// The virtio NIC behind either.
#[must_use]
pub fn device(mac: MacAddr) -> String {
    format!("-device virtio-net-pci,netdev=net0,mac={mac}")
}

/// The MAC address of the guest `name` in `network`: the same each time, of
/// those that qemu's guests have.
#[must_use]
pub fn guest_mac(network: &str, name: &str) -> MacAddr {
    // FNV-1a, 32 bits.
    let text = format!("{network}/{name}");
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let [a, b, c, d] = hash.to_be_bytes();
    MacAddr::new(0x52, 0x54, 0, a ^ d, b, c)
}

/// The lines for a guest of a network.
#[derive(Debug)]
pub struct Lines {
    name: PortName,
    mac: MacAddr,
    network: String,
    interface: Option<String>,
    attach: Vec<Pattern>,
    /// The network's `vm.sock`.
    socket: PathBuf,
    running: bool,
    helper: PathBuf,
    /// The helper is there, setuid root.
    helper_ready: bool,
}

impl Lines {
    /// The lines for the guest `name`, by what the running network says of
    /// itself or, where it does not run, by its configuration.
    ///
    /// # Errors
    /// Neither is to be had.
    pub fn find(place: &Place, name: PortName, mac: Option<MacAddr>) -> anyhow::Result<Self> {
        let client = Client::new(place);
        let (interface, attach, running) = match client.get::<StatusView>("/v1/status") {
            Ok(status) => {
                let attach: AttachView = client.get("/v1/attach")?;
                let patterns = attach.patterns.iter().filter_map(|it| it.parse().ok());
                (status.interface, patterns.collect(), true)
            }
            Err(ClientError::NotRunning { .. }) => {
                let config = Loaded::find(None, place.network.as_ref())?.config;
                let interface = config.interface.map(|it| it.to_string());
                (interface, config.attach, false)
            }
            Err(error) => return Err(error.into()),
        };
        let network = place.network().to_string();
        let run = place.run_dir();
        let helper = helper_of(&env::current_exe().unwrap_or_default());
        let found = fs::metadata(&helper);
        Ok(Self {
            mac: mac.unwrap_or_else(|| guest_mac(&network, name.as_str())),
            socket: run.join(&network).join(daemon::CONNECT),
            interface: interface.filter(|_| run == Path::new(HELPED)),
            helper_ready: found.is_ok_and(|it| it.uid() == 0 && it.mode() & 0o4000 != 0),
            helper,
            name,
            network,
            attach,
            running,
        })
    }
}

/// A name for taps that one of `patterns` takes, with the number left to the
/// kernel.
fn taken_name(patterns: &[Pattern]) -> Option<String> {
    patterns.iter().find_map(|pattern| {
        let text = pattern.to_string();
        let name = format!("{}%d", text.strip_suffix('*')?);
        // With the longest number it has to be a name still.
        let plain = !name.contains(['*', '?']) && name.len() < MAX_NAME - 2;
        plain.then_some(name)
    })
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, network, mac) = (&self.name, &self.network, self.mac);
        writeln!(
            f,
            "# Guest {name} of the network {network}: add one of these to qemu's command line."
        )?;
        if !self.running {
            writeln!(
                f,
                "# The network does not run: `vmlan run` has to come first."
            )?;
        }

        writeln!(f, "\n# By a socket, as any user that may write to it:")?;
        writeln!(f, "  {} \\\n  {}", stream(&self.socket), device(mac))?;

        writeln!(f, "\n# By a tap, which is faster, as root:")?;
        match taken_name(&self.attach) {
            Some(interface) => writeln!(f, "  {} \\\n  {}", tap(&interface), device(mac))?,
            None => {
                writeln!(f, "  {} \\\n  {}", tap("tap%d"), device(mac))?;
                writeln!(
                    f,
                    "# and once qemu has made the tap: vmlan attach tapN --network {network}"
                )?;
            }
        }
        let Some(interface) = &self.interface else {
            return Ok(());
        };
        writeln!(
            f,
            "\n# By a tap, as any user whom /etc/qemu/bridge.conf allows {interface}:"
        )?;
        let helper = self.helper.display();
        if !self.helper_ready {
            writeln!(
                f,
                "# (once, as root: chown root {helper} && chmod u+s {helper})"
            )?;
        }
        writeln!(
            f,
            "  -netdev bridge,id=net0,br={interface},helper={helper} \\\n  {}",
            device(mac)
        )
    }
}

/// Where the helper of `program` is: beside it, or where the package has it.
fn helper_of(program: &Path) -> PathBuf {
    let packaged = Path::new("/usr/lib/vmlan").join(HELPER);
    if program.parent() == Some(Path::new("/usr/bin")) && packaged.exists() {
        return packaged;
    }
    program.with_file_name(HELPER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Lines {
        Lines {
            name: "web".parse().unwrap(),
            mac: guest_mac("lab", "web"),
            network: "lab".into(),
            interface: Some("vmlan0".into()),
            attach: vec![Pattern::libvirt()],
            socket: "/run/vmlan/lab/vm.sock".into(),
            running: true,
            helper: "/usr/bin/vmlan-bridge-helper".into(),
            helper_ready: true,
        }
    }

    #[test]
    fn a_guest_keeps_its_mac_and_another_has_another() {
        let mac = guest_mac("lab", "web");
        assert_eq!(mac, guest_mac("lab", "web"));
        assert_eq!(mac.to_string().get(..9), Some("52:54:00:"));
        assert_ne!(mac, guest_mac("lab", "db"));
        assert_ne!(mac, guest_mac("default", "web"));
    }

    #[test]
    fn each_way_is_there_with_what_it_wants_first() {
        let text = lines().to_string();
        for part in [
            "ifname=vnet%d,",
            "br=vmlan0,helper=/usr/bin/vmlan-bridge-helper \\\n",
            "addr.path=/run/vmlan/lab/vm.sock \\\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(
            !text.contains("vmlan run") && !text.contains("chmod"),
            "{text}"
        );
        let text = Lines {
            attach: vec!["eth?".parse().unwrap(), "abcdefghijkl*".parse().unwrap()],
            running: false,
            helper_ready: false,
            ..lines()
        }
        .to_string();
        for part in ["vmlan attach tapN", "`vmlan run`", "chmod u+s"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let hostless = Lines {
            interface: None,
            ..lines()
        };
        assert!(!hostless.to_string().contains("-netdev bridge"));
    }
}
