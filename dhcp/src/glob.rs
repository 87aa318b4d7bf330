//! Patterns for names: `*` stands for any characters, `?` for one.

/// Whether the whole of `name` fits `pattern`, byte by byte.
///
/// On a mismatch only the last `*` takes one character more: the earlier ones
/// need not be tried again, so this is at worst the product of the lengths.
#[must_use]
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                retry = Some((rest, name));
                pattern = rest;
            }
            (Some((want, rest)), Some((got, left))) if *want == b'?' || want == got => {
                pattern = rest;
                name = left;
            }
            _ => match retry {
                Some((rest, [_, left @ ..])) => {
                    retry = Some((rest, left));
                    pattern = rest;
                    name = left;
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks_match() {
        let fits = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(fits("vnet*", "vnet0") && fits("vnet*", "vnet") && fits("*", ""));
        assert!(!fits("vnet*", "avnet0"));
        assert!(fits("tap?", "tap1"));
        assert!(!fits("tap?", "tap") && !fits("tap?", "tap12"));
        assert!(fits("*a*b", "xaxxabb"));
        assert!(!fits("*a*b", "xaxxabbc"));
    }

    proptest! {
        #[test]
        fn a_name_fits_itself_with_any_part_starred(
            name in "[a-z0-9]{1,15}", from in 0..15usize, to in 0..15usize
        ) {
            let (from, to) = (from.min(to).min(name.len()), from.max(to).min(name.len()));
            let starred = format!("{}*{}", &name[..from], &name[to..]);
            prop_assert!(matches(starred.as_bytes(), name.as_bytes()));
        }
    }
}
