//! The client of the control socket: HTTP/1.1 with JSON bodies over
//! `RUN/NAME/control.sock`, one connection a request.

mod lines;

use crate::args::Place;
use crate::config::NetworkName;
use crate::host::group;
use crate::model::ApiError;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// The longest answer that is read, in bytes: more than a million leases have.
const MAX_ANSWER: usize = 256 << 20;
/// How long an answer may take, unless the caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

type Body = Full<Bytes>;
type Socket = TokioIo<UnixStream>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody serves the network.
    #[error(
        "network \"{network}\" is not running ({why} {})\nhelp: start it with `{start}`",
        socket.display()
    )]
    NotRunning {
        /// The network.
        network: NetworkName,
        /// The socket that was tried.
        socket: PathBuf,
        /// `no`, or `nobody listens on`.
        why: &'static str,
        /// The command that starts it.
        start: String,
    },
    /// The user may not talk to it.
    #[error(
        "no permission to use {}\nhelp: run this as {whom}",
        socket.display()
    )]
    Permission {
        /// The socket that was tried.
        socket: PathBuf,
        /// Who may.
        whom: String,
    },
    /// It cannot be reached for another reason.
    #[error("cannot connect to {}: {error}", socket.display())]
    Connect {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It said no.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The request could not be written or the answer not be read.
    #[error("the answer of {} is of no use: {what}", socket.display())]
    Answer {
        /// The socket that was used.
        socket: PathBuf,
        /// What is wrong with the answer.
        what: String,
    },
}

/// The client of one network's control socket.
#[derive(Debug)]
pub struct Client {
    network: NetworkName,
    socket: PathBuf,
    /// The command that starts the network.
    start: String,
    /// How long an answer may take.
    patience: Duration,
}

/// What may stand in a part of a path as it is (RFC 3986 §3.3: `unreserved`).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `text` as one part of a path.
#[must_use]
pub fn segment(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, SEGMENT)
}

impl Client {
    /// The client of the network at `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self::of(place, &place.network())
    }

    /// The client of `network` among those at `place`.
    #[must_use]
    pub fn of(place: &Place, network: &NetworkName) -> Self {
        let network = network.clone();
        let socket = place.run_dir().join(network.as_str()).join("control.sock");
        let mut start = format!("vmlan run --network {network}");
        for (option, dir) in [("run", &place.run_dir), ("state", &place.state_dir)] {
            if let Some(dir) = dir {
                start.push_str(&format!(" --{option}-dir {}", dir.display()));
            }
        }
        Self {
            network,
            socket,
            start,
            patience: PATIENCE,
        }
    }

    /// The client that waits for each answer for as long as `patience`.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The network that it asks.
    #[must_use]
    pub fn network(&self) -> &NetworkName {
        &self.network
    }

    /// Reads what is at `path`.
    ///
    /// # Errors
    /// There is no answer, or it is an error.
    pub fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        self.request(&Method::GET, path, None)
    }

    /// Has something done at `path`: `method` with `body` as JSON.
    ///
    /// # Errors
    /// There is no answer, or it is an error.
    pub fn send<A: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.answer(error))?;
        self.request(method, path, Some(body))
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// There is no answer, or it is an error.
    pub fn delete<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        self.request(&Method::DELETE, path, None)
    }

    fn request<A: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<A, ClientError> {
        let (status, answer) = self.block_on(async {
            tokio::time::timeout(self.patience, self.exchange(method, path, body))
                .await
                .map_err(|_| {
                    self.answer(format!("none within {:.1} s", self.patience.as_secs_f32()))
                })?
        })??;
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(|error| self.answer(error));
        }
        let error: ApiError = serde_json::from_slice(&answer)
            .map_err(|_| self.answer(format!("HTTP status {status}")))?;
        Err(error.into())
    }

    /// One request and its answer over a connection of its own.
    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let (mut sender, connection) = self.connect().await?;
        let request = self.prepare(method, path, body)?;
        let exchange = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| self.answer(error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await
                .map_err(|error| self.answer(error))?;
            Ok((status, body.to_bytes()))
        };
        // The connection has to be driven while its answer is waited for.
        tokio::pin!(connection, exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            ended = &mut connection => match ended {
                // All is read by then, but not yet taken.
                Ok(()) => exchange.await,
                Err(error) => Err(self.answer(error)),
            },
        }
    }

    /// Waits for `future` on a runtime of its own.
    fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.connect_error(error))?;
        Ok(runtime.block_on(future))
    }

    async fn connect(&self) -> Result<(SendRequest<Body>, Connection<Socket, Body>), ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.connect_error(error))?;
        http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.answer(error))
    }

    fn prepare(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Request<Body>, ClientError> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "vmlan")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.unwrap_or_default()))
            .map_err(|error| self.answer(error))
    }

    fn connect_error(&self, error: io::Error) -> ClientError {
        let socket = self.socket.clone();
        let not_running = |why, socket| ClientError::NotRunning {
            network: self.network.clone(),
            socket,
            why,
            start: self.start.clone(),
        };
        match error.kind() {
            io::ErrorKind::NotFound => not_running("no", socket),
            // The socket of a process that was killed.
            io::ErrorKind::ConnectionRefused => not_running("nobody listens on", socket),
            io::ErrorKind::PermissionDenied => ClientError::Permission {
                whom: whom(&socket),
                socket,
            },
            _ => ClientError::Connect { socket, error },
        }
    }

    fn answer(&self, what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Answer {
            socket: self.socket.clone(),
            what: what.into().to_string(),
        }
    }
}

/// Who may use `socket`: its owner, or that of the first folder above it that
/// can be seen.
fn whom(socket: &Path) -> String {
    let owner = socket.ancestors().find_map(|path| path.metadata().ok());
    match owner.map(|metadata| (metadata.uid(), metadata.gid())) {
        None | Some((0, 0)) => "root".to_owned(),
        Some((0, _)) => format!("root, or as a member of the group {}", group::NAME),
        Some((uid, _)) => format!("the user {uid}, who runs `vmlan run`, or as root"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Done, Fault};
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::thread;

    fn place(run_dir: &Path, network: &str) -> Place {
        Place {
            network: Some(network.parse().unwrap()),
            run_dir: Some(run_dir.to_owned()),
            state_dir: None,
        }
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(segment("x#y?z.0").to_string(), "x%23y%3Fz.0");
    }

    /// A server that takes one request and gives `answer`; its result is what
    /// it was sent.
    fn serve(answer: &'static str) -> (tempfile::TempDir, Client, thread::JoinHandle<String>) {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(&place(dir.path(), "default"));
        std::fs::create_dir(dir.path().join("default")).unwrap();
        let listener = UnixListener::bind(&client.socket).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"}") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
                let head = String::from_utf8_lossy(&request);
                if head.ends_with("\r\n\r\n") && head.contains("content-length") {
                    while !request.ends_with(b"}") {
                        stream.read_exact(&mut byte).unwrap();
                        request.push(byte[0]);
                    }
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (dir, client, server)
    }

    #[test]
    fn a_request_carries_json_and_its_answer_is_read() {
        let (_dir, client, server) =
            serve("HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"message\":\"done\"}");
        let body = serde_json::json!({"name": "lan0"});
        let done: Done = client.send(&Method::POST, "/v1/ports", &body).unwrap();
        assert_eq!(done.message, "done");
        let request = server.join().unwrap();
        assert!(
            request.starts_with("POST /v1/ports HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.ends_with("{\"name\":\"lan0\"}"), "{request}");
    }

    #[test]
    fn an_answer_that_ends_with_the_connection_is_read() {
        let (_dir, client, server) =
            serve("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"message\":\"done\"}");
        let done: Done = client.get("/v1/status").unwrap();
        assert_eq!(done.message, "done");
        server.join().unwrap();
    }

    #[test]
    fn an_error_answer_says_whose_fault_it_is() {
        let (_dir, client, server) = serve(
            "HTTP/1.1 409 Conflict\r\nconnection: close\r\n\r\n\
             {\"error\":\"port name taken\",\"help\":\"use another\",\"fault\":\"input\"}",
        );
        let error = client.delete::<Done>("/v1/ports/x").unwrap_err();
        assert_eq!(error.to_string(), "port name taken\nhelp: use another");
        let ClientError::Refused(refused) = error else {
            panic!("{error}");
        };
        assert_eq!(refused.fault, Fault::Input);
        server.join().unwrap();
    }

    #[test]
    fn an_answer_that_is_no_http_or_no_json_is_an_error() {
        for answer in [
            "",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
            "HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\n",
        ] {
            let (_dir, client, server) = serve(answer);
            let error = client.get::<Done>("/v1/status").unwrap_err();
            assert!(matches!(error, ClientError::Answer { .. }), "{error}");
            server.join().unwrap();
        }
    }

    #[test]
    fn a_network_that_nobody_serves_is_named_with_the_mend() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(&place(dir.path(), "lab"));
        let error = client.get::<Done>("/v1/status").unwrap_err();
        let socket = dir.path().join("lab/control.sock");
        assert_eq!(
            error.to_string(),
            format!(
                "network \"lab\" is not running (no {})\n\
                 help: start it with `vmlan run --network lab --run-dir {}`",
                socket.display(),
                dir.path().display()
            )
        );
        // The socket of a process that was killed.
        std::fs::create_dir(dir.path().join("lab")).unwrap();
        drop(UnixListener::bind(&socket).unwrap());
        let error = client.get::<Done>("/v1/status").unwrap_err();
        assert!(error.to_string().contains("nobody listens on"), "{error}");
    }

    #[test]
    fn missing_permission_is_named_with_the_mend() {
        let client = Client::new(&place(Path::new("/x"), "default"));
        let error = client.connect_error(io::ErrorKind::PermissionDenied.into());
        assert!(error.to_string().contains("as root"), "{error}");
    }
}
