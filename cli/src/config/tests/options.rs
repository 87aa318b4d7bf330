//! Options and boot entries of the DHCP server.

use super::*;
use vmlan_dhcp::options::Scope;

/// What the server serves of `text`, with the gateway 192.168.7.1/24.
fn served(text: &str) -> vmlan_dhcp::Config {
    let text = format!("address = \"192.168.7.1/24\"\n{text}");
    let config = parse(&text).unwrap();
    let gateway = "192.168.7.1/24".parse().unwrap();
    served::dhcp(&config, Some(gateway), None).unwrap().unwrap()
}

#[test]
fn an_option_is_read_with_its_conditions() {
    let served = served(
        r#"
[dhcp.options]
42 = "0.0.0.0"

[[dhcp.option]]
option = "ntp-server"
value = ["10.0.0.1"]
tag = ["red", "!blue"]
force = true

[[dhcp.option]]
option = 6
value = 8
vendor-class = "PXEClient"

[[dhcp.option]]
option = 2
value = "01:ff"
enterprise = 4491
tag = "red"
"#,
    );
    let [ntp, red, pxe, cable] = served.options.as_slice() else {
        panic!("{:#?}", served.options)
    };
    assert_eq!(
        (ntp.code, &ntp.value[..], ntp.force),
        (42, &[192, 168, 7, 1][..], false)
    );
    assert_eq!(
        (red.code, &red.value[..], red.force),
        (42, &[10, 0, 0, 1][..], true)
    );
    assert_eq!(red.tags.to_string(), "red !blue");
    assert_eq!(
        (&pxe.scope, pxe.code),
        (&Scope::Vendor("PXEClient".into()), 6)
    );
    assert_eq!(pxe.value, [8]);
    assert_eq!((&cable.scope, cable.code), (&Scope::Enterprise(4491), 2));
    assert_eq!(
        (&cable.value[..], cable.tags.to_string()),
        (&[1, 255][..], "red".into())
    );
}

#[test]
fn what_is_wrong_with_an_option_is_shown_at_its_place() {
    let option = |rest: &str| format!("[[dhcp.option]]\n{rest}");
    let wrong = [
        (
            "option = \"ntp-sever\"\nvalue = 1",
            (2, 10),
            "unknown DHCP option",
            "`ntp-server`",
        ),
        (
            "option = true\nvalue = 1",
            (2, 10),
            "`option` is true or false",
            "ntp-server",
        ),
        (
            "option = 51\nvalue = 60",
            (2, 10),
            "fills in option 51",
            "lease-time",
        ),
        (
            "option = \"rapid-commit\"\nvalue = 1",
            (2, 10),
            "option 80",
            "rapid-commit = true",
        ),
        (
            "option = \"server-ip-address\"\nvalue = \"10.0.0.1\"",
            (2, 10),
            "255",
            "next-server",
        ),
        (
            "option = \"mtu\"\nvalue = \"big\"",
            (3, 9),
            "\"big\" is no value",
            "0 to 65535",
        ),
        (
            "option = \"mtu\"\nvalue = 1\ntag = \"a b\"",
            (4, 7),
            "'a b' is not a tag",
            "!",
        ),
        (
            "option = \"mtu\"\nvalue = 1\ntag = 7",
            (4, 7),
            "no tag",
            "\"red\"",
        ),
        (
            "option = \"mtu\"\nvalue = 1\nforce = 1",
            (4, 9),
            "`force`",
            "true or false",
        ),
        (
            "option = \"mtu\"\nvalue = 1\nforced = true",
            (4, 1),
            "`forced`",
            "`force`",
        ),
        (
            "option = \"mtu\"\nvalue = 1\nvendor-class = \"x\"",
            (2, 10),
            "of a vendor",
            "1 to 254",
        ),
        (
            "option = 6\nvalue = 1\nvendor-class = \"x\"\nenterprise = 9",
            (5, 14),
            "both",
            "option 125",
        ),
        (
            "option = 43\nvalue = 1.5",
            (3, 9),
            "a number with a fraction",
            "text",
        ),
    ];
    for (rest, place, message, mend) in wrong {
        refused(&option(rest), place, message, mend);
    }
    refused(
        "[[dhcp.option]]\nvalue = 1",
        (1, 1),
        "no `option`",
        "add option",
    );
    refused(
        "[[dhcp.option]]\noption = 1",
        (1, 1),
        "no `value`",
        "not sent",
    );
    let long = format!("option = 200\nvalue = \"{}\"", "x".repeat(1025));
    refused(&option(&long), (3, 9), "too long", "1024 are the most");
}

#[test]
fn an_option_stands_once_for_the_same_tags() {
    let twice = "[dhcp.options]\nmtu = 1400\n[[dhcp.option]]\noption = 26\nvalue = 1300";
    refused(twice, (4, 10), "stands in line 2 already", "different tags");
    let tagged = "[[dhcp.option]]\noption = 26\nvalue = 1300\ntag = \"red\"\n";
    assert!(parse(&format!("{tagged}[dhcp.options]\nmtu = 1400")).is_ok());
    refused(
        &tagged.repeat(2),
        (6, 10),
        "for the tags red",
        "different tags",
    );
    let vendor = "[[dhcp.option]]\noption = 26\nvalue = 1\nvendor-class = \"x\"\n";
    assert!(parse(&format!("{vendor}{tagged}")).is_ok());
}

#[test]
fn boot_entries_are_read_with_their_conditions() {
    let served = served(
        r#"
[dhcp]
filename = "undionly.kpxe"
next-server = "192.168.7.9"
boot-server-name = "tftp"
rapid-commit = true

[[dhcp.boot]]
arch = "x86_64-efi"
filename = "ipxe.efi"
next-server = "0.0.0.0"

[[dhcp.boot]]
arch = ["X86-64_EFI", 16]
tag = "red"
filename = "http://192.168.7.1/boot.efi"
"#,
    );
    assert!(served.rapid_commit);
    let [all, efi, http] = served.boots.as_slice() else {
        panic!("{:#?}", served.boots)
    };
    assert_eq!(all.filename.as_deref(), Some("undionly.kpxe"));
    assert_eq!(all.next_server, Some([192, 168, 7, 9].into()));
    assert_eq!(all.server_name.as_deref(), Some("tftp"));
    assert!(efi.architectures[0].is_among(&[7]) && efi.architectures[0].is_among(&[9]));
    assert_eq!(efi.next_server, None);
    assert!(http.architectures[1].is_among(&[16]));
    assert_eq!(http.tags.to_string(), "red");
}

#[test]
fn what_is_wrong_with_a_boot_entry_is_shown_at_its_place() {
    let boot = |rest: &str| format!("[[dhcp.boot]]\n{rest}");
    let wrong = [
        (
            "arch = \"x86_64-eif\"\nfilename = \"x\"",
            (2, 8),
            "unknown architecture",
            "x86_64-efi",
        ),
        (
            "arch = 65536\nfilename = \"x\"",
            (2, 8),
            "65536 is no architecture",
            "65535",
        ),
        (
            "arch = [true]\nfilename = \"x\"",
            (2, 8),
            "true or false",
            "a name",
        ),
        (
            "arch = 0\nfilename = \"\"",
            (3, 12),
            "1 to 254 bytes",
            "leave the key out",
        ),
        (
            "arch = 0\nfilename = \"x\"\nnext-server = \"tftp\"",
            (4, 15),
            "no IPv4 address",
            "",
        ),
        (
            "arch = 0\nfile = \"x\"\nfilename = \"x\"",
            (3, 1),
            "`file`",
            "`filename`",
        ),
    ];
    for (rest, place, message, mend) in wrong {
        refused(&boot(rest), place, message, mend);
    }
    refused("[[dhcp.boot]]\narch = 0", (1, 1), "no `filename`", "URI");
    refused(
        "[[dhcp.boot]]\nfilename = \"x\"",
        (1, 1),
        "neither `arch` nor `tag`",
        "[dhcp]",
    );
}

#[test]
fn options_and_boot_entries_are_explained() {
    let text = "[dhcp]\nfilename = \"pxelinux.0\"\n\
                [[dhcp.option]]\noption = 6\nvalue = 8\nvendor-class = \"PXEClient\"\nforce = true\n\
                [[dhcp.boot]]\narch = [\"x86_64-efi\", 0]\ntag = [\"red\", \"!blue\"]\n\
                filename = \"ipxe.efi\"\nnext-server = \"10.0.0.1\"";
    let shown = explain::Explained(&parse(text).unwrap()).to_string();
    for line in [
        "option 6 of vendor \"PXEClient\" = 8, asked for or not",
        "boot \"pxelinux.0\"",
        "boot \"ipxe.efi\" from 10.0.0.1 as x86_64-efi, 0 for tags red !blue",
    ] {
        assert!(shown.lines().any(|shown| shown.ends_with(line)), "{shown}");
    }
}
