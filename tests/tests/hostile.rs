//! The bounded share of the hostile inputs; the binary `hostile` puts any
//! number.

use vmlan_tests::hostile;

/// Takes about 20 seconds of a debug build.
const COUNT: u64 = 300_000;

const SEED: u64 = 1;

#[test]
fn hostile_frames_and_messages_break_no_rule_and_take_no_memory() {
    // The same inputs each time; the binary draws others.
    let tally = match hostile::run(SEED, COUNT, |_| ()) {
        Ok(report) => report.tally,
        Err(failure) => panic!("{failure}"),
    };
    // The rules are worth nothing where no input gets to them.
    for (kind, name) in [
        ("verdict", "unicast"),
        ("verdict", "flood"),
        ("verdict", "answer"),
        ("verdict", "punt"),
        ("refused", "checksum outside"),
        ("refused", "headers too long"),
        ("refused", "segment too small"),
        ("segments", "verified"),
        ("segments", "tunnels verified"),
        ("checksums", "verified"),
        ("checksums", "CRC32c verified"),
        ("drop", "too-big"),
        ("drop", "dhcp-uplink"),
        ("fdb", "full"),
        ("dhcp", "offer"),
        ("dhcp", "ack"),
        ("dhcp", "nak"),
        ("dhcp", "undone"),
        ("silence", "bad-option"),
        ("silence", "lease-limit"),
        ("silence", "origin-limit"),
        ("silence", "other-sender"),
        ("silence", "range-exhausted"),
        ("tftp", "malformed"),
        ("tftp", "complete"),
        ("tftp", "aborted"),
        ("tftp", "illegal"),
    ] {
        let count = tally.get(kind, name);
        assert!(count >= 20, "{count} of {kind}: {name}\n{tally}");
    }
}
