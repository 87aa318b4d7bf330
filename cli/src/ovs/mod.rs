//! The program under the name `ovs-vsctl`: how libvirt puts a domain's NIC on
//! a network of vmlan.
//!
//! libvirt can use a switch that is no kernel bridge if it is an Open vSwitch:
//! it makes the TAP, then calls `ovs-vsctl` for it. So for a network with
//! `<forward mode='bridge'/>`, `<bridge name='BR'/>` and `<virtualport
//! type='openvswitch'/>` this program answers to that name. [`grammar`] reads
//! the line, [`value`] the values in it; [`networks`] finds out which network
//! is meant, and [`carry_out`] has it done over the control socket. [`install`]
//! puts the name in place.
//!
//! libvirt looks at the bridge before it calls, and its older versions keep to
//! themselves what the call said. So it also runs a [`hook`] of ours before a
//! domain is plugged in, whose error every version shows.
//!
//! A line is a transaction with Open vSwitch. Here it is checked whole before
//! anything is done; should a later command fail all the same, libvirt takes
//! the port away itself.

mod carry_out;
mod grammar;
mod hook;
pub mod install;
mod networks;
mod value;

use crate::args::Place;
use crate::config::Problem;
use carry_out::carry_out;
use networks::Networks;
use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The name that the program has then.
pub const NAME: &str = "ovs-vsctl";

/// Names the folder of sockets where it is not the usual one.
pub const RUN_DIR: &str = "VMLAN_RUN_DIR";

/// Whether the program was called as `ovs-vsctl`.
#[must_use]
pub fn is_called() -> bool {
    let name = env::args_os().next();
    let name = name.as_deref().map(Path::new).and_then(Path::file_name);
    name == Some(OsStr::new(NAME))
}

/// Does what the command line says, as `ovs-vsctl` would: exit status 0 if all
/// was done, else 1 with one line on stderr, which libvirt shows.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = env::args_os().skip(1);
    let arguments: Vec<String> = arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    match answer(&arguments) {
        Ok(text) => {
            // Whoever asked may not care for the answer.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("vmlan: {}", shown(&problem));
            ExitCode::FAILURE
        }
    }
}

/// A problem on one line, the mend behind it.
fn shown(problem: &Problem) -> String {
    let whole = match &problem.help {
        Some(help) => format!("{}: {help}", problem.message),
        None => problem.message.clone(),
    };
    let lines: Vec<&str> = whole.lines().map(str::trim).collect();
    lines.join("; ")
}

/// What is to be printed once all is done.
fn answer(arguments: &[String]) -> Result<String, Problem> {
    if let [first, arguments @ ..] = arguments
        && first == hook::WORD
    {
        return hook::answer(arguments, &run_dir()?).map(|()| String::new());
    }
    let line = grammar::parse(arguments)?;
    if line.about {
        return Ok(format!(
            "{NAME} (vmlan) {}\nvmlan serves libvirt by this name.\n",
            env!("CARGO_PKG_VERSION")
        ));
    }
    let networks = Networks::new(run_dir()?, line.timeout);
    carry_out(&line, &networks)
}

fn run_dir() -> Result<PathBuf, Problem> {
    if let Some(dir) = env::var_os(RUN_DIR) {
        return Ok(dir.into());
    }
    let place = Place {
        network: None,
        run_dir: None,
        state_dir: None,
    };
    place.check_fallbacks()?;
    Ok(place.run_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_for_libvirt_to_show() {
        let problem = Problem::new("no\n  way").help("try this");
        assert_eq!(shown(&problem), "no; way: try this");
        let arguments = ["show".to_owned()];
        let problem = answer(&arguments).unwrap_err();
        assert!(!shown(&problem).contains('\n'));
    }
}
