//! The `vmlan` program: does one command and says how it went.

use anyhow::{Context as _, bail};
use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use hyper::Method;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use vmlan::args::{
    Cli, Command, FdbCommand, Format, HostCommand, LeaseCommand, Place, PortCommand, UplinkCommand,
    key_map,
};
use vmlan::bench::{self, BenchArgs};
use vmlan::client::{Client, ClientError, segment};
use vmlan::config::explain::Explained;
use vmlan::config::{ConfigError, HostEntry, Loaded, Located, Problem, Value};
use vmlan::daemon;
use vmlan::doctor::{self, Level};
use vmlan::follow::{self, Ended, Following};
use vmlan::libvirt;
use vmlan::model::{
    AddFdb, AddPort, ApiError, Attach, Done, ExternalIds, Fault, FlushFdb, ImportLeases, LogView,
    MAX_IMPORT, Reload,
};
use vmlan::ovs;
use vmlan::qemu::Lines;
use vmlan::report;

fn main() -> ExitCode {
    if ovs::is_called() {
        return ovs::main();
    }
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What has a place in a configuration starts with it, as a
            // compiler's.
            let text = report::message(&format!("{error:#}"));
            if error.is::<ConfigError>() || error.is::<Located>() {
                eprintln!("{text}");
            } else {
                eprintln!("vmlan: {text}");
            }
            ExitCode::from(exit_status(&error))
        }
    }
}

/// 2 for bad usage or a bad configuration, else 1.
fn exit_status(error: &anyhow::Error) -> u8 {
    let input = error.chain().any(|cause| {
        cause.is::<ConfigError>()
            || cause.is::<Problem>()
            || cause
                .downcast_ref::<ApiError>()
                .is_some_and(|refused| refused.fault == Fault::Input)
            || matches!(
                cause.downcast_ref(),
                Some(ClientError::Refused(refused)) if refused.fault == Fault::Input
            )
    });
    if input { 2 } else { 1 }
}

fn dispatch(Cli { place, command }: Cli) -> anyhow::Result<()> {
    // Whoever talks to a network believes what is in its folders.
    if !matches!(command, Command::Check { .. } | Command::Completions { .. }) {
        place.check_fallbacks()?;
    }
    let client = || Client::new(&place);
    match command {
        Command::Run {
            network_xml: Some(file),
            takeover,
            ..
        } => {
            let loaded = Loaded::read_xml(&file, place.network.as_ref())?;
            warn(&loaded);
            loaded.check_files()?;
            daemon::run(&place, loaded, takeover)
        }
        Command::Run {
            config, takeover, ..
        } => {
            let loaded = Loaded::find(config.as_deref(), place.network.as_ref())?;
            warn(&loaded);
            loaded.check_files()?;
            daemon::run(&place, loaded, takeover)
        }
        Command::Check { file } => {
            let loaded = Loaded::read(&file, place.network.as_ref())?;
            warn(&loaded);
            loaded.check_files()?;
            print(&Explained(&loaded.config).to_string())
        }
        Command::Status { format } => show(&client(), "/v1/status", format, report::status),
        Command::Ports { format } => show(&client(), "/v1/ports", format, |list: &Vec<_>| {
            report::ports(list)
        }),
        Command::Leases { format } => show(&client(), "/v1/leases", format, |list: &Vec<_>| {
            report::leases(list, &TimeZone::system())
        }),
        Command::Fdb {
            format,
            command: None,
        } => show(&client(), "/v1/fdb", format, |list: &Vec<_>| {
            report::fdb(list)
        }),
        Command::Fdb {
            format: Format { json: true },
            command: Some(_),
        } => Err(
            Problem::new("`--json` does not go with a change of the MAC table")
                .help("leave it out; `vmlan fdb --json` shows the table")
                .into(),
        ),
        Command::Fdb {
            command: Some(command),
            ..
        } => done(change_fdb(&client(), command)),
        Command::Port(command) => done(change_port(&client(), command)),
        Command::Attach { interface, keys } => {
            let keys = key_map(keys);
            let request = Attach {
                interface,
                may_exist: false,
                external_ids: ExternalIds::new(),
                keys,
            };
            done(client().send(&Method::POST, "/v1/attach", &request))
        }
        Command::Detach { interface } => {
            done(client().delete(&format!("/v1/attach/{}", segment(interface.as_str()))))
        }
        Command::Host { format, command } => hosts(&client(), format, command),
        Command::Lease(LeaseCommand::Del { address }) => {
            done(client().delete(&format!("/v1/leases/{address}")))
        }
        Command::Lease(LeaseCommand::Import { file }) => {
            let text = lease_file(&file)?;
            done(client().send(&Method::POST, "/v1/leases", &ImportLeases { text }))
        }
        Command::Qemu { name, mac } => print(&Lines::find(&place, name, mac)?.to_string()),
        Command::Uplink(UplinkCommand::Restore) => {
            print(&format!("{}\n", daemon::restore_uplink(&place)?))
        }
        Command::Cleanup => print(&format!("{}\n", daemon::clean_up(&place)?)),
        Command::Doctor { config, format } => {
            let loaded = Loaded::find(config.as_deref(), place.network.as_ref())?;
            warn(&loaded);
            examine(&place, loaded, format)
        }
        Command::Libvirt(command) => libvirt::run(&place, &command, &mut io::stdout().lock()),
        Command::Bench(args) => measure(&args),
        Command::Completions { shell } => complete(shell),
        Command::Events {
            format,
            history,
            since,
            no_follow,
        } => {
            let following = Following {
                // Whoever wants nothing new wants what there is.
                since: since.or((history || no_follow).then_some(0)),
                follow: !no_follow,
                json: format.json,
            };
            watch(&client(), following)
        }
        Command::Log { filter: None } => {
            let LogView { filter } = client().get("/v1/log")?;
            print(&format!("{filter}\n"))
        }
        Command::Log {
            filter: Some(filter),
        } => done(client().send(&Method::PUT, "/v1/log", &LogView { filter })),
        Command::Reload { dry_run } => {
            done(client().send(&Method::POST, "/v1/reload", &Reload { dry_run }))
        }
    }
}

/// The text of a lease file to import.
fn lease_file(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)
        // A device may have no end.
        .and_then(|opened| opened.take(MAX_IMPORT + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.len() as u64 > MAX_IMPORT {
        let most = MAX_IMPORT >> 20;
        let problem = Problem::new(format!("{} is over {most} MiB long", file.display()));
        return Err(problem
            .help("name a lease file of dnsmasq, or a .status file of libvirt")
            .into());
    }
    // What is no text is named by the server, line by line.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Shows what the doctor finds.
fn examine(place: &Place, loaded: Loaded, format: Format) -> anyhow::Result<()> {
    let findings = doctor::examine(place, loaded)?;
    if format.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&findings)?))?;
    } else {
        print(&report::findings(&findings))?;
    }
    let obstacles = findings.iter().filter(|f| f.level == Level::Obstacle);
    match obstacles.count() {
        0 => Ok(()),
        1 => bail!("there is an obstacle"),
        n => bail!("there are {n} obstacles"),
    }
}

/// Runs the bench and shows what came out.
fn measure(args: &BenchArgs) -> anyhow::Result<()> {
    let report = bench::run(args)?;
    if let Some(file) = &args.plot {
        fs::write(file, report.svg()?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        print(&report.text())?;
    }
    report.verdict()
}

/// Prints what completes the commands in `shell`.
fn complete(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vmlan", &mut script);
    print(&String::from_utf8(script)?)
}

/// Shows what happens.
fn watch(client: &Client, following: Following) -> anyhow::Result<()> {
    match follow::follow(client, following, &mut io::stdout().lock())? {
        Ended::Done => Ok(()),
        Ended::Stopped => {
            eprintln!("vmlan: network \"{}\" has stopped", client.network());
            Ok(())
        }
        Ended::Broken => bail!(
            "the connection to network \"{}\" has ended: vmlan was killed, or it has crashed",
            client.network()
        ),
    }
}

/// Shows what is odd about a configuration that can be used.
fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
}

/// Shows what is at `path`: as the server's JSON, or by `report`.
fn show<A: DeserializeOwned>(
    client: &Client,
    path: &str,
    format: Format,
    report: impl FnOnce(&A) -> String,
) -> anyhow::Result<()> {
    if format.json {
        let json: Json = client.get(path)?;
        return print(&format!("{}\n", serde_json::to_string_pretty(&json)?));
    }
    print(&report(&client.get(path)?))
}

fn change_port(client: &Client, command: PortCommand) -> Result<Done, ClientError> {
    match command {
        PortCommand::Add { name, kind, keys } => {
            let mut keys = key_map(keys);
            keys.insert("kind".to_owned(), Value::Text(kind.name().to_owned()));
            client.send(&Method::POST, "/v1/ports", &AddPort { name, keys })
        }
        PortCommand::Set { name, keys } => {
            client.send(&Method::PATCH, &format!("/v1/ports/{name}"), &key_map(keys))
        }
        PortCommand::Del { name } => client.delete(&format!("/v1/ports/{name}")),
    }
}

/// Shows or changes the stations that DHCP knows.
fn hosts(client: &Client, format: Format, command: Option<HostCommand>) -> anyhow::Result<()> {
    let json = match command {
        None => format.json,
        Some(HostCommand::List { format: own }) => format.json || own.json,
        Some(_) if format.json => {
            let problem = Problem::new("`--json` does not go with a change of the hosts");
            return Err(problem.help("`vmlan host --json` shows them").into());
        }
        Some(HostCommand::Add {
            mac,
            words,
            lease_time,
            set,
            ignore,
        }) => {
            let entry = HostCommand::entry(mac, words)?;
            let entry = HostEntry {
                lease_time,
                set: set.into_iter().collect(),
                ignore,
                ..entry
            };
            return done(client.send(&Method::POST, "/v1/dhcp/hosts", &entry));
        }
        Some(HostCommand::Del { host }) => {
            let path = format!("/v1/dhcp/hosts/{}", segment(&host));
            return done(client.delete(&path));
        }
    };
    let path = "/v1/dhcp/hosts";
    show(client, path, Format { json }, |list: &Vec<_>| {
        report::hosts(list)
    })
}

fn change_fdb(client: &Client, command: FdbCommand) -> Result<Done, ClientError> {
    match command {
        FdbCommand::Add { mac, port, vlan } => {
            let vlan = vlan.unwrap_or_default();
            client.send(&Method::POST, "/v1/fdb", &AddFdb { mac, port, vlan })
        }
        FdbCommand::Del { mac, vlan: None } => client.delete(&format!("/v1/fdb/{mac}")),
        FdbCommand::Del {
            mac,
            vlan: Some(vlan),
        } => client.delete(&format!("/v1/fdb/{mac}?vlan={vlan}")),
        FdbCommand::Flush { port } => {
            client.send(&Method::POST, "/v1/fdb/flush", &FlushFdb { port })
        }
    }
}

/// Says what was done.
fn done(result: Result<Done, ClientError>) -> anyhow::Result<()> {
    print(&format!("{}\n", report::message(&result?.message)))
}

/// Prints `text`. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmlan::config::Places;

    #[test]
    fn bad_input_exits_2_and_a_failure_1() {
        let problem = Problem::new("x");
        let config = ConfigError::unreadable("x".as_ref(), problem.clone());
        for error in [
            anyhow::Error::new(config),
            anyhow::Error::new(problem.clone()),
            anyhow::Error::new(ApiError::input("x")),
            anyhow::Error::new(ClientError::Refused(ApiError::input("x"))),
            Err::<(), _>(ApiError::input("x")).context("y").unwrap_err(),
        ] {
            assert_eq!(exit_status(&error), 2, "{error:?}");
        }
        for error in [
            anyhow::anyhow!("x"),
            anyhow::Error::new(ApiError::runtime("x")),
            anyhow::Error::new(ClientError::Refused(ApiError::runtime("x"))),
            anyhow::Error::new(io::Error::other("x")),
            anyhow::Error::new(Places::default().port_error(&"x".parse().unwrap(), problem)),
        ] {
            assert_eq!(exit_status(&error), 1, "{error:?}");
        }
    }
}
