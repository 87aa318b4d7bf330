//! The user class (option 77).

/// The classes in option 77. RFC 3004 §4 has it as strings, each behind its
/// length; Windows and many boot ROMs send one bare string. As in dnsmasq, it
/// is the former if all lengths work out, else the latter.
pub(super) fn parse(option: &[u8]) -> Vec<Box<[u8]>> {
    counted(option).unwrap_or_else(|| vec![option.into()])
}

fn counted(option: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let (mut classes, mut rest) = (Vec::new(), option);
    while let Some((len, after)) = rest.split_first() {
        let (class, next) = after.split_at_checked(usize::from(*len))?;
        if !class.is_empty() {
            classes.push(class.into());
        }
        rest = next;
    }
    Some(classes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classes(option: &[u8]) -> Vec<Vec<u8>> {
        parse(option).into_iter().map(Vec::from).collect()
    }

    #[test]
    fn classes_behind_their_lengths_are_parted() {
        assert_eq!(classes(b"\x01a\x00\x03bcd"), [&b"a"[..], b"bcd"]);
    }

    #[test]
    fn a_bare_string_is_one_class() {
        for bare in [&b"iPXE"[..], b"RRAS.Microsoft", b"\x01a\x05b"] {
            assert_eq!(classes(bare), [bare]);
        }
    }

    proptest! {
        #[test]
        fn no_class_is_longer_than_the_option(option in prop::collection::vec(any::<u8>(), 0..600)) {
            let total: usize = parse(&option).iter().map(|class| class.len()).sum();
            prop_assert!(total <= option.len());
        }
    }
}
