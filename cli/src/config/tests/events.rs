//! `[events]` and `[log]`.

use super::*;

#[test]
fn drops_are_an_event_from_a_hundred_a_second_on_unless_said_otherwise() {
    assert_eq!(parse("").unwrap().events.drops, 100);
    assert_eq!(parse("[events]\ndrops = 0").unwrap().events.drops, 0);
    refused("[events]\ndrops = -1", (2, 9), "-1", "0");
    refused("[events]\ndrop = 1", (2, 1), "unknown key", "drops");
}

#[test]
fn the_log_has_a_level_or_a_filter_or_what_the_start_says() {
    assert_eq!(parse("").unwrap().log, None);
    assert_eq!(parse("[log]").unwrap().log, None);
    for level in ["debug", "warn,vmlan::daemon=trace"] {
        let config = parse(&format!("[log]\nlevel = \"{level}\"")).unwrap();
        assert_eq!(
            config.log.map(|filter| filter.to_string()).as_deref(),
            Some(level)
        );
    }
    refused(
        "[log]\nlevel = \"debgu\"",
        (2, 9),
        "unknown log level",
        "debug",
    );
}
