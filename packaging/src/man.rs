//! The man pages of the commands. What clap knows of a command makes the first
//! half of its page; the second half is how it ends, its files, examples, and
//! where to read on.

use crate::examples;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use std::iter;

/// A man page.
#[derive(Debug)]
pub(crate) struct Page {
    /// The name of its file, as `vmlan-run.1`.
    pub(crate) file: String,
    /// Its text, for man(7).
    pub(crate) text: Vec<u8>,
}

/// What an exit status says; the same for all commands.
const EXIT_STATUS: [(&str, &str); 3] = [
    ("0", "Done."),
    ("1", "It failed at run time."),
    ("2", "Bad usage, or a bad configuration."),
];

/// The files of a network, which all commands but a few touch.
const FILES: [(&str, &str); 6] = [
    (
        "/etc/vmlan/NAME.toml",
        "The configuration of the network NAME; see vmlan.toml(5).",
    ),
    (
        "/run/vmlan/NAME/control.sock",
        "The control API: HTTP with JSON. Mode 0660, group vmlan.",
    ),
    (
        "/run/vmlan/NAME/vm.sock",
        "Where qemu's -netdev stream connects to. Mode 0660, group vmlan.",
    ),
    (
        "/var/lib/vmlan/NAME/leases",
        "The leases, in the format of dnsmasq.",
    ),
    (
        "/var/lib/vmlan/NAME/hosts.toml",
        "The stations that vmlan-host-add(1) has made.",
    ),
    (
        "/usr/lib/systemd/system/vmlan@.service",
        "Serves the network NAME as vmlan@NAME.service.",
    ),
];

/// The pages that are not made here.
const WRITTEN: [&str; 2] = ["vmlan.toml(5)", "vmlan-bridge-helper(8)"];

/// The pages of `command` and all commands below it, as of `date`, which is
/// written as 2026-11-24.
pub(crate) fn pages(command: Command, date: &str) -> Vec<Page> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let top = name(&command);
    commands(&command)
        .into_iter()
        .map(|command| page(command, &top, date))
        .collect()
}

/// `command`, and all that are below it and not hidden.
pub(crate) fn commands(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|c| !c.is_hide_set());
    iter::once(command)
        .chain(below.flat_map(commands))
        .collect()
}

/// The name of a command's page, as `vmlan-port-add`.
fn name(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command, top: &str, date: &str) -> Page {
    let man = Man::new(command.clone())
        .title(name(command).to_uppercase())
        .date(date)
        .source(format!("vmlan {}", env!("CARGO_PKG_VERSION")))
        .manual("vmlan");
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = man.render_title(&mut text);
    let _ = man.render_name_section(&mut text);
    let _ = man.render_synopsis_section(&mut text);
    let _ = man.render_description_section(&mut text);
    let _ = man.render_options_section(&mut text);
    if command.has_subcommands() {
        let _ = man.render_subcommands_section(&mut text);
    }
    text.extend(rest(command, top).to_roff().into_bytes());
    Page {
        file: man.get_filename(),
        text,
    }
}

/// The sections that clap knows nothing of.
fn rest(command: &Command, top: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    terms(&mut roff, &EXIT_STATUS);
    roff.control("SH", ["FILES"]);
    terms(&mut roff, &FILES);
    roff.control("SH", ["EXAMPLES"]);
    for (what, line) in examples::of(&name(command)) {
        roff.control("TP", []);
        roff.text([roman(*what)]);
        roff.text([bold(*line)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let mut pages: Vec<String> = commands(command)
        .iter()
        .skip(1)
        .map(|c| page_of(c))
        .collect();
    if name(command) != top {
        pages.insert(0, format!("{top}(1)"));
    }
    pages.extend(WRITTEN.map(str::to_owned));
    roff.text([roman(pages.join(", "))]);
    roff
}

fn page_of(command: &Command) -> String {
    format!("{}(1)", name(command))
}

fn terms(roff: &mut Roff, terms: &[(&str, &str)]) {
    for (term, what) in terms {
        roff.control("TP", []);
        roff.text([italic(*term)]);
        roff.text([roman(*what)]);
    }
}
