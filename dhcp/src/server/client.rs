//! Who sent a request, as far as the configuration tells, and where it is.

use std::sync::Arc;

use super::Server;
use super::link::Link;
use crate::config::Host;
use crate::sender::Sender;
use crate::tag::Tags;
use crate::wire::Request;

/// The client of one request.
#[derive(Debug)]
pub(super) struct Client {
    /// What the frame tells.
    pub(super) sender: Sender,
    /// The static host that it is.
    pub(super) host: Option<Arc<Host>>,
    /// What it is marked with.
    pub(super) tags: Tags,
    /// Where it is.
    pub(super) link: Arc<Link>,
}

impl Client {
    /// The name that the configuration gives it.
    pub(super) fn name(&self) -> Option<&str> {
        self.host.as_ref()?.name.as_deref()
    }
}

impl Server {
    /// The client that sent `request`.
    pub(super) fn client(&self, request: &Request, sender: Sender) -> Client {
        Client {
            sender,
            host: self.host(request).cloned(),
            tags: Tags::default(),
            link: Arc::clone(&self.link),
        }
    }
}
