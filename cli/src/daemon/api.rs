//! The control socket: HTTP/1.1 with JSON bodies. Each request holds the
//! network for as long as it takes, one after another.

use super::network::{Network, no_port};
use super::reload;
use crate::config::{PortName, PortSettings};
use crate::model::{
    AddFdb, AddPort, ApiError, Attach, DeleteFdb, Done, Fault, FdbEntryView, FlushFdb, LeaseView,
    PortView, SetPort, StatusView,
};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use pnet_base::MacAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The longest request body in bytes.
const BODY: usize = 64 << 10;

/// A network that several tasks work on.
pub(super) type Shared = Arc<Mutex<Network>>;

type Answer<T> = Result<Json<T>, ApiError>;

/// The routes of the control socket.
pub(super) fn router(network: Shared) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/ports", get(ports).post(add_port))
        .route("/v1/ports/{name}", delete(delete_port).patch(set_port))
        .route("/v1/attach", post(attach))
        .route("/v1/attach/{interface}", delete(detach))
        .route("/v1/fdb", get(fdb).post(add_fdb))
        .route("/v1/fdb/flush", post(flush_fdb))
        .route("/v1/fdb/{mac}", delete(delete_fdb))
        .route("/v1/leases", get(leases))
        .route("/v1/leases/{address}", delete(delete_lease))
        .route("/v1/reload", post(reload_config))
        .route("/metrics", get(super::metrics::metrics))
        .fallback(async || {
            let error = ApiError::input("there is no such resource");
            (StatusCode::NOT_FOUND, Json(error))
        })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(network)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self.fault {
            Fault::Input => StatusCode::BAD_REQUEST,
            Fault::Runtime => StatusCode::CONFLICT,
        };
        (status, Json(self)).into_response()
    }
}

/// A JSON body, whose errors are ours.
#[derive(FromRequest)]
#[from_request(via(Json), rejection(ApiError))]
struct Body<T>(T);

/// A part of the path, whose errors are ours.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
struct Path<T>(T);

/// The query, whose errors are ours.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
struct Query<T>(T);

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::input(rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::input(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::input(rejection.body_text())
    }
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
    Path(name): Path<PortName>,
    Body(keys): Body<SetPort>,
) -> Answer<Done> {
    let settings = PortSettings::from_keys(&keys)?;
    done(network.lock().await.set(&name, &settings)?)
}

async fn delete_port(State(network): State<Shared>, Path(name): Path<PortName>) -> Answer<Done> {
    done(network.lock().await.delete(&name)?)
}

async fn attach(State(network): State<Shared>, Body(request): Body<Attach>) -> Answer<Done> {
    let settings = PortSettings::from_keys(&request.keys)?;
    let interface = request.interface.as_str();
    network.lock().await.attach(interface, &settings).await?;
    done(format!("{interface} attached"))
}

async fn detach(State(network): State<Shared>, Path(interface): Path<String>) -> Answer<Done> {
    done(network.lock().await.detach(&interface)?)
}

async fn fdb(State(network): State<Shared>) -> Answer<Vec<FdbEntryView>> {
    network.lock().await.fdb_views().map(Json)
}

async fn add_fdb(State(network): State<Shared>, Body(request): Body<AddFdb>) -> Answer<Done> {
    let AddFdb { mac, port, vlan } = request;
    if mac.octets().first().is_some_and(|first| first & 1 == 1) || mac == MacAddr::zero() {
        return Err(ApiError::input(format!("{mac} is no station's address"))
            .help("give the address of one station, such as 52:54:00:12:34:56"));
    }
    let network = network.lock().await;
    let id = network.ports.get(&port).ok_or_else(|| no_port(&port))?.id;
    network.switch.fdb_add(mac, vlan, id)?;
    done(format!("{mac} is pinned to {port}"))
}

async fn delete_fdb(
    State(network): State<Shared>,
    Path(mac): Path<MacAddr>,
    Query(query): Query<DeleteFdb>,
) -> Answer<Done> {
    if network.lock().await.switch.fdb_remove(mac, query.vlan)? {
        return done(format!("{mac} is forgotten"));
    }
    Err(ApiError::runtime(format!("{mac} is not in the table"))
        .help("`vmlan fdb` lists the stations"))
}

async fn flush_fdb(State(network): State<Shared>, Body(request): Body<FlushFdb>) -> Answer<Done> {
    let network = network.lock().await;
    let port = match &request.port {
        Some(port) => Some(network.ports.get(port).ok_or_else(|| no_port(port))?.id),
        None => None,
    };
    network.switch.fdb_flush(port)?;
    done("learned entries are forgotten")
}

async fn leases(State(network): State<Shared>) -> Answer<Vec<LeaseView>> {
    Ok(Json(network.lock().await.lease_views()))
}

async fn delete_lease(
    State(network): State<Shared>,
    Path(address): Path<Ipv4Addr>,
) -> Answer<Done> {
    let released = network.lock().await.dhcp.release(address);
    let mac = released.map_err(|e| ApiError::runtime(super::network::chain(e)))?;
    done(format!("the lease of {address} by {mac} is deleted"))
}

async fn reload_config(State(network): State<Shared>) -> Answer<Done> {
    done(reload::reload(&mut *network.lock().await).await?)
}
