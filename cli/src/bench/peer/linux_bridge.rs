//! The Linux kernel's bridge as `ip link add type bridge` makes it: what
//! libvirt's default network uses.

use super::{Switch, veth};
use crate::bench::lab::namespace::Namespace;
use anyhow::Result;
use std::rc::Rc;

/// The bridge `br0`; it goes with its namespace.
pub(super) struct LinuxBridge {
    namespace: Rc<Namespace>,
}

impl LinuxBridge {
    pub(super) fn start(namespace: &Rc<Namespace>) -> Result<Self> {
        namespace.run("ip link add br0 type bridge; ip link set br0 up")?;
        Ok(Self {
            namespace: Rc::clone(namespace),
        })
    }

    fn enslave(&self, netdev: &str) -> Result<()> {
        self.namespace
            .run(&format!("ip link set {netdev} master br0"))
            .map(drop)
    }
}

impl Switch for LinuxBridge {
    fn attach(&mut self, netdev: &str) -> Result<()> {
        self.enslave(netdev)
    }

    fn connect(&mut self, station: &Namespace, number: usize) -> Result<()> {
        let near = format!("port{number}");
        veth(&self.namespace, &near, station)?;
        self.enslave(&near)
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}
