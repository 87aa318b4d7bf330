//! The DHCP server's answer to a client that it has never seen, beside few and
//! many leases: it is to cost the same.

use anyhow::{Result, ensure};
use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use std::net::Ipv4Addr;
use vmlan_benches::station;
use vmlan_dhcp::{Answer, Config, Lease, MacAddr, Origin, Outcome, Sender, Server};

/// Where a message has the client's MAC (RFC 2131 §2).
const CHADDR: std::ops::Range<usize> = 28..34;

/// Messages a second: offers last for 60 seconds, so 3,840 stand at a time.
const RATE: u32 = 64;

/// A server, and clients that are new to it one after the other.
struct Clients {
    server: Server,
    message: Vec<u8>,
    number: u32,
    start: u64,
}

impl Clients {
    fn beside(leases: u32) -> Result<Self> {
        let gateway = Ipv4Addr::new(10, 0, 0, 1);
        let range = Ipv4Addr::new(10, 0, 0, 2)..=Ipv4Addr::new(10, 0, 255, 254);
        let first = u32::from(*range.start());
        let mut config = Config::new(gateway, "10.0.0.0/16".parse()?, range);
        config.max_leases = 60_000;
        let leases = (0..leases).map(|n| Lease {
            mac: station(n),
            address: Ipv4Addr::from(first + n),
            expiry: 0,
            hostname: None,
            client_id: None,
        });
        let start = 1_700_000_000;
        Ok(Self {
            server: Server::new(config, leases, 1, start)?,
            message: discover(),
            number: 0,
            start,
        })
    }

    fn discover(&mut self) -> Outcome {
        self.number = self.number.wrapping_add(1);
        let [a, b, c, d] = self.number.to_be_bytes();
        let mac = MacAddr(2, 0, a, b, c, d);
        if let Some(chaddr) = self.message.get_mut(CHADDR) {
            chaddr.copy_from_slice(&mac.octets());
        }
        let origin = Origin(1);
        let now = self.start + u64::from(self.number / RATE);
        let unicast = false;
        let sender = Sender {
            origin,
            mac,
            unicast,
        };
        self.server.handle(black_box(&self.message), sender, now)
    }
}

/// A DISCOVER as Linux clients send it.
fn discover() -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
    message.resize(236, 0);
    message.extend([99, 130, 83, 99]);
    message.extend([53, 1, 1]);
    message.extend([12, 5, b'g', b'u', b'e', b's', b't']);
    message.extend([55, 7, 1, 3, 6, 12, 15, 26, 28]);
    message.push(255);
    message.resize(300, 0);
    message
}

fn dhcp(criterion: &mut Criterion) -> Result<()> {
    let mut group = criterion.benchmark_group("dhcp");
    group.throughput(Throughput::Elements(1));
    for leases in [10, 1000, 50_000] {
        let mut clients = Clients::beside(leases)?;
        let id = BenchmarkId::new("discover to offer", leases);
        group.bench_with_input(id, &(), |b, ()| b.iter(|| clients.discover()));
        let answered = matches!(clients.discover().answer, Answer::Reply(_));
        ensure!(answered, "no OFFER beside {leases} leases");
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    vmlan_benches::run(dhcp)
}
