//! Counts the memory that a lease takes, tables included, and what loading one
//! allocates. Fails where it is more than 300 bytes; takes no arguments and
//! measures no time.

use anyhow::{Result, ensure};
use std::io::Write;
use std::net::Ipv4Addr;
use vmlan_benches::station;
use vmlan_dhcp::{Config, Lease, Server};

/// The most that a lease may take, in bytes.
const MOST: f64 = 300.0;

fn main() -> Result<()> {
    let mut out = std::io::stdout();
    for leases in [1000, 10_000, 40_000, 50_000, 60_000] {
        let empty = held(0)?;
        let bytes = held(leases)? - empty;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let each = bytes as f64 / f64::from(leases);
        writeln!(out, "{leases} leases: {each:.0} bytes each")?;
        ensure!(each <= MOST, "more than {MOST} bytes a lease");
    }
    Ok(())
}

/// Bytes that a server with so many leases holds. Each has a name and a client
/// identifier, as Linux guests send them.
fn held(leases: u32) -> Result<i64> {
    let gateway = Ipv4Addr::new(10, 0, 0, 1);
    let range = Ipv4Addr::new(10, 0, 0, 2)..=Ipv4Addr::new(10, 0, 255, 254);
    let first = u32::from(*range.start());
    let mut config = Config::new(gateway, "10.0.0.0/16".parse()?, range);
    config.max_leases = 65_000;
    let mut server = None;
    let found = allocation_counter::measure(|| {
        let given = (0..leases).map(|n| Lease {
            mac: station(n),
            address: Ipv4Addr::from(first + n),
            expiry: 1_700_003_600 + u64::from(n % 3600),
            hostname: Some(format!("guest-{n}").into()),
            client_id: Some([&[1][..], &station(n).octets()].concat().into()),
        });
        server = Some(Server::new(config, given, 1, 1_700_000_000));
    });
    // Not before it was counted.
    ensure!(server.is_some_and(|server| server.is_ok()), "no server");
    Ok(found.bytes_current)
}
