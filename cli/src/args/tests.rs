//! The command line as it is typed.

use super::*;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_is_there() {
    for line in [
        "vmlan run",
        "vmlan run --config x.toml --network lab",
        "vmlan --network lab check x.toml",
        "vmlan run --network-xml x.xml",
        "vmlan libvirt adopt default --dry-run",
        "vmlan libvirt adopt Lab_1 --network lab --connect qemu:///system",
        "vmlan libvirt release default",
        "vmlan status --json",
        "vmlan ports --json --run-dir /x --state-dir /y",
        "vmlan port add lan0 --kind packet interface=eth1 offload=false",
        "vmlan port set lan0 offload=true",
        "vmlan port del lan0",
        "vmlan attach vnet0",
        "vmlan attach vnet0 offload=true",
        "vmlan detach vnet0",
        "vmlan fdb",
        "vmlan fdb --json",
        "vmlan fdb --network lab flush",
        "vmlan fdb add 52:54:00:00:00:01 lan0 --vlan 10",
        "vmlan fdb del 52:54:00:00:00:01",
        "vmlan fdb flush --port lan0",
        "vmlan leases --json",
        "vmlan lease del 192.168.122.4",
        "vmlan completions bash",
        "vmlan host add 52:54:00:00:00:01",
        "vmlan host add 52:54:00:*:*:* db --set red --set blue",
        "vmlan host add 52:54:00:00:00:01 192.168.122.9 db --lease-time 2h",
        "vmlan host del db",
        "vmlan host --json",
        "vmlan host list --json",
        "vmlan lease import /var/lib/misc/dnsmasq.leases",
        "vmlan qemu",
        "vmlan qemu web --mac 52:54:00:00:00:01",
        "vmlan uplink restore --network lan",
        "vmlan reload",
        "vmlan reload --dry-run",
        "vmlan doctor",
        "vmlan doctor --config x.toml --json",
        "vmlan bench",
        "vmlan bench --work vmm,tcp --peers vmlan,bridge --rounds 3 --seconds 0.5",
        "vmlan bench --json --plot x.svg",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn bad_usage_exits_2_and_names_the_mend() {
    for (line, mend) in [
        ("vmlan", "Usage"),
        (
            "vmlan run --config a --network-xml b",
            "cannot be used with",
        ),
        ("vmlan libvirt adopt", "required"),
        ("vmlan run --network Lab", "a-z, 0-9 and -"),
        ("vmlan port add x --kind tup", "did you mean \"tap\"?"),
        (
            "vmlan port add x --kind tap ofload=true",
            "did you mean `offload`?",
        ),
        ("vmlan port set x", "KEY=VALUE"),
        ("vmlan attach a/b", "printable characters"),
        ("vmlan fdb add ff:ff:ff:ff:ff:ff lan0", "group address"),
        ("vmlan fdb add 52:54:00:00:00:01 lan0 --vlan 4095", "4094"),
        ("vmlan lease del here", "invalid value"),
        ("vmlan host add", "required"),
        ("vmlan host add 52:54:00:00:00:01 a b c", "unexpected value"),
        ("vmlan bench --work all", "possible values: vmm"),
        ("vmlan bench --seconds 0", "from 0.1 to 60"),
        ("vmlan bench --rounds 0", "1..=100"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(mend), "{line}: {error}");
    }
}

#[test]
fn a_folder_that_is_named_is_taken() {
    let cli = parse("vmlan status --run-dir /x --state-dir /y").unwrap();
    assert_eq!(cli.place.run_dir(), PathBuf::from("/x"));
    assert_eq!(cli.place.state_dir(), PathBuf::from("/y"));
    assert!(cli.place.network().is_default());
}
