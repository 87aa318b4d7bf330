//! vmlan's server, asked without a switch around it.

use super::Peer;
use super::case::Message;
use anyhow::Result;
use vmlan_dhcp::{Answer, Config, MacAddr, Origin, Sender, Server};

/// Of the clock nothing hangs here.
const NOW: u64 = 1_700_000_000;

/// A server whose clients are each on a port of their own.
#[derive(Debug)]
pub struct Ours {
    server: Server,
}

impl Ours {
    /// One that has leased nothing.
    ///
    /// # Errors
    /// It cannot serve `config`.
    pub fn new(config: Config) -> Result<Self> {
        let server = Server::new(config, [], 7, NOW)?;
        Ok(Self { server })
    }
}

impl Peer for Ours {
    fn ask(&mut self, message: &Message, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let mac = bytes.get(28..34).and_then(|mac| mac.try_into().ok());
        let mac: [u8; 6] = mac.unwrap_or_default();
        let [_, _, a, b, c, d] = mac;
        let sender = Sender {
            origin: Origin(u32::from_be_bytes([a, b, c, d])),
            mac: MacAddr::from(mac),
            unicast: message.unicast,
        };
        Ok(match self.server.handle(bytes, sender, NOW).answer {
            Answer::Reply(reply) => Some(reply.message),
            // Not with a configuration that probes for nothing.
            Answer::Silence(_) | Answer::Probe(_) => None,
        })
    }
}
