//! Hears of it when somebody changes rules: a firewall that starts again or
//! loads its rules anew, `nft flush ruleset`.
//!
//! The kernel tells of each change of nftables, iptables on top of it included,
//! by the group `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h). What has
//! changed is looked up once it is quiet again; so of the messages only that
//! they came counts, and none can be lost.

use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;

/// No further change for so long counts as quiet.
const QUIET: Duration = Duration::from_millis(500);

/// The longest wait for quiet. A host whose rules change all the time has them
/// looked at so often.
const LONGEST: Duration = Duration::from_secs(5);

/// Changes of the rules in this network namespace.
pub(crate) struct Watch {
    /// [`None`] where the kernel tells nothing.
    socket: Option<TokioSocket>,
    /// Rules have changed: until when it has to be quiet, and the longest wait.
    waiting: Option<(Instant, Instant)>,
}

impl Watch {
    /// Listens from now on. Where the kernel has no nftables, or the rights are
    /// missing, no change ever comes.
    pub(crate) fn new() -> Self {
        let socket = Self::listen();
        if let Err(error) = &socket {
            tracing::debug!("changes of nftables cannot be heard of: {error}");
        }
        Self {
            socket: socket.ok(),
            waiting: None,
        }
    }

    fn listen() -> io::Result<TokioSocket> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        let netlink = socket.socket_mut();
        netlink.bind(&SocketAddr::new(0, 0))?;
        netlink.add_membership(GROUP)?;
        Ok(socket)
    }

    /// Waits until rules have changed and it is quiet again. May be dropped
    /// while it waits; nothing is lost.
    pub(crate) async fn changed(&mut self) {
        let Some(socket) = &mut self.socket else {
            return std::future::pending().await;
        };
        loop {
            match self.waiting {
                None => heard(socket).await,
                Some((quiet, longest)) => {
                    if timeout_at(quiet.min(longest), heard(socket)).await.is_err() {
                        self.waiting = None;
                        return;
                    }
                }
            }
            let now = Instant::now();
            let longest = self.waiting.map_or(now + LONGEST, |(_, longest)| longest);
            self.waiting = Some((now + QUIET, longest));
        }
    }
}

/// Waits for a message; one that was lost counts too.
async fn heard(socket: &mut TokioSocket) {
    if let Err(error) = socket.recv_from_full().await {
        tracing::debug!("nftables messages: {error}");
        // An error that stays is not to keep the thread busy.
        sleep(QUIET / 10).await;
    }
}
