//! Messages of several clients put to the DHCP server, with time between them,
//! writes that fail, and an operator who changes things.
//!
//! The input is a list of steps; the low bits of the first byte of each say
//! which it is. What has to hold is in `tests/src/hostile/lease.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmlan_dhcp::{Origin, Sender};
use vmlan_fuzz::hostile::lease::{Act, Leases, client, ip};
use vmlan_fuzz::hostile::message;
use vmlan_fuzz::hostile::tally::Tally;
use vmlan_fuzz::input::Input;

/// Steps of one input.
const STEPS: usize = 400;

const FLAGS: usize = 10;
const CIADDR: usize = 12;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mut run = || -> anyhow::Result<()> {
        let mut leases = Leases::new(input.byte().into())?;
        for _ in 0..STEPS {
            if input.is_empty() {
                break;
            }
            step(&mut leases, &mut input)?;
        }
        leases.inspect()
    };
    if let Err(error) = run() {
        panic!("{error:#}");
    }
});

fn step(leases: &mut Leases, input: &mut Input<'_>) -> anyhow::Result<()> {
    match input.byte() & 7 {
        0 => leases.pass(input.word().into()),
        1 => {
            let act = match input.byte() & 3 {
                0 => Act::Reconfigure { narrow: false },
                1 => Act::Reconfigure { narrow: true },
                2 => Act::Restart,
                _ => Act::Delete(ip(input.byte())),
            };
            leases.act(act)?;
        }
        _ => say(leases, input)?,
    }
    Ok(())
}

/// A message: who sends it, what kind it is, which address it is about and
/// where it says so, options, and bytes that are spoiled.
fn say(leases: &mut Leases, input: &mut Input<'_>) -> anyhow::Result<()> {
    let [who, kind, form, place] = input.array();
    let mac = client(who & 63);
    let address = match form & 3 {
        0 => Some(ip(place)),
        1 => leases.leased_to(mac),
        2 => leases.offered_to(mac),
        // Another's.
        _ => leases.leased_to(client(place & 63)),
    };
    let address = address.unwrap_or(ip(place)).octets();
    let mut bytes = Vec::new();
    message::start(&mut bytes, mac, 7);
    message::option(&mut bytes, 53, &[kind & 15]);
    if form & 4 != 0 {
        message::option(&mut bytes, 50, &address);
    }
    if form & 8 != 0 {
        message::option(&mut bytes, 54, &ip(1).octets());
    }
    if form & 16 != 0 {
        message::set(&mut bytes, CIADDR, &address);
    }
    if form & 32 != 0 {
        message::set(&mut bytes, FLAGS, &[0x80]);
    }
    bytes.extend(input.counted());
    bytes.push(255);
    for _ in 0..kind >> 6 {
        let [at, value] = input.array();
        message::set(&mut bytes, at.into(), &[value]);
    }
    let named = bytes.get(28..34).and_then(|mac| mac.try_into().ok());
    let named = named.map_or(mac, |mac: [u8; 6]| mac.into());
    let sender = Sender {
        origin: Origin(u32::from(who >> 6)),
        mac: if form & 64 == 0 {
            named
        } else {
            client(place & 63)
        },
        unicast: kind & 16 != 0,
    };
    leases.put(&bytes, sender, form & 128 == 0, &mut Tally::default())
}
