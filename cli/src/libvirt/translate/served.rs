//! `<dhcp>` and `<tftp>` of a description.

use super::super::dnsmasq::{self, Meaning};
use super::super::xml::{Dhcp, Host, Lease};
use super::{Work, addresses, quoted};
use std::ops::Range;
use toml::Spanned;
use vmlan_dhcp::hostname;

impl Work<'_> {
    /// `[dhcp]` with all below it, and `[tftp]`.
    pub(super) fn dhcp(&mut self) {
        let network = self.network;
        let served = self.gateway().map(Spanned::span);
        for ip in &network.ips {
            if Some(ip.span()) != served {
                let what = format!("<ip address='{}'>", ip.get_ref().address.addr());
                let reason = "a network of vmlan has one address: guests that use this one as \
                              their gateway lose it";
                self.leave(&ip.span(), &what, reason);
            }
        }
        // Found by its place, so that `self` is free to be changed.
        let ip = network.ips.iter().find(|ip| Some(ip.span()) == served);
        match ip.and_then(|ip| ip.get_ref().dhcp.as_ref()) {
            Some(dhcp) => self.served(dhcp),
            // Where there is no address, there is no DHCP by itself.
            None if ip.is_some() => self.parts.push("\n[dhcp]\nenabled = false\n"),
            None => {}
        }
        if let Some(tftp) = ip.and_then(|ip| ip.get_ref().tftp.as_ref()) {
            let table = format!("\n[tftp]\nroot = {}\n", quoted(tftp.get_ref()));
            self.maybe(tftp.span(), "<tftp>", table);
        }
    }

    fn served(&mut self, dhcp: &Dhcp) {
        self.parts.push("\n[dhcp]\n");
        let mut ranges = dhcp.ranges.iter();
        let first = ranges.next();
        match first {
            Some(range) => {
                let (at, range) = (range.span(), range.get_ref());
                let line = format!("range = {}\n", addresses(&[range.start, range.end]));
                self.maybe(at.clone(), "<range>", line);
                if let Some(lease) = range.lease {
                    self.maybe(at, "<lease>", lease_time(lease));
                }
            }
            // dnsmasq then has a range `static`.
            None => self.parts.push("known-only = true\n"),
        }
        if let Some(file) = &dhcp.boot_file {
            let line = format!("filename = {}\n", quoted(file.get_ref()));
            self.maybe(file.span(), "<bootp file=…>", line);
        }
        if let Some(server) = &dhcp.boot_server {
            let line = format!("next-server = {}\n", quoted(server.get_ref()));
            self.maybe(server.span(), "<bootp server=…>", line);
        }
        let tables = self.own_options();
        let sets = |option: &str| tables.iter().any(|(_, _, table)| sets(table, option));
        let (router, servers) = (sets("router"), sets("dns-server"));
        self.parts.push("\n[dhcp.options]\n");
        if self.network.forward.is_none() && !router {
            let reason = "# the network leads nowhere, as libvirt's isolated ones\n";
            self.parts.push(format!("{reason}router = \"\"\n"));
        }
        if !servers && !self.network.dns.enabled {
            self.parts.push("dns-server = \"\"\n");
        }
        for range in ranges {
            let (at, range) = (range.span(), range.get_ref());
            let mut table = format!(
                "\n[[dhcp.pool]]\nrange = {}\n",
                addresses(&[range.start, range.end])
            );
            let other = first.is_some_and(|first| first.get_ref().lease != range.lease);
            match range.lease {
                Some(lease) => table += &lease_time(lease),
                None if other => table += "lease-time = \"1h\"\n",
                None => {}
            }
            self.maybe(at, "<range>", table);
        }
        for host in &dhcp.hosts {
            self.host(host);
        }
        for (at, what, table) in tables {
            self.maybe(at, &what, table);
        }
    }

    fn host(&mut self, host: &Spanned<Host>) {
        let (at, host) = (host.span(), host.get_ref());
        let shown = host
            .address
            .map_or_else(String::new, |ip| format!(" ip='{ip}'"));
        let what = format!("<host{shown}>");
        let mut table = "\n[[dhcp.host]]\n".to_owned();
        if let Some(mac) = host.mac {
            table += &format!("mac     = \"{mac}\"\n");
        }
        if let Some(id) = &host.id {
            table += &format!("client-id = {}\n", quoted(id));
        }
        if let Some(address) = host.address {
            table += &format!("address = \"{address}\"\n");
        }
        if let Some(name) = &host.name {
            let (label, domain) = name.split_once('.').unwrap_or((name, ""));
            let own = self.network.domain.as_ref().map(Spanned::get_ref);
            if !hostname::is_label(label) {
                self.leave(
                    &at,
                    &format!("{what}: the name {name:?}"),
                    "it is no host name (RFC 1123 §2.1)",
                );
            } else {
                table += &format!("name    = {}\n", quoted(label));
                if !domain.is_empty() && own.is_none_or(|own| own != domain) {
                    let reason = format!("vmlan hands out the name {label:?} without a domain");
                    self.leave(&at, &format!("{what}: the domain {domain:?}"), &reason);
                }
            }
        }
        if let Some(lease) = host.lease {
            table += &lease_time(lease);
        }
        self.maybe(at, &what, table);
    }

    /// `<dnsmasq:options>`: keys are added to `[dhcp]`, tables returned.
    fn own_options(&mut self) -> Vec<(Range<usize>, String, String)> {
        let mut tables = Vec::new();
        for option in &self.network.dnsmasq {
            let (at, text) = (option.span(), option.get_ref());
            let what = format!("dnsmasq's option {text:?}");
            match dnsmasq::translate(text) {
                Meaning::Key(lines) => self.maybe(at, &what, lines),
                Meaning::Table(table) => tables.push((at, what, table)),
                Meaning::Always => {}
                Meaning::None(reason) => self.leave(&at, &what, reason),
            }
        }
        tables
    }
}

fn lease_time(lease: Lease) -> String {
    match lease {
        Lease::Infinite => "lease-time = \"infinite\"\n".to_owned(),
        Lease::For(time) => format!("lease-time = \"{}s\"\n", time.as_secs()),
    }
}

/// Whether `table`, one of dnsmasq's options translated, sets `option` for all.
fn sets(table: &str, option: &str) -> bool {
    let number = match option {
        "router" => "3",
        _ => "6",
    };
    let mut lines = table.lines();
    let named = lines.any(|line| {
        let value = line.strip_prefix("option = ");
        value.is_some_and(|value| value == quoted(option) || value == number)
    });
    named && table.contains("[[dhcp.option]]") && !table.contains("\ntag = ")
}
