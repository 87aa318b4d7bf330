//! What goes over the control socket, as JSON: views of the network, requests
//! and replies. Shared by the server and the client.

use crate::config::{HostEntry, InterfaceName, PortKind, PortName, Value, Vlan};
use crate::log::LogFilter;
use pnet_base::MacAddr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// `GET /v1/status`: the network at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Name of the network.
    pub network: String,
    /// The host's own interface.
    pub interface: Option<String>,
    /// The gateway with the prefix length, `192.168.122.1/24`.
    pub address: Option<String>,
    /// The gateway's MAC address.
    pub mac: Option<MacAddr>,
    /// In bytes of IP packet.
    pub mtu: u16,
    /// `isolated`, `bridge`.
    pub forward: String,
    /// The NIC of the LAN.
    pub uplink: Option<String>,
    /// How many ports there are.
    pub ports: usize,
    /// The MAC table.
    pub fdb: FdbFill,
    /// The DHCP leases, of all addresses that can be leased.
    pub leases: Fill,
    /// The DHCP server; none where it is off.
    #[serde(default)]
    pub dhcp: Option<DhcpView>,
    /// The name server; none while it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsView>,
    /// The TFTP server; none while it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tftp: Option<TftpView>,
    /// Seconds since the start.
    pub uptime: u64,
    /// Version of the server.
    pub version: String,
}

/// How the DHCP server does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpView {
    /// Whether leases can be written: `ok`, or why not. No new lease is given
    /// out while the journal cannot be written.
    pub store: String,
    /// Messages since the start that got no answer, by the name of the reason.
    #[serde(default)]
    pub unanswered: BTreeMap<String, u64>,
}

/// What the name server does and has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsView {
    /// Questions answered from the network's own names.
    pub own: u64,
    /// Questions answered from what others had answered before.
    pub cached: u64,
    /// Questions answered by others.
    pub forwarded: u64,
    /// Questions to others that are under way.
    pub asking: u64,
    /// Answers of others that are kept.
    pub cache: u64,
    /// Messages that were refused or passed over, by the name of the reason.
    pub refused: BTreeMap<String, u64>,
}

/// What the TFTP server does and has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TftpView {
    /// Transfers that run.
    pub running: u64,
    /// Files that were sent whole.
    pub sent: u64,
    /// Transfers that ended before that.
    pub failed: u64,
    /// Requests that were not served.
    pub refused: u64,
    /// Bytes of file in the packets sent, those sent again included.
    pub bytes: u64,
}

/// How full a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Entries in use.
    pub used: u64,
    /// Entries that it can hold.
    pub size: u64,
}

/// How full the MAC table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbFill {
    /// Stations in it.
    pub used: u64,
    /// Stations that fit in.
    pub size: u64,
    /// Times since the start that a station was not learned for want of room.
    pub refused: u64,
}

/// `GET /v1/log` answers this, `PUT /v1/log` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogView {
    /// Which log lines are written.
    pub filter: LogFilter,
}

/// `GET /v1/ports` answers a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortView {
    /// Its name in the switch.
    pub name: String,
    /// What it is connected by.
    pub kind: PortKind,
    /// Its netdev, if it has one.
    pub interface: Option<String>,
    /// Queues that its frames come in by.
    #[serde(default = "one")]
    pub queues: u16,
    /// Whether checksums and segmentation may be left to the other side.
    #[serde(default)]
    pub offload: bool,
    /// Whether the embedded DHCP server serves stations behind it.
    #[serde(default = "yes")]
    pub dhcp: bool,
    /// Whether frames can pass.
    pub state: LinkState,
    /// What the switch received from the port: what the guest sent.
    pub rx: Counters,
    /// What the switch sent to the port.
    pub tx: Counters,
    /// What whoever manages the guest has noted with it.
    #[serde(
        default,
        rename = "external-ids",
        skip_serializing_if = "ExternalIds::is_empty"
    )]
    pub external_ids: ExternalIds,
}

fn one() -> u16 {
    1
}

fn yes() -> bool {
    true
}

/// What somebody notes with a port, by key. libvirt gives `attached-mac` (the
/// guest's), `vm-id` (the domain's UUID), `iface-id` and `iface-status`.
pub type ExternalIds = BTreeMap<String, String>;

/// The external identifier that says that the guest's bandwidth was to be
/// limited, and is not.
pub const BANDWIDTH: &str = "bandwidth";

/// Whether frames can pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// They can.
    Up,
    /// The netdev is down or has no carrier.
    Down,
}

/// Counters of one direction. They only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Frames that passed.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that did not, by the name of the reason.
    pub drops: BTreeMap<String, u64>,
}

/// `GET /v1/fdb` answers a list of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FdbEntryView {
    /// The station.
    pub mac: MacAddr,
    /// The VLAN that it is in; 0: none.
    pub vlan: u16,
    /// The port that it is behind.
    pub port: String,
    /// Set by hand: it neither ages nor moves.
    #[serde(rename = "static")]
    pub fixed: bool,
    /// Seconds since it was last heard.
    pub age: f64,
}

/// `GET /v1/leases` answers a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeaseView {
    /// When it ends, in seconds since 1970; 0: never.
    pub expiry: i64,
    /// Who has it.
    pub mac: MacAddr,
    /// `ipv4`.
    pub protocol: String,
    /// With the prefix length of the subnet, `192.168.122.4/24`.
    pub address: String,
    /// What the client calls itself: from the guest, so not to be trusted.
    pub hostname: Option<String>,
    /// What its client identifies itself by: hex with colons.
    pub client_id: Option<String>,
    /// What has become of it.
    pub state: LeaseState,
}

/// What has become of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// The client has it.
    Bound,
    /// The client was offered it.
    Offered,
    /// The client found the address in use.
    Declined,
    /// The client did not renew it.
    Expired,
}

/// `POST /v1/ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddPort {
    /// Its name.
    pub name: PortName,
    /// Its keys, `kind` among them: for
    /// [`PortSettings::from_keys`](crate::config::PortSettings::from_keys).
    #[serde(flatten)]
    pub keys: BTreeMap<String, Value>,
}

/// `PATCH /v1/ports/{name}`: the keys that change.
pub type SetPort = BTreeMap<String, Value>;

/// `POST /v1/attach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The netdev to take.
    pub interface: InterfaceName,
    /// Whether it may be a port already; it stays as it is then.
    #[serde(default, rename = "may-exist")]
    pub may_exist: bool,
    /// To be noted with the port.
    #[serde(
        default,
        rename = "external-ids",
        skip_serializing_if = "ExternalIds::is_empty"
    )]
    pub external_ids: ExternalIds,
    /// Keys of the port.
    #[serde(flatten)]
    pub keys: BTreeMap<String, Value>,
}

/// `GET /v1/attach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachView {
    /// Names of netdevs that are taken as they appear, as `vnet*`.
    #[serde(rename = "match")]
    pub patterns: Vec<String>,
}

/// `POST /v1/fdb`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddFdb {
    /// The station.
    pub mac: MacAddr,
    /// The port that it is behind.
    pub port: PortName,
    /// The VLAN that it is in.
    #[serde(default)]
    pub vlan: Vlan,
}

/// The query of `DELETE /v1/fdb/{mac}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteFdb {
    /// The VLAN that it is in.
    #[serde(default)]
    pub vlan: Vlan,
}

/// `POST /v1/fdb/flush`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlushFdb {
    /// Only what is behind this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortName>,
}

/// `POST /v1/reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reload {
    /// Says what it would do, and does nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// One of `GET /v1/dhcp/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// The host.
    #[serde(flatten)]
    pub host: HostEntry,
    /// Where it stands.
    pub origin: HostOrigin,
    /// What it has in common with a host of the configuration, for which it is
    /// not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rival: Option<String>,
}

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostOrigin {
    /// In the configuration, which alone can take it away.
    Config,
    /// Added while the network ran.
    Live,
}

/// The longest lease file to import in bytes: of some 200,000 leases.
pub const MAX_IMPORT: u64 = 16 << 20;

/// `POST /v1/leases`: leases of another server to take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportLeases {
    /// The text of dnsmasq's lease file, or of libvirt's `BRIDGE.status`.
    pub text: String,
}

/// The answer to a request that did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What was done, for a reader; may have several lines.
    pub message: String,
}

/// The answer to a request that was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What is wrong.
    pub error: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Whose fault it is.
    pub fault: Fault,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Of the request or the configuration: the client exits 2.
    Input,
    /// It failed at run time: the client exits 1.
    Runtime,
    /// It names something that is not there: HTTP says so too, and the client
    /// exits 1.
    #[serde(rename = "not-found")]
    NotFound,
}

impl ApiError {
    /// The request makes no sense.
    pub fn input(error: impl fmt::Display) -> Self {
        Self {
            error: error.to_string(),
            help: None,
            fault: Fault::Input,
        }
    }

    /// It failed at run time.
    pub fn runtime(error: impl fmt::Display) -> Self {
        Self {
            error: error.to_string(),
            help: None,
            fault: Fault::Runtime,
        }
    }

    /// It names something that is not there.
    pub fn not_found(error: impl fmt::Display) -> Self {
        Self {
            fault: Fault::NotFound,
            ..Self::runtime(error)
        }
    }

    /// The error with its mend on one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        crate::config::Problem::from(self.clone()).one_line()
    }

    /// Says how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<crate::config::Problem> for ApiError {
    fn from(problem: crate::config::Problem) -> Self {
        Self {
            error: problem.message,
            help: problem.help,
            fault: Fault::Input,
        }
    }
}

impl From<ApiError> for crate::config::Problem {
    fn from(error: ApiError) -> Self {
        Self {
            message: error.error,
            help: error.help,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn views_have_the_promised_keys() {
        let lease = LeaseView {
            expiry: 0,
            mac: MacAddr::new(0x52, 0x54, 0, 0, 0, 0xA),
            protocol: "ipv4".into(),
            address: "192.168.122.4/24".into(),
            hostname: None,
            client_id: Some("01:02".into()),
            state: LeaseState::Bound,
        };
        assert_eq!(
            serde_json::to_value(&lease).unwrap(),
            json!({"expiry": 0, "mac": "52:54:00:00:00:0a", "protocol": "ipv4",
                   "address": "192.168.122.4/24", "hostname": null,
                   "client-id": "01:02", "state": "bound"})
        );
        let entry = FdbEntryView {
            mac: lease.mac,
            vlan: 0,
            port: "lan0".into(),
            fixed: false,
            age: 12.3,
        };
        assert_eq!(
            serde_json::to_value(&entry).unwrap(),
            json!({"mac": "52:54:00:00:00:0a", "vlan": 0, "port": "lan0",
                   "static": false, "age": 12.3})
        );
        let port = PortView {
            name: "v".into(),
            kind: PortKind::VhostUser,
            interface: None,
            queues: 1,
            offload: true,
            dhcp: true,
            state: LinkState::Up,
            rx: Counters::default(),
            tx: Counters::default(),
            external_ids: ExternalIds::new(),
        };
        assert_eq!(
            serde_json::to_value(&port).unwrap(),
            json!({"name": "v", "kind": "vhost-user", "interface": null,
                   "queues": 1, "offload": true, "dhcp": true, "state": "up",
                   "rx": {"frames": 0, "bytes": 0, "drops": {}},
                   "tx": {"frames": 0, "bytes": 0, "drops": {}}})
        );
    }

    #[test]
    fn a_request_for_a_port_carries_its_keys_beside_the_name() {
        let body = json!({"name": "lan0", "kind": "packet", "offload": false, "queues": 1});
        let request: AddPort = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(request.keys.len(), 3);
        assert_eq!(serde_json::to_value(&request).unwrap(), body);
        assert!(serde_json::from_value::<AddPort>(json!({"name": "a/b"})).is_err());
    }
}
