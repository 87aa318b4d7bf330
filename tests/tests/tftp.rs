//! Boot files by TFTP, fetched by real clients on tap ports.

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vmlan_tests::dhcp_client::udhcpc;
use vmlan_tests::namespace::Namespace;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

const GATEWAY: &str = "192.168.122.1";
/// Where requests go.
const SERVER: (&str, u16) = (GATEWAY, 69);
const MAC: &str = "52:54:00:00:00:01";

/// Within which a large file has to be there, on a busy machine.
const LARGE: Duration = Duration::from_secs(120);

/// A switch that serves a folder, a station with a lease on it, and the
/// folder that the station puts files in.
struct Bed {
    switch: Switch,
    station: Namespace,
    folder: tempfile::TempDir,
}

impl Bed {
    fn new(keys: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("vt-{}-", std::process::id()))
            .tempdir()?;
        fs::create_dir(folder.path().join("root"))?;
        fs::create_dir(folder.path().join("got"))?;
        let switch = Switch::start(&config(&folder.path().join("root"), keys))?;
        let station = switch.container("c1", MAC)?;
        udhcpc(&station, "")?;
        Ok(Self {
            switch,
            station,
            folder,
        })
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Puts a file for everybody into the root.
    fn serve(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(&path, bytes)?;
        Ok(fs::set_permissions(&path, Permissions::from_mode(0o644))?)
    }

    /// What `client`, a shell command run in the folder for files, makes of
    /// the file `got` there.
    fn fetch(&self, client: &str) -> Result<Vec<u8>> {
        let got = self.folder.path().join("got/got");
        let _ = fs::remove_file(&got);
        let script = format!(
            "cd {} && {client}",
            self.folder.path().join("got").display()
        );
        self.station
            .shell(&script, LARGE)?
            .success()
            .with_context(|| format!("{client}\n{}", self.switch.log()))?;
        fs::read(got).with_context(|| client.to_owned())
    }

    /// A socket of the station, which talks to the server's port.
    fn socket(&self) -> Result<UdpSocket> {
        self.station.enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(wait::SOON))?;
            Ok(socket)
        })
    }
}

fn config(root: &Path, keys: &str) -> String {
    format!(
        "{ISOLATED}\n[tftp]\nroot = {root:?}\n{keys}\n{}",
        taps(&["c1"])
    )
}

/// Bytes without a pattern that a wrong order of blocks would keep.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}

fn request(name: &[u8], options: &[&str]) -> Vec<u8> {
    let mut packet = b"\0\x01".to_vec();
    packet.extend(name);
    packet.extend(b"\0octet\0");
    for option in options {
        packet.extend(option.as_bytes());
        packet.push(0);
    }
    packet
}

#[test]
fn every_client_gets_the_file_whole() -> Result<()> {
    let bed = Bed::new("")?;
    let clients = [
        format!("busybox tftp -g -r boot/file -l got {GATEWAY}"),
        format!("busybox tftp -b 1400 -g -r boot/file -l got {GATEWAY}"),
        format!("curl -sS -o got tftp://{GATEWAY}/boot/file"),
        format!("curl -sS --tftp-blksize 1468 -o got tftp://{GATEWAY}//boot/file"),
        format!("curl -sS --tftp-no-options -o got tftp://{GATEWAY}/boot/file"),
        format!("tftp -m binary {GATEWAY} -c get '\\boot\\file' got"),
        format!("atftp -g -r boot/file -l got {GATEWAY}"),
        format!(
            "atftp --option 'blksize 1400' --option 'windowsize 8' -g -r boot/file -l got {GATEWAY}"
        ),
    ];
    let mut files = 0;
    for length in [0, 1, 511, 512, 1468, 300_001] {
        let bytes = noise(length);
        bed.serve("boot/file", &bytes)?;
        for client in &clients {
            // These fail at the end of an empty file.
            if length == 0 && (client.starts_with("curl") || client.starts_with("atftp")) {
                continue;
            }
            files += 1;
            let got = bed.fetch(client)?;
            ensure!(got == bytes, "{client}: {} of {length} bytes", got.len());
        }
    }
    let tftp = &bed.switch.json("status")?["tftp"];
    assert_eq!(tftp["sent"], files, "{tftp}");
    assert_eq!((&tftp["failed"], &tftp["refused"]), (&0.into(), &0.into()));
    let log = bed.switch.log();
    assert!(log.contains("has got \"boot/file\", 300001 bytes"), "{log}");
    Ok(())
}

#[test]
fn text_lines_arrive_as_they_are_written() -> Result<()> {
    let bed = Bed::new("")?;
    let text = "first\nsecond\rthird\n".repeat(100);
    bed.serve("text", text.as_bytes())?;
    let got = bed.fetch(&format!("tftp -m ascii {GATEWAY} -c get text got"))?;
    assert_eq!(String::from_utf8(got)?, text);
    Ok(())
}

#[test]
fn block_numbers_roll_over_in_a_large_file() -> Result<()> {
    let bed = Bed::new("")?;
    // 131,072 blocks of 512 bytes: the numbers start anew twice.
    let bytes = noise(64 << 20);
    bed.serve("large", &bytes)?;
    let curl = format!("curl -sS --tftp-blksize 512 -o got tftp://{GATEWAY}/large");
    ensure!(bed.fetch(&curl)? == bytes, "not the same");
    let atftp = format!(
        "atftp --option 'blksize 512' --option 'windowsize 16' -g -r large -l got {GATEWAY}"
    );
    ensure!(bed.fetch(&atftp)? == bytes, "not the same in windows");
    Ok(())
}

#[test]
fn nothing_but_files_of_the_root_for_everybody_is_served() -> Result<()> {
    let bed = Bed::new("")?;
    let root = bed.root();
    bed.serve("file", b"inside")?;
    let secret = bed.folder.path().join("secret");
    fs::write(&secret, "outside")?;
    fs::set_permissions(&secret, Permissions::from_mode(0o644))?;
    symlink(&secret, root.join("absolute"))?;
    symlink("../secret", root.join("relative"))?;
    symlink("/", root.join("all"))?;
    symlink("file", root.join("inside"))?;
    bed.serve("private", b"private")?;
    fs::set_permissions(root.join("private"), Permissions::from_mode(0o640))?;
    let all = Mode::from_raw_mode(0o666);
    mknodat(CWD, root.join("fifo"), FileType::Fifo, all, 0)?;
    mknodat(
        CWD,
        root.join("zero"),
        FileType::CharacterDevice,
        all,
        makedev(1, 5),
    )?;
    for name in ["fifo", "zero"] {
        fs::set_permissions(root.join(name), Permissions::from_mode(0o666))?;
    }
    let outside = secret.display().to_string();
    let (long, deep) = ("x".repeat(1400), "../".repeat(40) + "etc/passwd");
    let socket = bed.socket()?;
    let ask = |packet: &[u8]| -> Result<Vec<u8>> {
        socket.send_to(packet, SERVER)?;
        let mut buffer = [0; 2000];
        let (length, _) = socket.recv_from(&mut buffer)?;
        Ok(buffer[..length].to_vec())
    };
    for (name, code) in [
        ("../secret", 2),
        ("..\\secret", 2),
        ("/../secret", 2),
        ("sub/../../secret", 1),
        (&deep, 2),
        (&outside, 1),
        ("/etc/passwd", 1),
        ("absolute", 2),
        ("relative", 2),
        ("all/etc/passwd", 2),
        ("private", 2),
        ("fifo", 2),
        ("zero", 2),
        (".", 2),
        ("/", 2),
        ("none", 1),
        (&long, 1),
        // The name ends at the NUL, and what follows is no mode.
        ("file\0/../../secret", 4),
    ] {
        let answer = ask(&request(name.as_bytes(), &["tsize", "0"]))?;
        assert_eq!(answer[..4], [0, 5, 0, code], "{name:?}: {answer:?}");
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("outside") && !text.contains('/'), "{text}");
    }
    // Writing, and what no client sends.
    for packet in [
        &b"\0\x02new\0octet\0"[..],
        b"\0\x03\0\x01data",
        b"\0\x09",
        b"x",
    ] {
        let answer = ask(packet)?;
        assert_eq!(answer[..4], [0, 5, 0, 4], "{packet:?}: {answer:?}");
    }
    assert!(!root.join("new").exists());
    // Links that stay inside do lead there.
    let answer = ask(&request(b"inside", &[]))?;
    assert_eq!(answer, b"\0\x03\0\x01inside");
    let log = bed.switch.log();
    assert!(
        log.contains("does not get \"../secret\": it leads out"),
        "{log}"
    );
    assert_eq!(bed.switch.json("status")?["tftp"]["refused"], 22);
    Ok(())
}

#[test]
fn a_request_that_comes_again_and_again_has_one_answer() -> Result<()> {
    let bed = Bed::new("")?;
    bed.serve("file", &noise(3000))?;
    let socket = bed.socket()?;
    for _ in 0..50 {
        socket.send_to(&request(b"file", &[]), SERVER)?;
    }
    let mut buffer = [0; 2000];
    let (_, transfer) = socket.recv_from(&mut buffer)?;
    let running = bed.switch.json("status")?["tftp"]["running"].clone();
    assert_eq!(running, 1);
    // An error ends it.
    socket.send_to(b"\0\x05\0\0enough\0", transfer)?;
    wait::until("the transfer's end", wait::SOON, || {
        let tftp = bed.switch.json("status")?["tftp"].clone();
        ensure!(tftp["running"] == 0 && tftp["failed"] == 1, "{tftp}");
        Ok(())
    })?;
    let log = bed.switch.log();
    assert!(log.contains("ends \"file\": error 0, \"enough\""), "{log}");
    Ok(())
}

#[test]
fn a_reload_turns_it_on_and_off_and_a_transfer_outlives_what_does_not_concern_it() -> Result<()> {
    let bed = Bed::new("")?;
    let bytes = noise(1200);
    bed.serve("file", &bytes)?;
    let socket = bed.socket()?;
    socket.send_to(&request(b"file", &[]), SERVER)?;
    let mut buffer = [0; 2000];
    let (length, transfer) = socket.recv_from(&mut buffer)?;
    let mut got = buffer[4..length].to_vec();

    // Another folder for requests from now on.
    let other = bed.folder.path().join("other");
    fs::create_dir(&other)?;
    bed.switch
        .write_config(&config(&other, "max-blksize = 600\nlowercase = true"))?;
    let said = bed.switch.cli("reload")?.success()?;
    assert!(said.contains("TFTP settings changed"), "{said}");
    bed.switch.write_config(
        &config(&other, "max-blksize = 600\nlowercase = true").replace("\"vm\"", "\"lan\""),
    )?;
    bed.switch.cli("reload")?.success()?;
    for block in 1..=3_u8 {
        socket.send_to(&[0, 4, 0, block], transfer)?;
        if block < 3 {
            let length = socket.recv(&mut buffer)?;
            got.extend(&buffer[4..length]);
        }
    }
    assert_eq!(got, bytes);

    fs::write(other.join("next.img"), "next")?;
    fs::set_permissions(other.join("next.img"), Permissions::from_mode(0o644))?;
    let get = format!("curl -sS --tftp-blksize 1400 -o got tftp://{GATEWAY}/NEXT.IMG");
    assert_eq!(bed.fetch(&get)?, b"next");

    bed.switch
        .write_config(&(ISOLATED.to_owned() + &taps(&["c1"])))?;
    let said = bed.switch.cli("reload")?.success()?;
    assert!(said.contains("TFTP is off now"), "{said}");
    assert!(bed.switch.json("status")?.get("tftp").is_none());
    let listening = bed.switch.namespace.run("ss -Huln sport = 69")?;
    assert_eq!(listening, "");

    bed.switch.write_config(&config(&other, ""))?;
    let said = bed.switch.cli("reload")?.success()?;
    assert!(said.contains("TFTP is on now"), "{said}");
    let get = format!("curl -sS -o got tftp://{GATEWAY}/next.img");
    assert_eq!(bed.fetch(&get)?, b"next");
    Ok(())
}

#[test]
fn nobody_but_the_guests_is_served() -> Result<()> {
    let bed = Bed::new("")?;
    bed.serve("file", b"inside")?;
    // A LAN by which the host could be reached at the gateway's address.
    let lan = Namespace::new("lan")?;
    lan.veth("eth0", &bed.switch.namespace, "eth1")?;
    lan.run(&format!(
        "ip addr add 10.0.0.2/24 dev eth0 && ip route add {GATEWAY} via 10.0.0.1"
    ))?;
    bed.switch
        .namespace
        .run("ip addr add 10.0.0.1/24 dev eth1")?;
    lan.ping(GATEWAY)?;
    for address in [GATEWAY, "10.0.0.1"] {
        let refused = lan.enter(|| {
            let socket = UdpSocket::bind("10.0.0.2:0")?;
            socket.set_read_timeout(Some(wait::SOON))?;
            socket.connect((address, 69))?;
            socket.send(&request(b"file", &[]))?;
            Ok(socket.recv(&mut [0; 600]).map_err(|error| error.kind()))
        })?;
        assert_eq!(
            refused,
            Err(std::io::ErrorKind::ConnectionRefused),
            "{address}"
        );
    }
    let get = format!("curl -sS -o got tftp://{GATEWAY}/file");
    assert_eq!(bed.fetch(&get)?, b"inside");
    Ok(())
}

#[test]
fn metrics_count_what_was_sent() -> Result<()> {
    let bed = Bed::new("")?;
    bed.serve("file", &noise(5000))?;
    bed.fetch(&format!("curl -sS -o got tftp://{GATEWAY}/file"))?;
    let metrics = bed.switch.namespace.run(&format!(
        "curl -sS --unix-socket {} http://vmlan/metrics",
        bed.switch.run_file("control.sock").display()
    ))?;
    for line in [
        "vmlan_tftp_bytes_total 5000",
        "vmlan_tftp_requests_total{result=\"sent\"} 1",
        "vmlan_tftp_running 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    Ok(())
}

#[test]
fn a_root_that_is_not_there_is_named_before_anything_starts() -> Result<()> {
    let switch = Switch::prepare(&config(Path::new("/nonexistent"), ""))?;
    for refused in [switch.refuse()?, switch.cli("check CONFIG")?] {
        assert_eq!(refused.status, 2, "{}", refused.stderr);
        assert!(
            refused
                .stderr
                .contains("lab.toml:9:8: cannot find /nonexistent"),
            "{}",
            refused.stderr
        );
    }
    Ok(())
}
