//! `/metrics`: the counters in the Prometheus text format 0.0.4.

use super::api::Shared;
use crate::model::{ApiError, Counters, PortView};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::fmt::Write as _;

/// Shows all counters.
pub(super) async fn metrics(State(network): State<Shared>) -> Result<impl IntoResponse, ApiError> {
    let network = network.lock().await;
    let (status, ports) = (network.status()?, network.port_views()?);
    let mut text = String::new();
    for (name, help, value) in [
        ("vmlan_ports", "Ports of the switch.", status.ports as u64),
        (
            "vmlan_fdb_stations",
            "Stations in the MAC table.",
            status.fdb.used,
        ),
        (
            "vmlan_fdb_size",
            "Stations that fit in the MAC table.",
            status.fdb.size,
        ),
        ("vmlan_leases", "Live DHCP leases.", status.leases.used),
        (
            "vmlan_leases_size",
            "Addresses that can be leased.",
            status.leases.size,
        ),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"
        );
    }
    family(
        &mut text,
        "fdb_refused_total",
        "Stations not learned for want of room.",
    );
    let _ = writeln!(text, "vmlan_fdb_refused_total {}", status.fdb.refused);
    per_port(&mut text, &ports, "frames_total", "Frames.", |c| c.frames);
    per_port(&mut text, &ports, "bytes_total", "Bytes of frame.", |c| {
        c.bytes
    });
    family(&mut text, "drops_total", "Frames dropped, by reason.");
    for (port, direction, counters) in directions(&ports) {
        for (reason, n) in &counters.drops {
            let _ = writeln!(
                text,
                "vmlan_drops_total{{port=\"{port}\",direction=\"{direction}\",reason=\"{reason}\"}} {n}"
            );
        }
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

fn family(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP vmlan_{name} {help}\n# TYPE vmlan_{name} counter"
    );
}

fn per_port(
    text: &mut String,
    ports: &[PortView],
    name: &str,
    help: &str,
    value: impl Fn(&Counters) -> u64,
) {
    family(text, name, help);
    for (port, direction, counters) in directions(ports) {
        let value = value(counters);
        let _ = writeln!(
            text,
            "vmlan_{name}{{port=\"{port}\",direction=\"{direction}\"}} {value}"
        );
    }
}

/// Port names need no escaping: they are of letters, digits, `_`, `.` and `-`.
fn directions(ports: &[PortView]) -> impl Iterator<Item = (&str, &'static str, &Counters)> {
    ports.iter().flat_map(|port| {
        let name = port.name.as_str();
        [(name, "rx", &port.rx), (name, "tx", &port.tx)]
    })
}
