//! The table `[tftp]`: a folder of boot files for guests.

use super::Problem;
use super::network::Written;
use super::section::{Findings, Section};
use super::value::absolute;
use super::{Address, Forward};
use crate::tftp::options::{BLOCK, LARGEST_BLOCK};
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// The TFTP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Tftp {
    /// The folder whose files are served, with its place in the file.
    pub root: Spanned<PathBuf>,
    /// The largest block in bytes; a packet fits in the network's MTU in any
    /// case.
    pub max_blksize: u16,
    /// Whether capital letters in names stand for small ones.
    pub lowercase: bool,
}

/// `[tftp]` as written.
#[derive(Debug)]
pub(super) struct WrittenTftp {
    enabled: Option<Spanned<bool>>,
    root: Option<Spanned<PathBuf>>,
    max_blksize: Option<Spanned<u16>>,
    lowercase: Option<Spanned<bool>>,
}

impl WrittenTftp {
    pub(super) fn read(mut section: Section<'_, '_, '_>) -> Self {
        let written = Self {
            enabled: section.boolean("enabled"),
            root: section.text("root", absolute),
            max_blksize: section.number("max-blksize", BLOCK..=LARGEST_BLOCK),
            lowercase: section.boolean("lowercase"),
        };
        if !section.has("root") && written.is_on() {
            let span = section.span();
            let problem = Problem::new("the TFTP server has no `root`")
                .help("add root = \"/srv/tftp\", the folder with the boot files");
            section.findings.error(span, problem);
        }
        section.end();
        written
    }

    /// On by being there, unless the file says otherwise.
    fn is_on(&self) -> bool {
        self.enabled.as_ref().is_none_or(|on| *on.get_ref())
    }

    /// The server; none where it is off.
    pub(super) fn into_tftp(self) -> Option<Tftp> {
        let on = self.is_on();
        Some(Tftp {
            root: self.root.filter(|_| on)?,
            max_blksize: self.max_blksize.map_or(LARGEST_BLOCK, Spanned::into_inner),
            lowercase: self.lowercase.is_some_and(Spanned::into_inner),
        })
    }
}

/// The server answers from the gateway's address on the host's own interface,
/// and nowhere else.
pub(super) fn check(written: &Written, findings: &mut Findings<'_>) {
    let Some(tftp) = written.tftp.as_ref().filter(|t| t.get_ref().is_on()) else {
        return;
    };
    let mut error = |span: Range<usize>, what: &str, help: &str| {
        findings.error(span, Problem::new(what).help(help));
    };
    if let Some(interface) = &written.interface
        && interface.get_ref().is_none()
    {
        let what = "the TFTP server needs the host's own interface, and interface = \"\" is none";
        let help = "give the interface a name, as \"vmlan0\", or take [tftp] out";
        error(interface.span(), what, help);
    } else if written.address() == Address::None {
        let what = "the TFTP server needs an address of its own";
        let help = match written.forward() {
            Forward::Bridge => "add address = \"192.168.122.1/24\", or what the LAN has for it",
            _ => "add address = \"192.168.122.1/24\"",
        };
        error(tftp.span(), what, help);
    }
}
