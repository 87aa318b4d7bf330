//! `<dns>` of a description, as `[dns]`.

use super::super::dns::NUMBERS;
use super::{Work, quoted};
use std::fmt::Write as _;
use toml::Spanned;

impl Work<'_> {
    /// `[dns]` with all below it, where the network has an address to answer from.
    pub(super) fn dns(&mut self) {
        let network = self.network;
        let dns = &network.dns;
        if self.gateway().is_none() {
            return self.dns_without_address();
        }
        let mut keys = String::new();
        if !dns.enabled {
            keys += "enabled = false\n";
        }
        // libvirt has other servers asked what its own does not know of the domain.
        let local = network.domain_local.as_ref();
        if dns.enabled && network.domain.is_some() && local.is_none_or(|it| !it.get_ref()) {
            keys += "authoritative = false\n";
        }
        if let Some(plain) = &dns.forward_plain_names
            && *plain.get_ref()
        {
            keys += "forward-plain-names = true\n";
        }
        if !keys.is_empty() {
            self.parts.push(format!("\n[dns]\n{keys}"));
        }
        for forwarder in &dns.forwarders {
            let (domain, address) = forwarder.get_ref();
            let mut table = "\n[[dns.forwarder]]\n".to_owned();
            key(&mut table, "domain", domain.as_deref());
            key(&mut table, "address", address.as_deref());
            self.maybe(forwarder.span(), "<forwarder>", table);
        }
        for host in &dns.hosts {
            let (address, names) = host.get_ref();
            let list: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            let table = format!(
                "\n[[dns.host]]\naddress = {}\nnames   = [{}]\n",
                quoted(address),
                list.join(", ")
            );
            self.maybe(host.span(), &format!("<host ip='{address}'>"), table);
        }
        for text in &dns.texts {
            let (name, value) = text.get_ref();
            let table = format!(
                "\n[[dns.txt]]\nname  = {}\nvalue = {}\n",
                quoted(name),
                quoted(value)
            );
            self.maybe(text.span(), &format!("<txt name='{name}'>"), table);
        }
        for service in &dns.services {
            let (at, service) = (service.span(), service.get_ref());
            let mut table = "\n[[dns.srv]]\n".to_owned();
            key(&mut table, "service", Some(&service.service));
            key(&mut table, "protocol", Some(&service.protocol));
            key(&mut table, "domain", service.domain.as_deref());
            key(&mut table, "target", service.target.as_deref());
            for (name, number) in NUMBERS.iter().zip(service.numbers) {
                if let Some(number) = number {
                    // Writing to a string does not fail.
                    let _ = writeln!(table, "{name} = {number}");
                }
            }
            self.maybe(at, &format!("<srv service='{}'>", service.service), table);
        }
    }

    fn dns_without_address(&mut self) {
        let dns = &self.network.dns;
        let spans = [
            ("<forwarder>", spans(&dns.forwarders)),
            ("<host> of <dns>", spans(&dns.hosts)),
            ("<txt>", spans(&dns.texts)),
            ("<srv>", spans(&dns.services)),
        ];
        for (what, spans) in spans {
            for span in spans {
                let reason = "the network has no address that names could be asked of";
                self.leave(&span, what, reason);
            }
        }
    }
}

fn spans<T>(list: &[Spanned<T>]) -> Vec<std::ops::Range<usize>> {
    list.iter().map(Spanned::span).collect()
}

fn key(table: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        // Writing to a string does not fail.
        let _ = writeln!(table, "{name} = {}", quoted(value));
    }
}
