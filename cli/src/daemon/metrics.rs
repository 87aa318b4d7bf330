//! `/metrics`: the counters in the OpenMetrics text format, as Prometheus
//! reads it.

use super::api::Shared;
use super::dhcp;
use super::dns;
use super::hooks::{Action, Tally};
use crate::model::{ApiError, Counters, PortView, StatusView};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;

/// Shows all counters.
pub(super) async fn metrics(State(network): State<Shared>) -> Result<impl IntoResponse, ApiError> {
    let network = network.lock().await;
    let snapshot = Snapshot {
        status: network.status()?,
        ports: network.port_views()?,
        dhcp: network.dhcp.counters(),
        dns: network.dns.tally(),
        hooks: network.dhcp.hooks().tally(),
    };
    let mut registry = Registry::with_prefix("vmlan");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(ApiError::runtime)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text))
}

/// The network at one moment.
#[derive(Debug)]
struct Snapshot {
    status: StatusView,
    ports: Vec<PortView>,
    dhcp: Option<dhcp::Counters>,
    dns: Option<dns::Tally>,
    hooks: Option<Tally>,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let StatusView {
            ports, fdb, leases, ..
        } = &self.status;
        for (name, help, value) in [
            ("ports", "Ports of the switch", *ports as u64),
            ("fdb_stations", "Stations in the MAC table", fdb.used),
            ("fdb_size", "Stations that fit in the MAC table", fdb.size),
            ("leases", "Live DHCP leases", leases.used),
            ("leases_size", "Addresses that can be leased", leases.size),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let help = "Stations not learned for want of room";
        let refused = encoder.encode_descriptor("fdb_refused", help, None, MetricType::Counter)?;
        ConstCounter::new(fdb.refused).encode(refused)?;
        self.dhcp(&mut encoder)?;
        self.dns(&mut encoder)?;
        self.tftp(&mut encoder)?;
        self.hooks(&mut encoder)?;

        let help = "Frames, by port and direction as the switch sees it";
        self.per_port(&mut encoder, "frames", help, |counters| counters.frames)?;
        let help = "Bytes of frame, by port and direction";
        self.per_port(&mut encoder, "bytes", help, |counters| counters.bytes)?;
        let help = "Frames dropped, by port, direction and reason";
        let mut family = encoder.encode_descriptor("drops", help, None, MetricType::Counter)?;
        for (port, direction, counters) in self.directions() {
            for (reason, n) in &counters.drops {
                let labels = [("port", port), ("direction", direction), ("reason", reason)];
                let metric = family.encode_family(&labels)?;
                ConstCounter::new(*n).encode(metric)?;
            }
        }
        Ok(())
    }
}

impl Snapshot {
    fn dhcp(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(dhcp) = &self.dhcp else {
            return Ok(());
        };
        for (name, help, n) in [
            ("dhcp_replies", "DHCP replies sent", dhcp.replies),
            (
                "dhcp_shared_client_ids",
                "Leases begun under a client identifier that another station has too",
                dhcp.shared_client_ids,
            ),
        ] {
            let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(n).encode(counter)?;
        }
        for (name, help, label, counts) in [
            (
                "dhcp_unanswered",
                "DHCP messages without an answer, by reason",
                "reason",
                &dhcp.unanswered,
            ),
            (
                "dhcp_refused",
                "DHCP requests refused, by reason",
                "reason",
                &dhcp.refused,
            ),
            (
                "dhcp_conflicts",
                "Addresses found in use without a lease, by who said so",
                "by",
                &dhcp.conflicts,
            ),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, n) in counts {
                ConstCounter::new(*n).encode(family.encode_family(&[(label, *value)])?)?;
            }
        }
        Ok(())
    }

    fn dns(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(dns) = &self.dns else {
            return Ok(());
        };
        for (name, help, n) in [
            (
                "dns_asking",
                "DNS questions to others under way",
                dns.asking,
            ),
            ("dns_cache", "DNS answers of others that are kept", dns.kept),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX)).encode(gauge)?;
        }
        let help = "DNS questions answered, by whose answer it was";
        let mut family =
            encoder.encode_descriptor("dns_answers", help, None, MetricType::Counter)?;
        for (from, n) in [
            ("own", dns.own),
            ("cache", dns.cached),
            ("others", dns.forwarded),
        ] {
            ConstCounter::new(n).encode(family.encode_family(&[("from", from)])?)?;
        }
        let help = "DNS messages refused or passed over, by reason";
        let mut family =
            encoder.encode_descriptor("dns_refused", help, None, MetricType::Counter)?;
        for (reason, n) in &dns.refused {
            ConstCounter::new(*n).encode(family.encode_family(&[("reason", *reason)])?)?;
        }
        Ok(())
    }

    fn tftp(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(tftp) = &self.status.tftp else {
            return Ok(());
        };
        let help = "TFTP transfers that run";
        let running = encoder.encode_descriptor("tftp_running", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(tftp.running).unwrap_or(i64::MAX)).encode(running)?;
        let help = "Bytes of file sent by TFTP, those sent again included";
        let bytes = encoder.encode_descriptor("tftp_bytes", help, None, MetricType::Counter)?;
        ConstCounter::new(tftp.bytes).encode(bytes)?;
        let help = "TFTP requests, by what came of them";
        let mut family =
            encoder.encode_descriptor("tftp_requests", help, None, MetricType::Counter)?;
        for (result, n) in [
            ("sent", tftp.sent),
            ("failed", tftp.failed),
            ("refused", tftp.refused),
        ] {
            ConstCounter::new(n).encode(family.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }

    fn hooks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(hooks) = &self.hooks else {
            return Ok(());
        };
        let help = "Leases that the hook has to be told of";
        let waiting = encoder.encode_descriptor("hook_waiting", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(hooks.waiting).unwrap_or(i64::MAX)).encode(waiting)?;
        for (name, help, n) in [
            (
                "hook_failures",
                "Runs of the hook that failed",
                hooks.failed,
            ),
            (
                "hook_merged",
                "States of leases that the hook was not told of, since the next came first",
                hooks.merged,
            ),
        ] {
            let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(n).encode(counter)?;
        }
        let help = "Runs of the hook, by its first argument";
        let mut family = encoder.encode_descriptor("hook_runs", help, None, MetricType::Counter)?;
        for (action, n) in Action::ALL.into_iter().zip(hooks.runs) {
            let labels = [("action", action.name())];
            ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn per_port(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Counters) -> u64,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (port, direction, counters) in self.directions() {
            let labels = [("port", port), ("direction", direction)];
            ConstCounter::new(value(counters)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn directions(&self) -> impl Iterator<Item = (&str, &'static str, &Counters)> {
        self.ports.iter().flat_map(|port| {
            let name = port.name.as_str();
            [(name, "rx", &port.rx), (name, "tx", &port.tx)]
        })
    }
}
