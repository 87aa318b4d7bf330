//! Events of the DHCP server, as users are told of them.

use crate::events::Event;
use vmlan_dhcp::{Event as Dhcp, leasefile};

/// The event that users are told of, and the port by which its client asked;
/// `None` for a mere step on the way.
pub(in crate::daemon) fn event(event: &Dhcp, port: Option<&str>) -> Option<Event> {
    let port = port.map(str::to_owned);
    Some(match *event {
        Dhcp::Bound { mac, address } => Event::LeaseBound { mac, address, port },
        Dhcp::Renewed { mac, address } => Event::LeaseRenewed { mac, address, port },
        Dhcp::Released { mac, address } => Event::LeaseReleased { mac, address, port },
        Dhcp::Expired { mac, address } => Event::LeaseExpired { mac, address },
        Dhcp::Refused {
            mac,
            address,
            refusal,
        } => Event::LeaseRefused {
            mac,
            address,
            reason: refusal.name().to_owned(),
            port,
        },
        Dhcp::Declined {
            mac,
            address,
            put_aside,
        } => Event::LeaseDeclined {
            mac,
            address,
            put_aside,
            port,
        },
        Dhcp::InUse {
            mac,
            address,
            holder,
            put_aside,
        } => Event::AddressInUse {
            mac,
            address,
            holder,
            put_aside,
        },
        Dhcp::DuplicateClientId {
            ref client_id,
            macs,
        } => {
            let mut hex = String::new();
            // Writing to a string does not fail.
            let _ = leasefile::write_hex(&mut hex, client_id);
            Event::DuplicateClientId {
                client_id: hex,
                macs,
            }
        }
        Dhcp::HostAddressTaken {
            mac,
            address,
            holder,
        } => Event::HostAddressTaken {
            mac,
            address,
            holder,
        },
        Dhcp::Offered { mac, address } => {
            tracing::debug!("DHCP: {mac} is offered {address}");
            return None;
        }
        Dhcp::Forgotten { mac, address } => {
            tracing::debug!("DHCP: {mac} is no longer remembered for {address}");
            return None;
        }
        Dhcp::BadHostname { mac } => {
            tracing::debug!("DHCP: {mac} sends a name that is no host name");
            return None;
        }
        Dhcp::OptionsLeftOut { mac, ref codes } => {
            tracing::debug!("DHCP: {mac} takes too short a message for the options {codes:?}");
            return None;
        }
    })
}
