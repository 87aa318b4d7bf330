//! What the DHCP server tells clients, beside what a real dnsmasq with the equal
//! configuration tells them.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;
use vmlan_dhcp::options::{self, Boot, Scope, Setting, Value};
use vmlan_dhcp::{Answer, Config, MacAddr, Origin, Sender, Server};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::process::Process;
use vmlan_tests::station::Station;
use vmlan_tests::wait;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);
/// Where the messages come from.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 200);

const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const INFORM: u8 = 8;

const NOW: u64 = 1_700_000_000;

/// Options that differ, as docs/dhcp-options.md says: 108 goes only to clients
/// that name it, 61 comes back (RFC 6842).
const KNOWN: &[(&str, u8)] = &[("nothing said", 108), ("a client identifier", 61)];

/// dnsmasq's configuration beside the range; [`config`] is ours.
const DNSMASQ: &str = "port=53\ninterface=lan0\nbind-interfaces\nno-resolv\nno-hosts\nno-ping\n\
    leasefile-ro\nuser=root\npid-file\ndhcp-authoritative\ndhcp-rapid-commit\ndomain=vm\n\
    dhcp-range=192.168.122.2,192.168.122.254,1h\n\
    dhcp-option=vendor:MSFT,2,1i\n\
    dhcp-option=vi-encap:3561,1,\"ab\"\n\
    dhcp-boot=pxelinux.0,tftp,192.168.122.9\n\
    dhcp-match=set:efi,option:client-arch,7\n\
    dhcp-boot=tag:efi,ipxe.efi,tftp,192.168.122.9\n\
    log-facility=-\nlog-dhcp\n";

/// Options by name or number, with the same text for both servers.
const OPTIONS: &[(&str, &str)] = &[
    ("time-offset", "-3600"),
    ("log-server", "10.0.0.1,0.0.0.0"),
    ("boot-file-size", "300"),
    ("root-path", "/srv/a,b"),
    ("ip-forward-enable", "1"),
    ("policy-filter", "10.0.0.1,255.255.255.0"),
    ("default-ttl", "64"),
    ("static-route", "10.0.0.9,10.0.0.1"),
    ("arp-timeout", "60"),
    ("ntp-server", "0.0.0.0"),
    ("netbios-nodetype", "8"),
    ("netbios-scope", "ab:cd:ef"),
    ("T1", "10m"),
    ("posix-timezone", "EST5EDT4,M3.2.0/02:00,M11.1.0/02:00"),
    ("ipv6-only", "1800"),
    (
        "domain-search",
        "eng.example.org,sales.example.org,.,org,example.org",
    ),
    ("sip-server", "10.0.0.1,10.0.0.2"),
    (
        "classless-static-route",
        "10.0.0.0/8,192.168.122.1,10.1.2.0/23,10.0.0.9",
    ),
    ("224", "300"),
    ("225", "5s"),
    ("226", "7i"),
    ("227", "hello, world"),
    ("228", "01:02:ff"),
    ("229", "10.0.0.1,0.0.0.0"),
    ("230", "10.0.0.0/8,10.0.0.1"),
    ("231", "70000"),
    ("232", "a:b"),
    ("233", "-5"),
    ("235", "/tmp/x"),
];

/// The text of an option in [`OPTIONS`] for dnsmasq.
fn line((key, value): &(&str, &str)) -> String {
    match key.parse::<u8>() {
        Ok(code) => format!("dhcp-option={code},{value}\n"),
        Err(_) => format!("dhcp-option=option:{key},{value}\n"),
    }
}

fn config() -> Result<Config> {
    let range = Ipv4Addr::new(192, 168, 122, 2)..=Ipv4Addr::new(192, 168, 122, 254);
    let mut config = Config::new(SERVER, "192.168.122.0/24".parse()?, range);
    config.domain = Some("vm".to_owned());
    config.rapid_commit = true;
    for (key, value) in OPTIONS {
        let option = options::encode(key, &Value::Text((*value).to_owned()), SERVER)?;
        config.options.push(option.into());
    }
    for (scope, code, value) in [
        (Scope::Vendor("MSFT".to_owned()), 2, vec![0, 0, 0, 1]),
        (Scope::Enterprise(3561), 1, b"ab".to_vec()),
    ] {
        let setting = Setting::from((code, value));
        config.options.push(Setting { scope, ..setting });
    }
    let boot = |architectures, filename: &str| Boot {
        architectures,
        filename: Some(filename.to_owned()),
        next_server: Some(Ipv4Addr::new(192, 168, 122, 9)),
        server_name: Some("tftp".to_owned()),
        ..Boot::default()
    };
    config.boots = vec![
        boot(Vec::new(), "pxelinux.0"),
        boot(vec![7.into()], "ipxe.efi"),
    ];
    Ok(config)
}

/// What a client is, and the options that it sends.
type Case<'a> = (&'static str, &'a [(u8, &'a [u8])]);

/// dnsmasq behind a link, and a socket at the link's other end.
struct Dnsmasq {
    socket: UdpSocket,
    process: Process,
    _namespaces: [Namespace; 2],
}

impl Dnsmasq {
    fn start(lines: &str) -> Result<Self> {
        let (server, client) = (Namespace::new("dnsmasq")?, Namespace::new("client")?);
        server.veth("lan0", &client, "eth0")?;
        server.run(&format!("ip addr add {SERVER}/24 brd + dev lan0"))?;
        client.run(&format!("ip addr add {CLIENT}/24 brd + dev eth0"))?;
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(format!("{DNSMASQ}{lines}").as_bytes())?;
        let process = server.spawn(&format!(
            "exec dnsmasq --keep-in-foreground --conf-file={}",
            file.path().display()
        ))?;
        wait::until("dnsmasq", wait::SOON, || {
            ensure!(process.stderr().contains("DHCP, IP range"), "no range yet");
            Ok(())
        })
        .with_context(|| process.stderr())?;
        let socket = client.enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:68")?;
            socket.set_broadcast(true)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            Ok(socket)
        })?;
        Ok(Self {
            socket,
            process,
            _namespaces: [server, client],
        })
    }

    fn ask(&self, message: &[u8]) -> Result<Vec<u8>> {
        self.socket.send_to(message, "192.168.122.255:67")?;
        let mut reply = vec![0; 2000];
        let length = self.socket.recv(&mut reply);
        reply.truncate(length.with_context(|| self.process.stderr())?);
        Ok(reply)
    }
}

/// A client's message that wants its reply by broadcast, a REQUEST that of a
/// client that was here before.
fn message(client: u8, kind: u8, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0, 9, 9, 9, client, 0, 0, 0x80, 0];
    bytes.resize(28, 0);
    bytes.extend([0x52, 0x54, 0, 0, 0, client]);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99, 53, 1, kind]);
    for (code, value) in options {
        bytes.extend([*code, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
        bytes.extend_from_slice(value);
    }
    if kind == REQUEST {
        bytes.extend([50, 4, 192, 168, 122, 50 + client]);
    }
    bytes.push(255);
    bytes.resize(bytes.len().max(300), 0);
    bytes
}

/// The option by which a client asks for `codes`.
fn asks(codes: &[u8]) -> (u8, &[u8]) {
    (55, codes)
}

/// What a reply says: its fields, and its options wherever they stand. Its
/// address is each server's own choice.
#[derive(Debug, PartialEq)]
struct Said {
    next_server: Vec<u8>,
    sname: Option<String>,
    file: Option<String>,
    options: BTreeMap<u8, Vec<u8>>,
}

fn said(reply: &[u8]) -> Said {
    let part = |range: std::ops::Range<usize>| reply.get(range).unwrap_or_default();
    let mut options = BTreeMap::new();
    read(part(240..reply.len()), &mut options);
    let overload = options.get(&52).and_then(|value| value.first().copied());
    let mut field = |flag: u8, field: &[u8]| {
        if overload.unwrap_or_default() & flag != 0 {
            read(field, &mut options);
            return None;
        }
        let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let (file, sname) = (field(1, part(108..236)), field(2, part(44..108)));
    Said {
        next_server: part(20..24).to_vec(),
        sname,
        file,
        options,
    }
}

/// Adds the options of one field.
fn read(mut field: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) {
    while let [code @ 1..=254, len, rest @ ..] = field {
        let (value, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        options.entry(*code).or_default().extend(value);
        field = rest;
    }
}

#[test]
fn clients_are_told_what_dnsmasq_tells_them() -> Result<()> {
    let lines: String = OPTIONS.iter().map(line).collect();
    let dnsmasq = Dnsmasq::start(&lines)?;
    let config = config()?;
    let everything: Vec<u8> = (1..=50)
        .chain(56..=79)
        .chain(93..=117)
        .chain(119..=254)
        .collect();
    let large: (u8, &[u8]) = (57, &[5, 220]);
    let cases: &[Case<'_>] = &[
        ("nothing said", &[large]),
        ("everything asked for", &[large, asks(&everything)]),
        (
            "a usual list",
            &[asks(&[1, 3, 6, 12, 15, 28, 42, 121, 119])],
        ),
        (
            "a boot ROM",
            &[
                (93, &[0, 0]),
                (60, b"PXEClient:Arch:00000"),
                asks(&[3, 66, 67, 43]),
            ],
        ),
        (
            "EFI firmware",
            &[
                (93, &[0, 7]),
                (60, b"PXEClient:Arch:00007"),
                asks(&[66, 67]),
            ],
        ),
        (
            "EFI firmware that asks for no file",
            &[(93, &[0, 7]), asks(&[1])],
        ),
        (
            "Windows",
            &[(60, b"MSFT 5.0"), asks(&[1, 3, 6, 15, 43, 44, 121, 249])],
        ),
        ("another vendor", &[(60, b"udhcp 1.36"), asks(&[43, 60])]),
        ("an enterprise", &[asks(&[125, 3])]),
        (
            "a client identifier",
            &[(61, &[255, 0, 0, 0, 1, 0, 3, 0, 1]), asks(&[3])],
        ),
        ("a name", &[(12, b"web"), asks(&[12])]),
        ("a whole name", &[(81, b"\0\0\0db.vm"), asks(&[12])]),
        (
            "a whole name, updated by the server",
            &[(81, b"\x01\0\0db"), asks(&[12])],
        ),
        (
            "a whole name in wire form",
            &[(81, b"\x05\0\0\x02db\0"), asks(&[12])],
        ),
        ("a shorter lease", &[(51, &[0, 0, 2, 88]), asks(&[3])]),
        (
            "no shorter than the least",
            &[(51, &[0, 0, 0, 5]), asks(&[3])],
        ),
        ("rapid commit", &[(80, &[]), asks(&[3])]),
        ("relay information", &[(82, b"\x01\x04eth1"), asks(&[3])]),
    ];
    let mut differing = Vec::new();
    let mut client = 0;
    for (what, options) in cases {
        for kind in [DISCOVER, REQUEST, INFORM] {
            client += 1;
            let mut message = message(client, kind, options);
            if kind == INFORM {
                message[12..16].copy_from_slice(&CLIENT.octets());
            }
            let theirs = said(&dnsmasq.ask(&message).context(*what)?);
            let sender = Sender {
                origin: Origin(client.into()),
                mac: MacAddr(0x52, 0x54, 0, 0, 0, client),
                unicast: false,
            };
            // Of its own, so that no address is on offer to another.
            let mut server = Server::new(config.clone(), [], 7, NOW)?;
            let outcome = server.handle(&message, sender, NOW);
            let Answer::Reply(reply) = outcome.answer else {
                panic!("{what}: no reply: {outcome:?}");
            };
            let ours = said(&reply.message);
            let fields = |said: &Said| {
                (
                    said.next_server.clone(),
                    said.sname.clone(),
                    said.file.clone(),
                )
            };
            if fields(&ours) != fields(&theirs) {
                differing.push(format!(
                    "{what} ({kind}): {:?}, {:?}",
                    fields(&ours),
                    fields(&theirs)
                ));
            }
            for code in 1..=254 {
                let (our, their) = (ours.options.get(&code), theirs.options.get(&code));
                if our != their && !KNOWN.contains(&(*what, code)) {
                    differing.push(format!(
                        "{what} ({kind}): option {code}: {our:?}, {their:?}"
                    ));
                }
            }
        }
    }
    assert_eq!(differing, [] as [String; 0], "ours, then dnsmasq's");
    Ok(())
}
