//! Leases of dnsmasq and of libvirt's networks, taken over.

use super::{DhcpError, DhcpService, bindings, why};
use pnet_base::MacAddr;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use vmlan_dhcp::clock::shift;
use vmlan_dhcp::{Lease, hostname, leasefile};

/// Leases left out, and lines that are none, that are named.
const NAMED: usize = 20;

/// An entry of libvirt's `BRIDGE.status` (its `src/network/leaseshelper.c`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    ip_address: String,
    mac_address: Option<String>,
    hostname: Option<String>,
    client_id: Option<String>,
    expiry_time: u64,
}

/// The leases in the text of a file, and what in it is none.
fn parse(text: &str) -> (Vec<Lease>, Vec<String>) {
    let (mut leases, mut faults) = (Vec::new(), Vec::new());
    if !text.trim_start().starts_with('[') {
        let text: String = text.split_inclusive('\n').map(named).collect();
        for line in leasefile::parse(text.as_bytes()) {
            match line {
                Ok(lease) => leases.push(lease),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        return (leases, faults);
    }
    match serde_json::from_str::<Vec<Entry>>(text) {
        Ok(entries) => {
            for entry in entries {
                match lease(&entry) {
                    Some(lease) => leases.push(lease),
                    None => faults.push(format!("{} is no IPv4 lease", entry.ip_address)),
                }
            }
        }
        Err(error) => faults.push(error.to_string()),
    }
    (leases, faults)
}

/// A line of dnsmasq's file, without a name that cannot be a host's: dnsmasq
/// takes underscores. The lease is worth more than the name.
fn named(line: &str) -> Cow<'_, str> {
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    match fields.as_slice() {
        [expiry, mac, address, name, id] if *name != "*" && !hostname::is_label(name) => {
            let end = if line.ends_with('\n') { "\n" } else { "" };
            format!("{expiry} {mac} {address} * {id}{end}").into()
        }
        _ => line.into(),
    }
}

fn lease(entry: &Entry) -> Option<Lease> {
    Some(Lease {
        mac: entry.mac_address.as_deref()?.parse::<MacAddr>().ok()?,
        address: entry.ip_address.parse::<Ipv4Addr>().ok()?,
        expiry: entry.expiry_time,
        hostname: entry
            .hostname
            .as_deref()
            .filter(|name| hostname::is_label(name))
            .map(Into::into),
        client_id: entry
            .client_id
            .as_deref()
            .and_then(leasefile::parse_hex)
            .map(Into::into),
    })
}

impl DhcpService {
    /// Takes over the leases in the text of dnsmasq's or libvirt's file, and
    /// says which.
    pub(in crate::daemon) fn import(&self, text: &str) -> Result<String, DhcpError> {
        let (mut leases, mut faults) = parse(text);
        if leases.is_empty() && !faults.is_empty() {
            let first = faults.first().map(|fault| format!(": {fault}"));
            return Err(DhcpError::NoLeases(first.unwrap_or_default()));
        }
        let mut state = self.state();
        state.make_ready();
        let (now, skew) = (state.keeper.now(), state.keeper.skew());
        for lease in &mut leases {
            lease.expiry = shift(lease.expiry, skew.saturating_neg());
        }
        let server = state.server.as_mut().ok_or(DhcpError::Off)?;
        let (changes, left_out) = server.import(leases, now);
        state.save(&changes, now)?;
        state.hooks.changed(&changes, now);
        state.tell(bindings::changed(&changes, now).collect());
        state.look_earlier();
        drop(state);
        let taken = changes.iter().filter(|change| change.after.is_some());
        let mut said = format!("{} leases are taken over", taken.count());
        faults.extend(left_out.iter().map(|(lease, reason)| {
            let (address, mac) = (lease.address, lease.mac);
            format!("the lease of {address} by {mac}: {}", why(*reason))
        }));
        if !faults.is_empty() {
            let _ = write!(said, "; {} are left out:", faults.len());
        }
        for fault in faults.iter().take(NAMED) {
            let _ = write!(said, "\n  {fault}");
        }
        if faults.len() > NAMED {
            let _ = write!(said, "\n  and {} more", faults.len() - NAMED);
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirts_view_is_read_and_what_is_no_ipv4_lease_named() {
        let text = r#"[
            {"ip-address": "192.168.122.4", "mac-address": "52:54:00:00:00:04",
             "hostname": "web", "client-id": "01:52:54:00:00:00:04", "expiry-time": 1700000000},
            {"ip-address": "fd00::4", "mac-address": "52:54:00:00:00:04", "expiry-time": 9},
            {"ip-address": "192.168.122.5", "mac-address": "52:54:00:00:00:05",
             "hostname": "a b", "expiry-time": 0}
        ]"#;
        let (leases, faults) = parse(text);
        let lines = leasefile::format(&leases);
        assert_eq!(
            lines,
            "1700000000 52:54:00:00:00:04 192.168.122.4 web 01:52:54:00:00:00:04\n\
             0 52:54:00:00:00:05 192.168.122.5 * *\n"
        );
        assert_eq!(faults, ["fd00::4 is no IPv4 lease"]);
    }

    #[test]
    fn dnsmasqs_file_is_read_and_bad_lines_named() {
        let (leases, faults) = parse("0 52:54:00:00:00:05 192.168.122.5 * *\nx\n");
        assert_eq!(leases.len(), 1);
        assert!(faults[0].starts_with("line 2: "), "{faults:?}");
        let (leases, faults) = parse("9 52:54:00:00:00:05 192.168.122.5 my_pc 01:02\n");
        assert_eq!(faults, [] as [&str; 0]);
        assert_eq!((leases[0].expiry, &leases[0].hostname), (9, &None));
        assert_eq!(parse("").0, []);
        assert_eq!(parse("[{]").1.len(), 1);
    }
}
