//! `[tftp]` and `[dhcp.hook]`.

use super::*;

#[test]
fn tftp_is_off_by_default_and_on_by_its_table() {
    assert_eq!(parse("").unwrap().tftp, None);
    let tftp = parse("[tftp]\nroot = \"/srv/tftp\"").unwrap().tftp.unwrap();
    assert_eq!(tftp.root.get_ref(), Path::new("/srv/tftp"));
    assert_eq!((tftp.max_blksize, tftp.lowercase), (65_464, false));
    let text = "[tftp]\nroot = \"/b\"\nmax-blksize = 1024\nlowercase = true\nenabled = true";
    let tftp = parse(text).unwrap().tftp.unwrap();
    assert_eq!((tftp.max_blksize, tftp.lowercase), (1024, true));
    let off = parse("[tftp]\nroot = \"/b\"\nenabled = false").unwrap();
    assert_eq!(off.tftp, None);
}

#[test]
fn tftp_needs_a_root_and_an_interface_with_an_address() {
    refused("[tftp]", (1, 1), "no `root`", "/srv/tftp");
    refused(
        "[tftp]\nroot = \"srv\"",
        (2, 8),
        "no absolute path",
        "slash",
    );
    let at = "[tftp]\nroot = \"/b\"\n";
    refused(
        &format!("interface = \"\"\n{at}"),
        (1, 13),
        "needs the host's own interface",
        "vmlan0",
    );
    refused(
        &format!("forward = \"bridge\"\nuplink = \"eth0\"\n{at}"),
        (3, 1),
        "needs an address of its own",
        "add address",
    );
    refused(
        &format!("{at}max-blksize = 511"),
        (3, 15),
        "out of range",
        "512 to 65464",
    );
    refused(&format!("{at}windowsize = 9"), (3, 1), "unknown key", "");
    // What is off needs nothing.
    assert!(parse(&format!("interface = \"\"\n{at}enabled = false")).is_ok());
}

#[test]
fn a_hook_is_a_program_with_a_time_limit() {
    assert_eq!(parse("").unwrap().dhcp.hook, None);
    let hook = |rest: &str| format!("[dhcp.hook]\nprogram = \"/bin/x\"\n{rest}");
    let plain = parse(&hook("")).unwrap().dhcp.hook.unwrap();
    assert_eq!(plain.program.get_ref(), Path::new("/bin/x"));
    assert_eq!(
        (plain.timeout, plain.on_renewal),
        (Duration::from_secs(10), false)
    );
    let full = parse(&hook("timeout = \"1m\"\non-renewal = true")).unwrap();
    let full = full.dhcp.hook.unwrap();
    assert_eq!(
        (full.timeout, full.on_renewal),
        (Duration::from_secs(60), true)
    );
    refused("[dhcp.hook]", (1, 1), "no `program`", "/");
    refused(
        "[dhcp.hook]\nprogram = \"x\"",
        (2, 11),
        "no absolute path",
        "",
    );
    refused(
        &hook("timeout = \"0s\""),
        (3, 11),
        "0s of time",
        "1s to 10m",
    );
    refused(
        &hook("timeout = \"1h\""),
        (3, 11),
        "1h of time",
        "1s to 10m",
    );
}
