//! `vmlan-bridge-helper`, setuid root, started by the user `nobody`: by qemu,
//! and by those who try what else it would do.

use anyhow::{Context, Result, ensure};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use vmlan_tests::guest::Guest;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, program};
use vmlan_tests::{target_dir, wait};

/// Id of `nobody` and `nogroup` on Debian.
const NOBODY: u32 = 65_534;

const MAC: &str = "52:54:00:00:04:01";

/// Gives the user `nobody` the helper, the guest's files and the ACL at their
/// places, and the network's run folder at /run/vmlan; then runs the arguments
/// as that user. The mounts are its own.
const INSIDE: &str = r#"
set -e
exec 4</etc/ld.so.cache
mount -t tmpfs none /etc
cat <&4 >/etc/ld.so.cache
exec 4<&-
mkdir /etc/qemu
printf "%b" "$ACL" >/etc/qemu/bridge.conf
eval "$THEN"
mount -t tmpfs none /run
mkdir /run/vmlan
mount --bind "$NETWORKS" /run/vmlan
cp "$HELPER" /run/vmlan-bridge-helper
chmod 4755 /run/vmlan-bridge-helper
cp "$GUEST/vmlinuz" "$GUEST/initramfs.gz" /run/
exec setpriv --reuid="$NUMBER" --regid="$NUMBER" --clear-groups --inh-caps=-all -- "$@"
"#;

/// A command that runs what is added to it as `nobody`, with this ACL, after
/// the shell script `then` has changed something about the ACL.
fn as_nobody(switch: &Switch, acl: &str, then: &str) -> Result<Command> {
    as_user(switch, NOBODY, acl, then)
}

/// [`as_nobody`] as the user and group with this number.
fn as_user(switch: &Switch, user: u32, acl: &str, then: &str) -> Result<Command> {
    let networks = switch.run_file("..").canonicalize()?;
    let helper = program()?.with_file_name("vmlan-bridge-helper");
    ensure!(helper.exists(), "no {}: run tests/run.sh", helper.display());
    let mut command = switch.namespace.command("sh");
    command
        .args(["-c", INSIDE, "sh"])
        .env("NUMBER", user.to_string())
        .env("ACL", acl)
        .env("THEN", then)
        .env("NETWORKS", networks)
        .env("HELPER", helper)
        .env("GUEST", target_dir().join("guest").canonicalize()?);
    Ok(command)
}

/// Runs the helper with a socket as its standard input, and gives what it says
/// and the file that it handed over.
fn call(
    switch: &Switch,
    acl: &str,
    then: &str,
    arguments: &str,
) -> Result<(Output, Option<OwnedFd>)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = as_nobody(switch, acl, then)?;
    let output = command
        .arg("/run/vmlan-bridge-helper")
        .args(arguments.split(' '))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .output()?;
    ours.set_nonblocking(true)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // Where nothing was sent, the socket has ended.
    let _ = recvmsg(
        &ours,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    );
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    Ok((output, file))
}

fn no_tap(switch: &Switch) -> Result<()> {
    let netdevs = switch.namespace.netdevs()?;
    ensure!(
        !netdevs.iter().any(|it| it.starts_with("tap")),
        "{netdevs:?}"
    );
    Ok(())
}

#[test]
fn an_unprivileged_guest_boots_where_the_acl_allows_it_and_not_where_not() -> Result<()> {
    let switch = Switch::start(ISOLATED)?;
    let device = format!("virtio-net-pci,netdev=lan,mac={MAC},romfile=");
    let netdev = "bridge,id=lan,br=vmlan0,helper=/run/vmlan-bridge-helper";
    let nic = ["-netdev", netdev, "-device", &device];
    let qemu = |acl| -> Result<Command> {
        let mut command = as_nobody(&switch, acl, "")?;
        command.arg("qemu-system-x86_64");
        Ok(command)
    };
    let refused = Guest::boot_by(qemu("allow vmlan1")?, Path::new("/run"), MAC, &nic);
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("access to vmlan0 is denied"), "{refused}");
    no_tap(&switch)?;

    let allowed = qemu("# ours\\nallow vmlan0\\n")?;
    let guest = Guest::boot_by(allowed, Path::new("/run"), MAC, &nic)?;
    guest.lease()?;
    guest.ping("192.168.122.1")?;
    let port = switch.port("tap0")?;
    assert_eq!(port["kind"], "packet");
    assert_eq!(switch.station(MAC)?["port"], "tap0");
    // With offloads, so by the vnet header that qemu has asked for.
    let features = guest.run("cat /sys/class/net/eth0/device/features")?;
    assert_eq!(features.trim().as_bytes().get(11), Some(&b'1'), "HOST_TSO4");
    drop(guest);
    wait::until("the port to go", wait::SOON, || {
        ensure!(switch.port("tap0").is_err(), "still there");
        no_tap(&switch)
    })
}

#[test]
fn each_of_the_lines_that_vmlan_qemu_prints_attaches_a_guest() -> Result<()> {
    let switch = Switch::start(&format!("{ISOLATED}[attach]\nmatch = [\"vnet*\"]\n"))?;
    let vmlan = program()?;
    let lines = |name: &str| -> Result<String> {
        // As root, with the helper beside the program.
        let mut command = as_user(&switch, 0, "", "")?;
        command.args([
            "sh",
            "-c",
            r#"cp "$1" /run/program && exec /run/program qemu "$2" --network lab"#,
            "sh",
        ]);
        let output = command.arg(&vmlan).arg(name).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    for (name, user, port) in [
        ("one", 0, "stream0"),
        ("two", 0, "vnet0"),
        ("three", NOBODY, "tap0"),
    ] {
        let text = lines(name)?;
        let netdev = match port {
            "stream0" => "-netdev stream",
            "vnet0" => "-netdev tap",
            _ => "-netdev bridge",
        };
        let at = text.find(netdev).with_context(|| text.clone())?;
        let words = text[at..].split_whitespace().filter(|word| *word != "\\");
        let nic: Vec<&str> = words.take(4).collect();
        let mac = nic[3].rsplit('=').next().context("no MAC")?;
        let mut command = as_user(&switch, user, "allow vmlan0", "")?;
        command.args(["sh", "-c", r#"exec qemu-system-x86_64 "$@""#, "sh"]);
        let guest = Guest::boot_by(command, Path::new("/run"), mac, &nic)?;
        guest.lease()?;
        assert_eq!(switch.station(mac)?["port"], port, "{text}");
    }
    Ok(())
}

#[test]
fn a_tap_is_handed_over_that_is_a_port_of_the_network() -> Result<()> {
    // Another network's pattern must not be faster, its own may.
    let switch = Switch::start(&format!(
        "{ISOLATED}mtu = 1400\n[attach]\nmatch = [\"tap*\"]\n"
    ))?;
    let (output, file) = call(&switch, "allow all", "", "--fd=0 --br=vmlan0")?;
    assert!(output.status.success(), "{output:?}");
    let file = file.context("no file")?;
    assert_eq!(switch.port("tap0")?["state"], "up");
    let mtu = switch.namespace.run("cat /sys/class/net/tap0/mtu")?;
    assert_eq!(mtu.trim(), "1400");
    drop(file);
    wait::until("the port to go", wait::SOON, || {
        ensure!(switch.port("tap0").is_err(), "still there");
        no_tap(&switch)
    })
}

#[test]
fn what_is_not_in_order_is_refused_and_leaves_nothing() -> Result<()> {
    let switch = Switch::start(ISOLATED)?;
    let acl = "/etc/qemu/bridge.conf";
    let fine = "--use-vnet --fd=0 --br=vmlan0";
    for (text, then, arguments, why) in [
        ("allow all", "", "--fd=9 --br=vmlan0", "--fd=9 is not open"),
        (
            "allow all",
            "",
            "--fd=1 --br=vmlan0",
            "not a connected unix socket",
        ),
        (
            "allow all",
            "",
            "--fd=0 --br=../vmlan0",
            "no name of an interface",
        ),
        (
            "allow all",
            "",
            "--fd=0 --br=0123456789abcdef",
            "no name of",
        ),
        (
            "allow all",
            "",
            "--fd=0 --br=vmlan0 --run-dir=/tmp",
            "usage",
        ),
        ("allow all", "", "--fd=0 --br=lo", "no vmlan network"),
        (
            "allow vmlan1",
            "",
            "--fd=0 --br=lo",
            "access to lo is denied",
        ),
        (
            "allow all\\ndeny vmlan0",
            "",
            fine,
            "access to vmlan0 is denied",
        ),
        ("", "", fine, "access to vmlan0 is denied"),
        (
            "allow all",
            &format!("rm {acl}"),
            fine,
            "cannot use the ACL",
        ),
        (
            "allow all",
            &format!("chmod 666 {acl}"),
            fine,
            "others than root",
        ),
        (
            "allow all",
            &format!("chown nobody {acl} 2>/dev/null || chown 65534 {acl}"),
            fine,
            "others than root",
        ),
        (
            "allow all",
            &format!("chmod 600 {acl}"),
            fine,
            "Permission denied",
        ),
        (
            "allow all",
            &format!("head -c 9999999 /dev/zero >{acl}"),
            fine,
            "64 KiB",
        ),
        (
            "allow all",
            &format!("rm {acl}; mkfifo {acl}"),
            fine,
            "not a regular file",
        ),
        ("allow all\\nalow vmlan0", "", fine, "bridge.conf:2"),
        (
            "allow all\\ninclude /etc/qemu/bridge.conf",
            "",
            fine,
            "includes itself",
        ),
        // In a file for another group, which the caller cannot read.
        (
            "include /etc/qemu/alice.conf",
            "echo allow all >/etc/qemu/alice.conf; chmod 640 /etc/qemu/alice.conf",
            fine,
            "access to vmlan0 is denied",
        ),
    ] {
        let (output, file) = call(&switch, text, then, arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
        assert!(said.contains(why), "{text} {then} {arguments}: {said}");
        assert!(file.is_none(), "{arguments}");
        no_tap(&switch)?;
    }

    // In a file for the caller's group.
    let own = "echo allow vmlan0 >/etc/qemu/own.conf; chown 0:65534 /etc/qemu/own.conf; \
               chmod 640 /etc/qemu/own.conf";
    let (output, file) = call(&switch, "include /etc/qemu/own.conf", own, fine)?;
    assert!(output.status.success() && file.is_some(), "{output:?}");
    Ok(())
}

#[test]
fn without_a_running_network_there_is_no_tap() -> Result<()> {
    let mut switch = Switch::start(ISOLATED)?;
    switch.kill();
    let (output, file) = call(&switch, "allow all", "", "--fd=0 --br=vmlan0")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("is `vmlan run` running?"), "{said}");
    assert!(file.is_none());
    no_tap(&switch)
}
