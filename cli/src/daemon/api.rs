//! The control socket: HTTP/1.1 with JSON bodies. Each request holds the
//! network for as long as it takes, one after another.

use super::dhcp::DhcpError;
use super::events::stream;
use super::network::{Network, chain, no_port};
use super::ports::NamedPort;
use super::reload;
use crate::config::{HostEntry, PortName, PortSettings, Problem, value};
use crate::model::{
    AddFdb, AddPort, ApiError, Attach, AttachView, DeleteFdb, Done, ExternalIds, Fault,
    FdbEntryView, FlushFdb, HostView, ImportLeases, LeaseView, LogView, PortView, Reload, SetPort,
    StatusView,
};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The longest request body in bytes.
const BODY: usize = 64 << 10;

/// The same where it holds a lease file of [`MAX_IMPORT`](crate::model::MAX_IMPORT)
/// bytes, which JSON makes longer.
const IMPORT: usize = 32 << 20;

/// A network that several tasks work on.
pub(super) type Shared = Arc<Mutex<Network>>;

type Answer<T> = Result<Json<T>, ApiError>;

/// The routes of the control socket.
pub(super) fn router(network: Shared) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/ports", get(ports).post(add_port))
        .route("/v1/ports/{name}", delete(delete_port).patch(set_port))
        .route("/v1/ports/{name}/external-ids", patch(identify_port))
        .route("/v1/attach", get(attached).post(attach))
        .route("/v1/attach/{interface}", delete(detach))
        .route("/v1/fdb", get(fdb).post(add_fdb))
        .route("/v1/fdb/flush", post(flush_fdb))
        .route("/v1/fdb/{mac}", delete(delete_fdb))
        .route(
            "/v1/leases",
            get(leases).merge(post(import_leases).layer(DefaultBodyLimit::max(IMPORT))),
        )
        .route("/v1/leases/{address}", delete(delete_lease))
        .route("/v1/dhcp/hosts", get(hosts).post(add_host))
        .route("/v1/dhcp/hosts/{host}", delete(delete_host))
        .route("/v1/reload", post(reload_config))
        .route("/v1/events", get(stream::events))
        .route("/v1/log", get(log).put(set_log))
        .route("/metrics", get(super::metrics::metrics))
        .fallback(async || {
            ApiError::not_found("there is no such resource").help(
                "the paths start with /v1/status, ports, attach, fdb, leases, dhcp/hosts, \
                       events, log and reload",
            )
        })
        .method_not_allowed_fallback(async || {
            let error = ApiError::input("this resource does not take this method")
                .help("the header `allow` of this answer names those that it takes");
            (StatusCode::METHOD_NOT_ALLOWED, Json(error))
        })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(network)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self.fault {
            Fault::Input => StatusCode::BAD_REQUEST,
            Fault::Runtime => StatusCode::CONFLICT,
            Fault::NotFound => StatusCode::NOT_FOUND,
        };
        (status, Json(self)).into_response()
    }
}

/// A JSON body, whose errors are ours. Its type is not asked for, as curl says
/// that whatever it sends is a form; no body at all is an empty object.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, state).await?;
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let Json(value) = Json::from_bytes(body)?;
        Ok(Self(value))
    }
}

/// A part of the path, whose errors are ours. It is taken as text: an error of
/// its type then keeps its mend apart.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
struct Path<T>(T);

/// The query, whose errors are ours.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(super) struct Query<T>(pub(super) T);

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::input(rejection.body_text()).help(format!(
            "a body has at most {} KiB, one of leases to import {} MiB",
            BODY >> 10,
            IMPORT >> 20
        ))
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        rejected(&rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::input(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        rejected(&rejection.body_text())
    }
}

/// The error of a parser, which may quote a [`Problem`] with its mend: that is
/// taken apart again.
fn rejected(text: &str) -> ApiError {
    let Some((error, help)) = text.split_once("\nhelp: ") else {
        return ApiError::input(text);
    };
    // serde_json puts the place behind all of it.
    match help
        .rfind(" at line ")
        .and_then(|at| help.split_at_checked(at))
    {
        Some((help, place)) => ApiError::input(format!("{error}{place}")).help(help),
        None => ApiError::input(error).help(help),
    }
}

/// What was done to the network, in its log as well.
fn changed(message: String) -> Answer<Done> {
    tracing::info!("on request: {}", Problem::new(message.as_str()).one_line());
    done(message)
}

/// The port `name`, which the request names.
fn port<'n>(network: &'n Network, name: &PortName) -> Result<&'n NamedPort, ApiError> {
    network.ports.get(name).ok_or_else(|| ApiError {
        fault: Fault::NotFound,
        ..no_port(name)
    })
}

fn done(message: impl Into<String>) -> Answer<Done> {
    Ok(Json(Done {
        message: message.into(),
    }))
}

async fn status(State(network): State<Shared>) -> Answer<StatusView> {
    network.lock().await.status().map(Json)
}

async fn ports(State(network): State<Shared>) -> Answer<Vec<PortView>> {
    network.lock().await.port_views().map(Json)
}

async fn add_port(State(network): State<Shared>, Body(request): Body<AddPort>) -> Answer<Done> {
    let port = PortSettings::from_keys(&request.keys)?.into_port(request.name)?;
    let mut network = network.lock().await;
    network.add(&port, super::ports::Origin::Command).await?;
    done(format!("port {} added", port.name))
}

async fn set_port(
    State(network): State<Shared>,
    Path(name): Path<String>,
    Body(keys): Body<SetPort>,
) -> Answer<Done> {
    let name: PortName = name.parse()?;
    let settings = PortSettings::from_keys(&keys)?;
    let mut network = network.lock().await;
    port(&network, &name)?;
    let said = network.set(&name, &settings)?;
    // The other keys can only be given as they are.
    if settings.offload.is_none() && settings.dhcp.is_none() {
        return done(format!("port {name} is so already"));
    }
    changed(said)
}

async fn delete_port(State(network): State<Shared>, Path(name): Path<String>) -> Answer<Done> {
    let name: PortName = name.parse()?;
    let mut network = network.lock().await;
    port(&network, &name)?;
    done(network.delete(&name).await?)
}

async fn attached(State(network): State<Shared>) -> Answer<AttachView> {
    let patterns = &network.lock().await.config.attach;
    Ok(Json(AttachView {
        patterns: patterns.iter().map(ToString::to_string).collect(),
    }))
}

async fn attach(State(network): State<Shared>, Body(request): Body<Attach>) -> Answer<Done> {
    let settings = PortSettings::from_keys(&request.keys)?;
    let interface = request.interface.as_str();
    if interface.parse::<PortName>().is_err() {
        let error = format!("{interface:?} cannot be the name of a port as well");
        return Err(ApiError::input(error).help(format!(
            "give the port one of its own: \
             `vmlan port add NAME --kind packet 'interface={interface}'`"
        )));
    }
    let mut network = network.lock().await;
    if request.may_exist && network.is_attached(interface) {
        network.identify(&interface.parse()?, request.external_ids)?;
        return done(format!("{interface} is attached already"));
    }
    network.attach(interface, &settings).await?;
    network.identify(&interface.parse()?, request.external_ids)?;
    done(format!("{interface} attached"))
}

async fn identify_port(
    State(network): State<Shared>,
    Path(name): Path<String>,
    Body(external_ids): Body<ExternalIds>,
) -> Answer<Done> {
    let name: PortName = name.parse()?;
    let mut network = network.lock().await;
    port(&network, &name)?;
    network.identify(&name, external_ids)?;
    done(format!("port {name} changed"))
}

async fn detach(State(network): State<Shared>, Path(interface): Path<String>) -> Answer<Done> {
    let mut network = network.lock().await;
    let detached = network.detach(&interface).await;
    done(detached.map_err(|error| not_attached(&network, &interface, error))?)
}

/// Why a netdev cannot be detached: what is there instead, if it is a port of
/// another kind.
fn not_attached(network: &Network, interface: &str, error: ApiError) -> ApiError {
    let name = interface.parse::<PortName>().ok();
    match name.and_then(|name| network.ports.get(&name)) {
        Some(port) => ApiError::not_found(format!(
            "{interface} is a {} port, not a netdev that was attached",
            port.kind
        ))
        .help(format!("`vmlan port del {interface}` takes it away")),
        None => ApiError {
            fault: Fault::NotFound,
            ..error
        },
    }
}

async fn fdb(State(network): State<Shared>) -> Answer<Vec<FdbEntryView>> {
    network.lock().await.fdb_views().map(Json)
}

async fn add_fdb(State(network): State<Shared>, Body(request): Body<AddFdb>) -> Answer<Done> {
    let AddFdb { mac, port, vlan } = request;
    value::check_station(mac)?;
    let network = network.lock().await;
    let id = self::port(&network, &port)?.id;
    network
        .switch
        .fdb_add(mac, vlan.id(), id)
        .map_err(ApiError::runtime)?;
    changed(format!("{mac} is pinned to {port}"))
}

async fn delete_fdb(
    State(network): State<Shared>,
    Path(mac): Path<String>,
    Query(query): Query<DeleteFdb>,
) -> Answer<Done> {
    let mac = value::station_mac(&mac)?;
    let network = network.lock().await;
    if network.switch.fdb_remove(mac, query.vlan.id()) {
        return changed(format!("{mac} is forgotten"));
    }
    Err(ApiError::not_found(format!("{mac} is not in the table"))
        .help("`vmlan fdb` lists the stations"))
}

async fn flush_fdb(State(network): State<Shared>, Body(request): Body<FlushFdb>) -> Answer<Done> {
    let network = network.lock().await;
    let (id, which) = match &request.port {
        Some(name) => (Some(port(&network, name)?.id), format!(" of port {name}")),
        None => (None, String::new()),
    };
    network.switch.fdb_flush(id);
    changed(format!("learned entries{which} are forgotten"))
}

async fn leases(State(network): State<Shared>) -> Answer<Vec<LeaseView>> {
    Ok(Json(network.lock().await.lease_views()))
}

async fn delete_lease(State(network): State<Shared>, Path(address): Path<String>) -> Answer<Done> {
    let address = value::ipv4(&address)?;
    let released = network.lock().await.dhcp.release(address);
    let mac = released.map_err(|error| match error {
        DhcpError::NotLeased(_) => ApiError::not_found(format!("{address} is not leased"))
            .help("`vmlan leases` lists those that are"),
        other => ApiError::runtime(chain(other)),
    })?;
    changed(format!("the lease of {address} by {mac} is deleted"))
}

async fn import_leases(
    State(network): State<Shared>,
    Body(request): Body<ImportLeases>,
) -> Answer<Done> {
    let imported = network.lock().await.dhcp.import(&request.text);
    changed(imported.map_err(|error| match error {
        DhcpError::NoLeases(_) => ApiError::input(chain(error)).help(
            "give a lease file of dnsmasq, as /var/lib/misc/dnsmasq.leases, or libvirt's \
             /var/lib/libvirt/dnsmasq/BRIDGE.status",
        ),
        other => ApiError::runtime(chain(other)),
    })?)
}

async fn hosts(State(network): State<Shared>) -> Answer<Vec<HostView>> {
    Ok(Json(network.lock().await.host_views()))
}

async fn add_host(State(network): State<Shared>, Body(host): Body<HostEntry>) -> Answer<Done> {
    changed(network.lock().await.add_host(host)?)
}

async fn delete_host(State(network): State<Shared>, Path(host): Path<String>) -> Answer<Done> {
    changed(network.lock().await.delete_host(&host)?)
}

async fn log() -> Answer<LogView> {
    Ok(Json(LogView {
        filter: crate::log::filter(),
    }))
}

async fn set_log(Body(request): Body<LogView>) -> Answer<Done> {
    let said = format!("the log is written by the filter {} now", request.filter);
    crate::log::set(request.filter);
    changed(said)
}

async fn reload_config(State(network): State<Shared>, Body(request): Body<Reload>) -> Answer<Done> {
    let mut network = network.lock().await;
    done(reload::reload(&mut network, request.dry_run).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AddFdb;

    fn refused<T: DeserializeOwned>(body: &str) -> ApiError {
        match Json::<T>::from_bytes(body.as_bytes()) {
            Ok(_) => panic!("{body} is taken"),
            Err(rejection) => rejection.into(),
        }
    }

    #[test]
    fn the_mend_of_a_bad_body_stands_apart() {
        let error = refused::<AddPort>(r#"{"name": "a/b"}"#);
        assert!(!error.error.contains("help:"), "{error:?}");
        assert!(error.error.contains("no name for a port"), "{error:?}");
        assert!(error.error.contains("at line 1"), "{error:?}");
        let help = error.help.unwrap();
        assert!(help.ends_with("_, . and -"), "{help}");
    }

    #[test]
    fn a_vlan_that_cannot_be_is_refused() {
        let body = r#"{"mac": "52:54:00:00:00:01", "port": "p", "vlan": 4095}"#;
        let error = refused::<AddFdb>(body);
        assert!(error.error.contains("4095 is no VLAN"), "{error:?}");
        assert_eq!(error.fault, Fault::Input);
        assert!(rejected("plain").help.is_none());
    }
}
