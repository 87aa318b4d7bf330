//! Names on the gateway's address, asked for by dig and getent from guests, from
//! the host and from outside.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vmlan_tests::dhcp_client::{Udhcpc, udhcpc};
use vmlan_tests::namespace::Namespace;
use vmlan_tests::outside::{HOST, Outside, SERVER};
use vmlan_tests::process::Process;
use vmlan_tests::station::Station;
use vmlan_tests::switch::{ISOLATED, Switch, taps};
use vmlan_tests::wait;

const GATEWAY: &str = "192.168.122.1";
const MACS: [&str; 2] = ["52:54:00:00:00:01", "52:54:00:00:00:02"];

/// The shell's way to ask once, and to say nothing but the answer.
const DIG: &str = "dig +tries=1 +time=2 @192.168.122.1";

/// What of the configuration has names.
const RECORDS: &str = r#"
[[dhcp.host]]
mac     = "52:54:00:00:00:77"
address = "192.168.122.77"
name    = "nas"

[[dns.host]]
address = "192.0.2.25"
names   = ["mail", "mx.example.org"]

[[dns.txt]]
name  = "note"
value = ["one", "two words"]

[[dns.srv]]
service  = "ldap"
protocol = "tcp"
target   = "nas"
port     = 389
priority = 5
weight   = 7
"#;

/// The file by which programs in a namespace find their name servers
/// (ip-netns(8)).
struct ResolvConf(PathBuf);

impl ResolvConf {
    fn new(namespace: &Namespace, text: &str) -> Result<Self> {
        let folder = PathBuf::from("/etc/netns").join(namespace.name());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("resolv.conf"), text)?;
        Ok(Self(folder))
    }
}

impl Drop for ResolvConf {
    fn drop(&mut self) {
        // What is left of a test's namespace does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `dig` answers, without the end of the line.
fn dig(station: &impl Station, arguments: &str) -> Result<String> {
    let answer = station.run(&format!("{DIG} {arguments}"))?;
    Ok(answer.trim_end().to_owned())
}

fn short(station: &impl Station, arguments: &str) -> Result<String> {
    dig(station, &format!("+short {arguments}"))
}

/// Number `key` of what `vmlan status` says of the name server.
fn counted(switch: &Switch, key: &str) -> Result<u64> {
    let status = switch.json("status")?;
    let value = status.pointer(&format!("/dns/{key}"));
    Ok(value.and_then(serde_json::Value::as_u64).unwrap_or(0))
}

#[test]
fn guests_and_the_host_find_leases_and_records_by_name_and_by_address() -> Result<()> {
    let switch = Switch::start(&format!("{ISOLATED}{RECORDS}{}", taps(&["c1", "c2"])))?;
    let guest = switch.container("c1", MACS[0])?;
    let other = switch.container("c2", MACS[1])?;
    let lease = udhcpc(&guest, "-x hostname:Web")?;
    ensure!(lease.option("dns") == GATEWAY, "{lease:?}");
    udhcpc(&other, "")?;
    let address = lease.address.to_string();
    for station in [&guest, &other, &*switch.namespace] {
        ensure!(short(station, "web.vm")? == address);
        ensure!(short(station, "WEB")? == address);
        ensure!(short(station, &format!("-x {address}"))? == "web.vm.");
        ensure!(short(station, "nas.vm")? == "192.168.122.77");
        ensure!(short(station, "mx.example.org")? == "192.0.2.25");
        ensure!(short(station, "note.vm TXT")? == "\"one\" \"two words\"");
        ensure!(short(station, "_ldap._tcp.vm SRV")? == "5 7 389 nas.vm.");
        ensure!(short(station, "gateway.vm")? == GATEWAY);
    }
    let nobody = dig(&guest, "nobody.vm")?;
    ensure!(
        nobody.contains("status: NXDOMAIN") && nobody.contains("SOA"),
        "{nobody}"
    );
    ensure!(nobody.contains("flags: qr aa rd ra"), "{nobody}");
    let none = dig(&guest, "web.vm AAAA")?;
    ensure!(
        none.contains("status: NOERROR") && none.contains("ANSWER: 0"),
        "{none}"
    );

    // As programs ask, with the search domain that they are told.
    let told = format!("search {}\nnameserver {GATEWAY}\n", lease.option("domain"));
    let _guest = ResolvConf::new(&guest, &told)?;
    let _host = ResolvConf::new(&switch.namespace, &told)?;
    for station in [&guest, &*switch.namespace] {
        ensure!(station.run("getent ahostsv4 web")?.starts_with(&address));
        ensure!(
            station
                .run(&format!("getent hosts {address}"))?
                .contains("web.vm")
        );
        // busybox asks in another way.
        ensure!(
            station
                .run("busybox nslookup nas.vm")?
                .contains("192.168.122.77")
        );
    }
    Ok(())
}

#[test]
fn what_is_too_long_for_a_datagram_comes_by_tcp() -> Result<()> {
    let values: Vec<String> = (0..8)
        .map(|n| format!("\"{}\"", "x".repeat(200 + n)))
        .collect();
    let long = format!(
        "\n[[dns.txt]]\nname = \"long\"\nvalue = [{}]\n",
        values.join(", ")
    );
    let switch = Switch::start(&format!("{ISOLATED}{long}{}", taps(&["c1"])))?;
    let guest = switch.container("c1", MACS[0])?;
    udhcpc(&guest, "")?;
    for size in ["+noedns", "+bufsize=512", "+bufsize=1232", "+bufsize=4096"] {
        let cut = dig(&guest, &format!("+ignore {size} long.vm TXT"))?;
        ensure!(
            cut.contains("flags: qr aa tc") && cut.contains("ANSWER: 0"),
            "{cut}"
        );
        let whole = dig(&guest, &format!("{size} long.vm TXT"))?;
        ensure!(
            whole.contains("retrying in TCP mode") && whole.contains("(TCP)"),
            "{whole}"
        );
        ensure!(whole.contains(&"x".repeat(207)), "{whole}");
    }
    // Several questions by one connection.
    let both = dig(&guest, "+tcp +keepopen +short long.vm A gateway.vm A")?;
    ensure!(both == GATEWAY, "{both}");
    Ok(())
}

#[test]
fn a_name_moves_to_the_guest_that_has_it_last() -> Result<()> {
    let switch = Switch::start(&format!("{ISOLATED}{}", taps(&["c1", "c2"])))?;
    let first = switch.container("c1", MACS[0])?;
    let second = switch.container("c2", MACS[1])?;
    let (mut client, lease) = Udhcpc::start(&first, "-x hostname:db")?;
    let moved = udhcpc(&second, "-x hostname:db")?;
    ensure!(short(&first, "db.vm")? == moved.address.to_string());
    ensure!(short(&first, &format!("-x {}", lease.address))?.is_empty());
    // Back to whom it was taken from.
    switch
        .cli(&format!("lease del {}", moved.address))?
        .success()?;
    ensure!(short(&first, "db.vm")? == lease.address.to_string());
    client.release()?;
    wait::until("the name is gone", wait::SOON, || {
        let answer = dig(&second, "db.vm")?;
        ensure!(answer.contains("status: NXDOMAIN"), "{answer}");
        Ok(())
    })?;
    // A guest does not get the names by which others are steered.
    for name in ["wpad", "gateway", "localhost"] {
        let lease = udhcpc(&second, &format!("-x hostname:{name}"))?;
        let found = short(&second, &format!("{name}.vm"))?;
        ensure!(found != lease.address.to_string(), "{name}");
    }
    Ok(())
}

/// An internet with a name server, which knows `www.example` and others.
fn upstream(internet: &Namespace) -> Result<Process> {
    let long: Vec<String> = (0..9).map(|_| "y".repeat(200)).collect();
    server(
        internet,
        SERVER,
        &format!(
            "--host-record=www.example,198.51.100.7 --txt-record=long.example,{} \
             --host-record=corp.test,198.51.100.8 --local-ttl=300",
            long.join(",")
        ),
    )
}

/// dnsmasq as a name server at `address` that asks nobody.
fn server(namespace: &Namespace, address: &str, records: &str) -> Result<Process> {
    let mut dnsmasq = namespace.spawn(&format!(
        "exec dnsmasq --keep-in-foreground --log-facility=- --log-queries --conf-file=/dev/null \
         --no-resolv --no-hosts --pid-file= --user=root --listen-address={address} \
         --bind-interfaces {records}"
    ))?;
    wait::until("dnsmasq", wait::SOON, || {
        ensure!(dnsmasq.stderr().contains("started"), "not yet");
        Ok(())
    })
    .with_context(|| dnsmasq.stderr())?;
    dnsmasq.running()?;
    Ok(dnsmasq)
}

#[test]
fn other_names_are_asked_of_the_hosts_name_servers_and_kept() -> Result<()> {
    let mut bed = Outside::new()?;
    let dnsmasq = upstream(&bed.internet)?;
    let _conf = ResolvConf::new(&bed.switch.namespace, &format!("nameserver {SERVER}\n"))?;
    bed.launch("forward = \"nat\"\n")?;
    let (guest, switch) = (bed.guest()?, &bed.switch);
    for _ in 0..3 {
        ensure!(short(guest, "www.example")? == "198.51.100.7");
    }
    let asked = dnsmasq.stderr().matches("query[A] www.example").count();
    ensure!(asked == 1, "{}", dnsmasq.stderr());
    ensure!(counted(switch, "forwarded")? == 1 && counted(switch, "cached")? == 2);
    // Too long for a datagram, on either side.
    let long = dig(guest, "long.example TXT")?;
    ensure!(
        long.contains("(TCP)") && long.contains(&"y".repeat(200)),
        "{long}"
    );
    // What means nothing outside does not get there.
    for name in ["plain", "nobody.vm", "-x 192.168.9.9", "x.onion"] {
        let answer = dig(guest, name)?;
        ensure!(answer.contains("status: NXDOMAIN"), "{answer}");
    }
    let log = dnsmasq.stderr();
    for leaked in ["plain", "nobody", "192.168.9.9", "onion"] {
        ensure!(!log.contains(leaked), "{log}");
    }
    let refused = dig(guest, "+norecurse other.example")?;
    ensure!(refused.contains("status: REFUSED"), "{refused}");
    Ok(())
}

#[test]
fn own_names_are_answered_at_once_while_nobody_else_answers() -> Result<()> {
    let mut bed = Outside::new()?;
    // Whoever is asked there says nothing.
    bed.internet.run(
        "nft add table ip t && nft add chain ip t c '{ type filter hook input \
                      priority 0; policy accept; }' && nft add rule ip t c udp dport 53 drop",
    )?;
    let _conf = ResolvConf::new(&bed.switch.namespace, &format!("nameserver {SERVER}\n"))?;
    bed.launch(
        "forward = \"nat\"\n[[dhcp.host]]\nmac = \"52:54:00:00:0f:01\"\n\
                address = \"192.168.122.10\"\nname = \"own\"\n",
    )?;
    let guest = bed.guest()?;
    let _lost = guest.spawn(
        "for i in $(seq 90); do dig +tries=1 +time=6 @192.168.122.1 n$i.example & done; wait",
    )?;
    wait::until("questions wait", wait::SOON, || {
        ensure!(counted(&bed.switch, "asking")? >= 60, "too few");
        Ok(())
    })?;
    let start = Instant::now();
    for _ in 0..10 {
        ensure!(short(guest, "own.vm")? == "192.168.122.10");
    }
    // With ten starts of dig; a question to others takes seconds.
    ensure!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let status = bed.switch.json("status")?;
    let bounded = status.pointer("/dns/refused/client-busy");
    ensure!(
        bounded.and_then(serde_json::Value::as_u64) >= Some(20),
        "{status}"
    );
    let answer = guest.run("dig +tries=1 +time=7 @192.168.122.1 late.example")?;
    ensure!(
        answer.contains("status: SERVFAIL") || answer.contains("REFUSED"),
        "{answer}"
    );
    Ok(())
}

#[test]
fn a_resolver_on_the_host_and_forwarders_by_domain_are_asked() -> Result<()> {
    let mut bed = Outside::new()?;
    let outside = upstream(&bed.internet)?;
    // In systemd-resolved's place.
    let stub = server(
        &bed.switch.namespace,
        "127.0.0.53",
        "--host-record=www.example,192.0.2.1",
    )?;
    let _conf = ResolvConf::new(&bed.switch.namespace, "nameserver 127.0.0.53\n")?;
    let forwarder = format!("[[dns.forwarder]]\ndomain = \"test\"\naddress = \"{SERVER}\"\n");
    bed.launch(&format!("forward = \"nat\"\n{forwarder}"))?;
    let guest = bed.guest()?;
    ensure!(short(guest, "www.example")? == "192.0.2.1");
    ensure!(short(guest, "corp.test")? == "198.51.100.8");
    ensure!(!stub.stderr().contains("corp.test"), "{}", stub.stderr());
    ensure!(
        !outside.stderr().contains("www.example"),
        "{}",
        outside.stderr()
    );

    // Changed while guests ask.
    let asking = guest.spawn(
        "for i in $(seq 60); do dig +tries=1 +time=2 +short @192.168.122.1 gateway.vm || echo lost; \
         done; echo end",
    )?;
    let all = format!("[[dns.forwarder]]\naddress = \"{SERVER}\"\n");
    bed.configure(&format!(
        "forward = \"nat\"\n{all}[[dns.host]]\naddress = \"192.0.2.99\"\nnames = [\"new\"]\n"
    ))?;
    let said = bed.switch.cli("reload")?.success()?;
    ensure!(said.contains("DNS settings changed"), "{said}");
    ensure!(short(guest, "www.example")? == "198.51.100.7");
    ensure!(short(guest, "new.vm")? == "192.0.2.99");
    wait::until("all asked", wait::SOON, || {
        ensure!(asking.stdout().contains("end"), "not yet");
        Ok(())
    })?;
    ensure!(
        asking.stdout().matches(GATEWAY).count() == 60,
        "{}",
        asking.stdout()
    );

    bed.configure("forward = \"nat\"\n[dns]\nenabled = false\n")?;
    let said = bed.switch.cli("reload")?.success()?;
    ensure!(said.contains("DNS is off now"), "{said}");
    let gone = guest.shell(&format!("{DIG} gateway.vm"), wait::SOON)?;
    ensure!(gone.status != 0, "{gone:?}");
    Ok(())
}

#[test]
fn nobody_outside_of_the_network_gets_an_answer() -> Result<()> {
    let mut bed = Outside::new()?;
    bed.launch("forward = \"open\"\n")?;
    bed.switch
        .namespace
        .run("sysctl -qw net.ipv4.ip_forward=1")?;
    let guest = bed.guest()?;
    ensure!(short(guest, "gateway.vm")? == GATEWAY);
    for address in [GATEWAY, HOST] {
        for by in ["+notcp", "+tcp"] {
            let ask = format!("dig +tries=1 +time=1 {by} @{address} gateway.vm");
            let answer = bed.internet.shell(&ask, wait::SOON)?;
            ensure!(
                answer.status != 0 && !answer.stdout.contains("status:"),
                "{answer:?}"
            );
        }
    }
    // On the segment with an address of elsewhere.
    guest.run("ip addr add 198.51.100.9/24 dev eth0")?;
    bed.switch.namespace.run("ip route add 198.51.100.0/24 dev vmlan0; \
                              sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.vmlan0.rp_filter=0")?;
    for by in ["+notcp", "+tcp"] {
        let ask = format!("dig +tries=1 +time=1 {by} -b 198.51.100.9 @{GATEWAY} gateway.vm");
        let answer = guest.shell(&ask, wait::SOON)?;
        ensure!(
            answer.status != 0 && !answer.stdout.contains("status:"),
            "{answer:?}"
        );
    }
    let status = bed.switch.json("status")?;
    let dropped = status.pointer("/dns/refused/foreign-source");
    ensure!(
        dropped.and_then(serde_json::Value::as_u64) >= Some(2),
        "{status}"
    );
    let metrics = bed.switch.namespace.run(&format!(
        "curl -s --unix-socket {} http://x/metrics",
        bed.switch.run_file("control.sock").display()
    ))?;
    ensure!(
        metrics.contains("vmlan_dns_refused_total{reason=\"foreign-source\"}"),
        "{metrics}"
    );
    Ok(())
}

#[test]
fn without_a_host_interface_the_switch_answers_its_own_names() -> Result<()> {
    let config = format!("{ISOLATED}{RECORDS}{}", taps(&["c1"]));
    let config = config.replace("interface = \"vmlan0\"", "interface = \"\"");
    let switch = Switch::start(&config)?;
    let guest = switch.container("c1", MACS[0])?;
    let lease = udhcpc(&guest, "-x hostname:web")?;
    ensure!(lease.option("dns") == GATEWAY, "{lease:?}");
    ensure!(short(&guest, "web.vm")? == lease.address.to_string());
    ensure!(short(&guest, "nas.vm")? == "192.168.122.77");
    ensure!(short(&guest, &format!("-x {}", lease.address))? == "web.vm.");
    let nobody = dig(&guest, "nobody.vm")?;
    ensure!(nobody.contains("status: NXDOMAIN"), "{nobody}");
    let other = dig(&guest, "www.example")?;
    ensure!(other.contains("status: REFUSED"), "{other}");
    ensure!(counted(&switch, "own")? >= 4);
    Ok(())
}
