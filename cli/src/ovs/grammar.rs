//! The commands of `ovs-vsctl` that libvirt gives
//! (its `src/util/virnetdevopenvswitch.c`), read into [`Command`]s.
//!
//! A line is options, then commands with `--` between them; each command may
//! have options of its own before its name. What libvirt never asks for is
//! refused, rather than half understood.

use super::value::{Setting, column, place};
use crate::config::Problem;
use std::time::Duration;

/// What a line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// How long the whole may take; `None`: as long as it does.
    pub(super) timeout: Option<Duration>,
    /// `--data=json`: values are printed as JSON.
    pub(super) json: bool,
    /// Columns are not named before their values.
    pub(super) no_headings: bool,
    /// `--version` or `--help`.
    pub(super) about: bool,
    pub(super) commands: Vec<Command>,
}

/// One command. Names of interfaces are those of netdevs, ports have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    AddPort {
        bridge: String,
        port: String,
        may_exist: bool,
        /// `tag`, `trunks`, `vlan_mode` as they were given.
        vlan: Vec<String>,
    },
    DelPort {
        port: String,
        if_exists: bool,
    },
    SetInterface {
        interface: String,
        if_exists: bool,
        external_ids: Vec<(String, String)>,
        /// Whether a rate is to be kept that is not 0.
        rate: bool,
    },
    SetPort {
        port: String,
        if_exists: bool,
        vlan: Vec<String>,
        /// Whether rates are to be kept.
        rate: bool,
    },
    /// There is nothing that could be cleared, of a port that is there.
    ClearPort {
        port: String,
        if_exists: bool,
    },
    GetExternalId {
        interface: String,
        key: String,
        if_exists: bool,
    },
    GetName {
        interface: String,
        if_exists: bool,
    },
    GetStatistic {
        interface: String,
        key: String,
        if_exists: bool,
    },
    ListStatistics {
        interface: String,
        if_exists: bool,
    },
    /// The interface whose vhost-user socket is at this path.
    FindSocket {
        path: String,
    },
    /// Nothing is done, and there is nothing to print: rates, of which there
    /// are none to find or to take away, and no place to put.
    Nothing,
    InterfaceToBridge {
        interface: String,
    },
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// They are not of the grammar above.
pub(super) fn parse(arguments: &[String]) -> Result<Line, Problem> {
    let mut line = Line::default();
    for section in arguments.split(|argument| argument == "--") {
        let at = section.iter().position(|word| !word.starts_with('-'));
        let (options, words) = section.split_at(at.unwrap_or(section.len()));
        let mut own = Options::default();
        for option in options {
            own.read(option, &mut line)?;
        }
        if let [name, arguments @ ..] = words {
            line.commands.push(own.command(name, arguments)?);
        }
    }
    if line.commands.is_empty() && !line.about {
        return Err(Problem::new("no command").help("this is what libvirt calls; use `vmlan`"));
    }
    Ok(line)
}

/// Options before a command's name.
#[derive(Debug, Default)]
struct Options {
    may_exist: bool,
    if_exists: bool,
    columns: Option<String>,
}

impl Options {
    fn read(&mut self, option: &str, line: &mut Line) -> Result<(), Problem> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match (name, value) {
            ("--timeout", Some(seconds)) => {
                let seconds = seconds.parse().map_err(|_| no_value(option))?;
                line.timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            ("--data", Some("json")) => line.json = true,
            ("--data", Some("string")) => line.json = false,
            // libvirt writes it both ways.
            ("--no-headings" | "--no-heading", None) => line.no_headings = true,
            ("--version" | "-V" | "--help" | "-h", None) => line.about = true,
            ("--format", Some("list")) | ("--no-syslog" | "--no-wait", None) => {}
            ("--may-exist", None) => self.may_exist = true,
            ("--if-exists", None) => self.if_exists = true,
            ("--columns", Some(columns)) => self.columns = Some(column(columns)),
            ("--id", Some(_)) => {}
            _ => return Err(no_value(option)),
        }
        Ok(())
    }

    fn command(self, name: &str, arguments: &[String]) -> Result<Command, Problem> {
        let if_exists = self.if_exists;
        match (name, arguments) {
            ("add-port", [bridge, port, settings @ ..]) => {
                let (vlan, rest) = vlan_settings(settings)?;
                refuse(rest.first(), "a port")?;
                Ok(Command::AddPort {
                    bridge: bridge.clone(),
                    port: port.clone(),
                    may_exist: self.may_exist,
                    vlan,
                })
            }
            ("del-port", [port] | [_, port]) => Ok(Command::DelPort {
                port: port.clone(),
                if_exists,
            }),
            // Where libvirt has made no netdev yet.
            ("del-port", []) if if_exists => Ok(Command::Nothing),
            ("iface-to-br" | "port-to-br", [interface]) => Ok(Command::InterfaceToBridge {
                interface: interface.clone(),
            }),
            ("set", [table, record, settings @ ..]) => self.set(&column(table), record, settings),
            ("clear", [table, port, columns @ ..]) if column(table) == "port" => {
                let unknown = |name: &&String| {
                    let name = column(name);
                    !is_vlan(&name) && name != "qos"
                };
                match columns.iter().find(unknown) {
                    Some(column) => Err(no_column(column, "a port")),
                    None => Ok(Command::ClearPort {
                        port: port.clone(),
                        if_exists,
                    }),
                }
            }
            // Rates, of which there are none to take away.
            ("remove", [table, port, ..]) if column(table) == "port" => Ok(Command::ClearPort {
                port: port.clone(),
                if_exists,
            }),
            ("get", [table, interface, what]) if column(table) == "interface" => {
                self.get(interface, what)
            }
            ("list", [table, interface])
                if column(table) == "interface"
                    && self.columns.as_deref() == Some("statistics") =>
            {
                Ok(Command::ListStatistics {
                    interface: interface.clone(),
                    if_exists,
                })
            }
            ("list", [table, ..]) if column(table) == "port" => Ok(Command::Nothing),
            ("find", [table, condition]) if column(table) == "interface" => {
                match Setting::parse(condition) {
                    Some(Setting { column, key, value })
                        if column == "options" && key.as_deref() == Some("vhost-server-path") =>
                    {
                        Ok(Command::FindSocket { path: value })
                    }
                    _ => Err(no_column(condition, "an interface")),
                }
            }
            ("find" | "create" | "destroy", [table, ..]) if is_rates(table) => Ok(Command::Nothing),
            _ => {
                let words: Vec<&str> = std::iter::once(name)
                    .chain(arguments.iter().map(String::as_str))
                    .collect();
                Err(Problem::new(format!(
                    "`{}` is not among what libvirt asks of ovs-vsctl",
                    words.join(" ")
                ))
                .help("vmlan serves libvirt by this name; use `vmlan` for all else"))
            }
        }
    }

    fn set(self, table: &str, record: &str, settings: &[String]) -> Result<Command, Problem> {
        let if_exists = self.if_exists;
        match table {
            "port" => {
                let (vlan, rest) = vlan_settings(settings)?;
                let mut rate = false;
                for setting in rest {
                    match setting.column.as_str() {
                        "qos" => rate = true,
                        // Of the rows behind `qos`: libvirt finds those by them.
                        "external_ids" => {}
                        _ => return Err(no_column(&setting.column, "a port")),
                    }
                }
                Ok(Command::SetPort {
                    port: record.to_owned(),
                    if_exists,
                    vlan,
                    rate,
                })
            }
            "interface" => {
                let (mut external_ids, mut rate) = (Vec::new(), false);
                for setting in settings {
                    let Setting { column, key, value } =
                        Setting::parse(setting).ok_or_else(|| no_setting(setting))?;
                    match (column.as_str(), key) {
                        ("external_ids", Some(key)) => external_ids.push((key, value)),
                        ("ingress_policing_rate" | "ingress_policing_burst", None) => {
                            rate |= value != "0";
                        }
                        _ => return Err(no_column(&column, "an interface")),
                    }
                }
                Ok(Command::SetInterface {
                    interface: record.to_owned(),
                    if_exists,
                    external_ids,
                    rate,
                })
            }
            _ if is_rates(table) => Ok(Command::Nothing),
            _ => Err(no_column(table, "the database")),
        }
    }

    fn get(self, interface: &str, what: &str) -> Result<Command, Problem> {
        let (interface, if_exists) = (interface.to_owned(), self.if_exists);
        let (column, key) = place(what).ok_or_else(|| no_setting(what))?;
        match (column.as_str(), key) {
            ("external_ids", Some(key)) => Ok(Command::GetExternalId {
                interface,
                key,
                if_exists,
            }),
            ("statistics", Some(key)) => Ok(Command::GetStatistic {
                interface,
                key,
                if_exists,
            }),
            ("name", None) => Ok(Command::GetName {
                interface,
                if_exists,
            }),
            _ => Err(no_column(what, "an interface")),
        }
    }
}

/// The settings that put a port into VLANs, as they were given, and the others.
fn vlan_settings(settings: &[String]) -> Result<(Vec<String>, Vec<Setting>), Problem> {
    let (mut vlan, mut rest) = (Vec::new(), Vec::new());
    for text in settings {
        let setting = Setting::parse(text).ok_or_else(|| no_setting(text))?;
        if is_vlan(&setting.column) {
            vlan.push(text.clone());
        } else {
            rest.push(setting);
        }
    }
    Ok((vlan, rest))
}

/// Whether a column of a port is about VLANs. A part of a name stands for the
/// whole, and libvirt writes `trunk` for `trunks`.
fn is_vlan(column: &str) -> bool {
    ["tag", "trunk", "trunks", "vlan_mode"].contains(&self::column(column).as_str())
}

fn is_rates(table: &str) -> bool {
    ["qos", "queue"].contains(&column(table).as_str())
}

fn refuse(setting: Option<&Setting>, what: &str) -> Result<(), Problem> {
    match setting {
        None => Ok(()),
        Some(setting) => Err(no_column(&setting.column, what)),
    }
}

fn no_column(column: &str, what: &str) -> Problem {
    Problem::new(format!("vmlan has no `{column}` of {what}"))
}

fn no_setting(text: &str) -> Problem {
    Problem::new(format!("`{text}` is no COLUMN[:KEY]=VALUE"))
}

fn no_value(option: &str) -> Problem {
    Problem::new(format!(
        "the option {option} is not among those that libvirt gives"
    ))
    .help("vmlan serves libvirt by this name; use `vmlan` for all else")
}

#[cfg(test)]
mod tests;
