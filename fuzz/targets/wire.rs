//! One message, as it stands on the wire, put to a DHCP server whose settings
//! make it look at all there is: relay agents, classes, architectures, options,
//! names; and with more to tell than fits.
//!
//! The input: a byte of flags, then the message. What has to hold: a second
//! reader of options reads every reply, and the message that was answered; the
//! reply is to it, no longer than its client takes, with the relay agent's
//! information as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::Ipv4Addr;
use vmlan_dhcp::options::{Boot, Setting};
use vmlan_dhcp::{
    Answer, Condition, Config, Host, HostKey, Identity, MacAddr, Match, Origin, Range, Sender,
    Server,
};
use vmlan_fuzz::hostile::options::Options;
use vmlan_fuzz::input::Input;

const MAX_MESSAGE: u8 = 57;
const MESSAGE_TYPE: u8 = 53;
const RELAY_INFORMATION: u8 = 82;
const SERVER_ID: u8 = 54;

/// The least datagram that every client takes, and the MTU.
const DATAGRAM: (usize, usize) = (576, 1500);
const IP_AND_UDP: usize = 28;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let flags = input.byte();
    let message = input.rest();
    let mut server = Server::new(config(flags), [], 1, 1).expect("a valid configuration");
    server.name_origin(Origin(1), Some("vnet1"));
    let named = message.get(28..34).and_then(|mac| mac.try_into().ok());
    let sender = Sender {
        origin: Origin(1),
        mac: named.map_or(MacAddr::zero(), |mac: [u8; 6]| mac.into()),
        unicast: flags & 1 != 0,
    };
    // Twice: the second time it meets what the first one left.
    for now in [2, 3] {
        let mut outcome = server.handle(message, sender, now);
        if let Answer::Probe(probe) = outcome.answer {
            outcome = server.probed(probe, None, message, sender, now);
        }
        match outcome.answer {
            Answer::Reply(reply) => judge(message, &reply.message),
            Answer::Silence(silence) => assert_ne!(silence.name(), "unencodable"),
            Answer::Probe(probe) => panic!("{probe:?} again"),
        }
    }
});

fn judge(request: &[u8], reply: &[u8]) {
    let asked = Options::read(request).expect("a message that was answered");
    let told = Options::read(reply).expect("options that lie in their fields");
    let largest = asked.get(MAX_MESSAGE).map_or(DATAGRAM.0, |value| {
        let value = value.try_into().expect("the length of option 57");
        usize::from(u16::from_be_bytes(value)).clamp(DATAGRAM.0, DATAGRAM.1)
    });
    assert!(
        (300..=largest - IP_AND_UDP).contains(&reply.len()),
        "{} bytes",
        reply.len()
    );
    assert_eq!(reply.get(..4), Some(&[2, 1, 6, 0][..]));
    // xid, giaddr, chaddr.
    for field in [4..8, 24..28, 28..34] {
        assert_eq!(reply.get(field.clone()), request.get(field));
    }
    assert!(
        matches!(told.get(MESSAGE_TYPE), Some([2 | 5 | 6])),
        "{told:?}"
    );
    assert!(
        told.get(SERVER_ID).is_some_and(|id| id.len() == 4),
        "{told:?}"
    );
    // A longer one is no agent's.
    let information = asked
        .get(RELAY_INFORMATION)
        .filter(|info| info.len() <= 255);
    assert_eq!(told.get(RELAY_INFORMATION), information);
}

fn config(flags: u8) -> Config {
    let ip = |last| Ipv4Addr::new(192, 168, 122, last);
    let subnet = "192.168.122.0/24".parse().expect("a subnet");
    let mut config = Config::new(ip(1), subnet, ip(2)..=ip(45));
    config.probe = flags & 2 != 0;
    config.rapid_commit = flags & 4 != 0;
    if flags & 8 != 0 {
        config.identity = Identity::ClientId;
    }
    config.domain = Some("vm".to_owned());
    config.mtu = Some(1500);
    let agent = |last| Ipv4Addr::new(10, 1, 0, last);
    config.ranges.push(Range {
        subnet: "10.1.0.0/24".parse().ok(),
        ..Range::new(agent(10)..=agent(20))
    });
    if flags & 16 != 0 {
        // Site-specific options (RFC 3942), more than fit: some are left out.
        let long = (224..232).map(|code| (code, vec![code; 240]).into());
        config.options.extend(long);
    }
    config.options.extend((232..236).map(|code| Setting {
        force: true,
        ..Setting::from((code, vec![code; 20]))
    }));
    config.boots = vec![Boot {
        filename: Some("boot.efi".to_owned()),
        next_server: Some(ip(9)),
        server_name: (flags & 32 != 0).then(|| "boot".to_owned()),
        ..Boot::default()
    }];
    config.hosts = vec![
        Host {
            address: Some(ip(200)),
            name: Some("named".to_owned()),
            ..Host::new(HostKey::ClientId(vec![1, 2, 3]))
        },
        Host::new(HostKey::Name("guest".to_owned())),
    ];
    let conditions = [
        Condition::Port("vnet*".to_owned()),
        Condition::VendorClass("PXE".to_owned()),
        Condition::UserClass("iPXE".to_owned()),
        Condition::CircuitId(b"eth1".to_vec()),
        Condition::RemoteId(b"north".to_vec()),
        Condition::SubscriberId(b"s".to_vec()),
        Condition::Architecture(7.into()),
        Condition::Option {
            code: 43,
            value: vec![1],
        },
    ];
    let red: Vec<_> = "red".parse().into_iter().collect();
    config.matches = conditions
        .map(|condition| Match {
            conditions: vec![condition],
            set: red.clone(),
            ignore: false,
        })
        .to_vec();
    config
}
