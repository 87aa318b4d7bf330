//! Domain names in wire form (RFC 1035 §3.1).

use crate::hostname;

/// What a name that was written before can be pointed to by (RFC 1035 §4.1.4).
const POINTER: u16 = 0xc000;

/// The labels of `name`; `.` has none. `None` if it is no domain name.
fn labels(name: &str) -> Option<Vec<&str>> {
    if name == "." {
        return Some(Vec::new());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    hostname::is_domain(name).then(|| name.split('.').collect())
}

fn push_label(bytes: &mut Vec<u8>, label: &str) {
    // A label has at most 63 bytes.
    bytes.push(u8::try_from(label.len()).unwrap_or_default());
    bytes.extend(label.bytes());
}

/// Names one after the other, each whole; or the first that is none.
pub(super) fn plain<'a>(names: &[&'a str]) -> Result<Vec<u8>, &'a str> {
    let mut bytes = Vec::new();
    for name in names {
        for label in labels(name).ok_or(*name)? {
            push_label(&mut bytes, label);
        }
        bytes.push(0);
    }
    Ok(bytes)
}

/// A search list (RFC 3397 §2): names one after the other, where the end of a
/// name that stands there already is pointed to; or the first that is none.
pub(super) fn search_list<'a>(names: &[&'a str]) -> Result<Vec<u8>, &'a str> {
    let mut bytes = Vec::new();
    // Each end of a name with where it was written.
    let mut written: Vec<(Vec<&str>, u16)> = Vec::new();
    for name in names {
        let labels = labels(name).ok_or(*name)?;
        let mut end = labels.as_slice();
        loop {
            let [label, rest @ ..] = end else {
                bytes.push(0);
                break;
            };
            if let Some((_, at)) = written.iter().find(|(known, _)| known == end) {
                bytes.extend((POINTER | at).to_be_bytes());
                break;
            }
            // A pointer reaches 2^14 bytes back; a list that long is refused.
            if let Some(at) = u16::try_from(bytes.len()).ok().filter(|at| *at < POINTER) {
                written.push((end.to_vec(), at & !POINTER));
            }
            push_label(&mut bytes, label);
            end = rest;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The names in `bytes`, pointers followed.
    fn read(bytes: &[u8]) -> Vec<String> {
        let (mut names, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (mut name, mut here, mut next) = (Vec::new(), at, None);
            loop {
                let len = usize::from(bytes[here]);
                if len & 0xc0 == 0xc0 {
                    next = next.or(Some(here + 2));
                    let to = (len & 0x3f) << 8 | usize::from(bytes[here + 1]);
                    assert!(to < here, "pointers lead back");
                    here = to;
                } else if len == 0 {
                    at = next.unwrap_or(here + 1);
                    break;
                } else {
                    name.push(String::from_utf8(bytes[here + 1..][..len].to_vec()).unwrap());
                    here += 1 + len;
                }
            }
            names.push(name.join("."));
        }
        names
    }

    #[test]
    fn a_search_list_points_to_what_stands_there_already() {
        // The example of RFC 3397 §3.
        let list = search_list(&["eng.apple.com", "marketing.apple.com"]).unwrap();
        assert_eq!(list, b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04");
        assert_eq!(
            search_list(&["vm", "vm.", "."]).unwrap(),
            b"\x02vm\x00\xc0\x00\x00"
        );
        assert_eq!(search_list(&["vm", "a..b"]), Err("a..b"));
    }

    proptest! {
        #[test]
        fn a_search_list_reads_back_and_is_no_longer_than_plain(
            names in prop::collection::vec("[ab]{1,2}(\\.[ab]{1,2}){0,4}", 0..12)
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let list = search_list(&names).unwrap();
            prop_assert!(list.len() <= plain(&names).unwrap().len());
            prop_assert_eq!(read(&list), names.clone());
            prop_assert_eq!(read(&plain(&names).unwrap()), names);
        }
    }
}
