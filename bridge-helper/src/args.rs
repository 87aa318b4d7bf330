//! The command line, as qemu writes it: `--use-vnet --fd=N --br=BR`.

use anyhow::{Context as _, bail, ensure};
use std::os::fd::RawFd;

/// The longest name of a netdev (`IFNAMSIZ` less the NUL, linux/if.h).
pub(crate) const MAX_NAME: usize = 15;

const USAGE: &str = "usage: vmlan-bridge-helper [--use-vnet] --br=INTERFACE --fd=NUMBER \
                     (qemu starts it: -netdev bridge,br=INTERFACE,helper=…)";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Args {
    /// The host interface of the network. A name that leads nowhere else when
    /// it is put into a path or a line of text.
    pub(crate) bridge: String,
    /// The socket to send the TAP's file by.
    pub(crate) fd: RawFd,
    /// Whether frames have a virtio-net header.
    pub(crate) vnet_header: bool,
}

impl Args {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(arguments: impl Iterator<Item = Vec<u8>>) -> anyhow::Result<Self> {
        let (mut bridge, mut fd, mut vnet_header) = (None, None, false);
        for argument in arguments {
            let argument = String::from_utf8(argument).ok().context(USAGE)?;
            if argument == "--use-vnet" {
                vnet_header = true;
            } else if let Some(name) = argument.strip_prefix("--br=") {
                bridge = Some(interface_name(name)?);
            } else if let Some(number) = argument.strip_prefix("--fd=") {
                fd = Some(descriptor(number)?);
            } else {
                bail!(USAGE);
            }
        }
        Ok(Self {
            bridge: bridge.context(USAGE)?,
            fd: fd.context(USAGE)?,
            vnet_header,
        })
    }
}

fn interface_name(name: &str) -> anyhow::Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+@".contains(&byte);
    let well_formed = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(plain)
        && ![".", ".."].contains(&name);
    ensure!(
        well_formed,
        "--br={:?} is no name of an interface",
        name.get(..64).unwrap_or(name)
    );
    Ok(name.to_owned())
}

fn descriptor(number: &str) -> anyhow::Result<RawFd> {
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let fd = number.parse().ok().filter(|_| digits);
    fd.context("--fd= has to be the number of an open descriptor")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> anyhow::Result<Args> {
        Args::parse(line.split(' ').map(|word| word.as_bytes().to_vec()))
    }

    #[test]
    fn qemus_command_line_is_read() {
        assert_eq!(
            parse("--use-vnet --fd=27 --br=vmlan0").unwrap(),
            Args {
                bridge: "vmlan0".into(),
                fd: 27,
                vnet_header: true
            }
        );
        assert!(!parse("--br=br-0.1 --fd=0").unwrap().vnet_header);
    }

    #[test]
    fn what_is_no_interface_or_descriptor_is_refused() {
        for line in [
            "",
            "--br=vmlan0",
            "--fd=3",
            "--br=vmlan0 --fd=3 --help",
            "--br=vmlan0 --fd=3 x",
            "--br= --fd=3",
            "--br=.. --fd=3",
            "--br=a/b --fd=3",
            "--br=a\"b --fd=3",
            "--br=a\nb --fd=3",
            "--br=0123456789abcdef --fd=3",
            "--br=vmlan0 --fd=",
            "--br=vmlan0 --fd=-1",
            "--br=vmlan0 --fd=+3",
            "--br=vmlan0 --fd=3x",
            "--br=vmlan0 --fd=4294967299",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let not_text = [b"--br=\xff".to_vec(), b"--fd=3".to_vec()];
        assert!(Args::parse(not_text.into_iter()).is_err());
    }

    proptest! {
        #[test]
        fn any_arguments_are_read_or_refused(
            arguments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5),
        ) {
            if let Ok(args) = Args::parse(arguments.into_iter()) {
                prop_assert!(!args.bridge.contains('/') && args.fd >= 0);
            }
        }
    }
}
