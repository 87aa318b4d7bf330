//! Which options a client is told: by tags, vendor, architecture.

use super::*;
use crate::options::{Boot, Scope, Setting};
use crate::tag::TagMatch;

const ASKS: u8 = 55;

/// The ACK for address .42 to what `with` makes of a REQUEST.
fn ack(config: &Config, with: impl FnOnce(Message) -> Message) -> Received {
    let outcome = with(reboot(1, ip(42))).to(&mut server(config.clone()), T0);
    received(&outcome)
}

fn with_settings(settings: impl IntoIterator<Item = Setting>) -> Config {
    let mut config = config(254);
    config.options = settings.into_iter().collect();
    config
}

fn setting(code: u8, value: &[u8], tags: &str) -> Setting {
    Setting {
        tags: TagMatch::new(tags.split_whitespace()).unwrap(),
        ..Setting::from((code, value.to_vec()))
    }
}

fn inside(scope: Scope, code: u8, value: &[u8]) -> Setting {
    Setting {
        scope,
        ..Setting::from((code, value.to_vec()))
    }
}

fn force(setting: Setting) -> Setting {
    Setting {
        force: true,
        ..setting
    }
}

fn pxe() -> Scope {
    Scope::Vendor("PXEClient".into())
}

fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[test]
fn of_settings_the_last_that_matches_counts_and_tagged_ones_before_others() {
    let settings = [
        setting(42, b"tagged", "!a"),
        setting(42, b"later", "!b"),
        setting(42, b"other", "a"),
        setting(42, b"untagged", ""),
    ];
    let told = |n| ack(&with_settings(settings[n..].to_vec()), |m| m).options[&42].clone();
    assert_eq!(told(0), b"later");
    assert_eq!(told(2), b"untagged");
}

#[test]
fn a_tagged_setting_without_a_value_keeps_an_option_back() {
    let config = with_settings([setting(3, b"", "!a"), setting(6, b"", "a")]);
    let ack = ack(&config, |m| m);
    assert!(!ack.options.contains_key(&3));
    assert!(ack.options.contains_key(&6), "the server's own still holds");
}

#[test]
fn what_is_forced_is_sent_unasked_after_what_is_asked_for() {
    let config = with_settings([
        force(setting(252, b"url", "")),
        force(setting(42, b"ntp", "a")),
        setting(43, b"x", ""),
    ]);
    let ack = ack(&config, |m| m.option(ASKS, &[6, 3]));
    assert_eq!(ack.order, [53, 54, 51, 58, 59, 1, 28, 6, 3, 252]);
}

#[test]
fn ipv6_only_goes_to_those_who_ask_for_it() {
    let config = with_settings([setting(108, &[0, 0, 1, 44], "")]);
    assert!(!ack(&config, |m| m).options.contains_key(&108));
    assert!(
        ack(&config, |m| m.option(ASKS, &[108]))
            .options
            .contains_key(&108)
    );
}

#[test]
fn renewal_times_are_as_configured_where_they_suit_the_lease() {
    let times = |t1: u32, t2: u32| {
        let t1 = setting(58, &t1.to_be_bytes(), "");
        let t2 = setting(59, &t2.to_be_bytes(), "");
        let ack = ack(&with_settings([t1, t2]), |m| m.option(ASKS, &[3]));
        [58, 59].map(|code| {
            assert_eq!(ack.order.iter().filter(|c| **c == code).count(), 1);
            u32::from_be_bytes(ack.options[&code][..].try_into().unwrap())
        })
    };
    assert_eq!(times(600, 900), [600, 900]);
    assert_eq!(times(3600, 2), [1800, 3150]);
    assert_eq!(times(1000, 500), [499, 500]);
}

#[test]
fn options_of_a_vendor_go_to_its_clients_with_its_class() {
    let vendor = |class: &str| Scope::Vendor(class.into());
    let config = with_settings([
        inside(vendor("MSFT"), 2, &[0, 0, 0, 1]),
        inside(vendor("other"), 1, b"x"),
        setting(43, b"raw", ""),
    ]);
    let asks = |class: &'static [u8]| move |m: Message| m.option(60, class).option(ASKS, &[43]);
    let windows = ack(&config, asks(b"MSFT 5.0"));
    assert_eq!(windows.options[&43], [2, 4, 0, 0, 0, 1, 255]);
    assert_eq!(windows.options[&60], b"MSFT 5.0");
    let stranger = ack(&config, asks(b"udhcp"));
    assert_eq!(stranger.options[&43], b"raw");
    assert!(!stranger.options.contains_key(&60));
    let unasked = ack(&config, |m| m.option(60, b"MSFT 5.0").option(ASKS, &[3]));
    assert!(!unasked.options.contains_key(&43));
}

#[test]
fn a_boot_rom_gets_its_options_complete() {
    let config = with_settings([force(inside(pxe(), 9, b"menu"))]);
    let uuid = [7; 17];
    let ack = ack(&config, |m| {
        m.option(60, b"PXEClient:Arch:00000:UNDI:002001")
            .option(97, &uuid)
            .option(ASKS, &[3])
    });
    assert_eq!(ack.options[&60], b"PXEClient");
    assert_eq!(ack.options[&97], uuid);
    assert_eq!(
        ack.options[&43],
        b"\x06\x01\x08\x09\x04menu\x0a\x04\0PXE\xff"
    );
}

#[test]
fn options_of_enterprises_stand_one_after_the_other() {
    let config = with_settings([
        inside(Scope::Enterprise(3561), 1, b"ab"),
        inside(Scope::Enterprise(9), 2, b"c"),
        inside(Scope::Enterprise(3561), 2, b"d"),
    ]);
    let ack = ack(&config, |m| m.option(ASKS, &[125]));
    let want = b"\0\0\0\x09\x03\x02\x01c\0\0\x0d\xe9\x07\x01\x02ab\x02\x01d";
    assert_eq!(ack.options[&125], want);
}

#[test]
fn an_enterprise_with_too_much_to_say_is_left_out_and_told() {
    let long = |code| inside(Scope::Enterprise(9), code, &[7; 200]);
    let mut server = server(with_settings([long(1), long(2)]));
    let outcome = reboot(1, ip(42)).to(&mut server, T0);
    assert!(!received(&outcome).options.contains_key(&125));
    let (mac, codes) = (mac(1), vec![125]);
    assert!(
        outcome
            .events
            .contains(&crate::Event::OptionsLeftOut { mac, codes })
    );
}

fn booting(boots: impl IntoIterator<Item = Boot>) -> Config {
    let mut config = config(254);
    config.boots = boots.into_iter().collect();
    config
}

fn boot(architecture: Option<u16>, filename: &str) -> Boot {
    Boot {
        architectures: architecture.into_iter().map(Into::into).collect(),
        filename: Some(filename.into()),
        ..Boot::default()
    }
}

#[test]
fn the_boot_file_is_for_the_architecture_and_where_the_client_looks() {
    let all = Boot {
        next_server: Some(ip(9)),
        server_name: Some("tftp".into()),
        ..boot(None, "undionly.kpxe")
    };
    let config = booting([all, boot(Some(7), "ipxe.efi")]);
    let plain = ack(&config, |m| m);
    assert_eq!(text(&plain.bytes[108..236]), b"undionly.kpxe");
    assert_eq!(text(&plain.bytes[44..108]), b"tftp");
    assert_eq!(plain.siaddr, ip(9));
    assert!(!plain.options.contains_key(&66) && !plain.options.contains_key(&67));

    let asking = ack(&config, |m| m.option(93, &[0, 7]).option(ASKS, &[67, 66]));
    assert_eq!(asking.options[&67], b"ipxe.efi\0");
    assert_eq!(asking.options[&66], b"tftp\0");
    assert_eq!(asking.bytes[44..236], [0; 192]);
}

#[test]
fn without_boot_entries_options_66_and_67_do_their_job() {
    let config = with_settings([setting(66, b"tftp", ""), setting(67, b"file", "")]);
    let plain = ack(&config, |m| m);
    assert_eq!(text(&plain.bytes[108..236]), b"file");
    assert_eq!(text(&plain.bytes[44..108]), b"tftp");
    assert_eq!(plain.siaddr, ip(1));
    let asking = ack(&config, |m| m.option(ASKS, &[67]));
    assert_eq!(asking.options[&67], b"file\0");
    assert_eq!(text(&asking.bytes[44..108]), b"tftp");
}

#[test]
fn firmware_that_boots_by_http_is_told_so() {
    let uri = format!("http://192.168.122.1/{}", "x".repeat(120));
    let config = booting([boot(Some(16), &uri), boot(None, "pxelinux.0")]);
    let http = ack(&config, |m| {
        m.option(93, &[0, 16])
            .option(60, b"HTTPClient:Arch:00016:UNDI:003001")
            .option(ASKS, &[3])
    });
    assert_eq!(http.options[&60], b"HTTPClient");
    assert_eq!(
        text(&http.options[&67]),
        uri.as_bytes(),
        "too long for its field"
    );
    let tftp = ack(&config, |m| m.option(60, b"HTTPClient").option(ASKS, &[3]));
    assert!(!tftp.options.contains_key(&60), "no URI, no HTTP boot");
}

#[test]
fn what_finds_no_room_goes_into_the_fields_that_are_free() {
    let config = with_settings([
        setting(200, &[0; 120], ""),
        setting(201, &[1; 120], ""),
        setting(202, &[2; 90], ""),
        setting(203, &[9; 40], ""),
        setting(204, &[4; 10], ""),
    ]);
    let asks = [200, 201, 202, 203, 204];
    let full = ack(&config, |m| m.option(ASKS, &asks));
    assert_eq!(full.options[&52], [3]);
    assert_eq!(full.bytes[108..][..3], [202, 90, 2]);
    assert_eq!(full.bytes[108 + 92], 255);
    assert_eq!(full.bytes[44..][..3], [203, 40, 9]);
    assert_eq!(full.order.last_chunk(), Some(&[204, 52]));
    assert!(full.bytes.len() <= 548);

    let old = ack(&config, |m| m);
    assert!(
        !old.options.contains_key(&52),
        "it may not know to look there"
    );

    let mut config = config;
    config.boots = vec![boot(None, "pxelinux.0")];
    let booting = ack(&config, |m| m.option(ASKS, &asks));
    assert_eq!(booting.options[&52], [2]);
    assert_eq!(text(&booting.bytes[108..236]), b"pxelinux.0");
}

#[test]
fn a_larger_message_is_used_as_far_as_the_network_carries_it() {
    let settings = (0..5).map(|n| setting(200 + n, &[n; 200], ""));
    let mut config = with_settings(settings);
    let length = |config: &Config, size: u16| {
        ack(config, |m| m.option(57, &size.to_be_bytes()))
            .bytes
            .len()
    };
    assert!(length(&config, 0) <= 548);
    assert!((1100..=1472).contains(&length(&config, 65_535)));
    config.mtu = Some(1000);
    assert!((548..=972).contains(&length(&config, 1500)));
}

#[test]
fn a_discover_is_acknowledged_at_once_where_both_want_that() {
    let mut config = config(254);
    let ask = || discover(1).option(80, &[]);
    assert_eq!(answered(&mut server(config.clone()), ask(), T0), OFFER);
    config.rapid_commit = true;
    let mut server = server(config);
    assert_eq!(answered(&mut server, discover(2), T0), OFFER);
    let outcome = ask().to(&mut server, T0);
    let ack = received(&outcome);
    assert_eq!((ack.kind, ack.options.get(&80)), (ACK, Some(&vec![])));
    assert_eq!(ack.order[..4], [53, 54, 51, 80]);
    assert_eq!(
        outcome.changes[0].after.as_ref().unwrap().address,
        ack.yiaddr
    );
    let renewed = received(&renew(1, ack.yiaddr).option(80, &[]).to(&mut server, T0));
    assert!(!renewed.options.contains_key(&80));
}

#[test]
fn a_wanted_subnet_is_given_back() {
    let ack = ack(&config(254), |m| {
        m.option(118, &ip(0).octets()).option(ASKS, &[3])
    });
    assert_eq!(ack.options[&118], ip(0).octets());
}
