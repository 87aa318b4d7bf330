//! Bounds of an XML document, looked at before it is parsed: the parser compares
//! each attribute of an element with all others, and copies the namespaces of an
//! element to each below it that adds one, so a document of a megabyte could
//! keep it busy for minutes.

use crate::config::Problem;
use std::ops::Range;

/// Attributes that an element may have. libvirt's have ten at most.
const MAX_ATTRIBUTES: usize = 100;

/// Namespaces that a document may declare, each time counted.
const MAX_NAMESPACES: usize = 100;

/// Whether `text` is within bounds. Anything else that is wrong with it is left
/// to the parser.
///
/// # Errors
/// The element that is not, and why.
pub(super) fn check(text: &str) -> Result<(), (Range<usize>, Problem)> {
    let mut namespaces = 0;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = rest.get(at..).unwrap_or_default();
        let skipped = ["<!--", "<![CDATA[", "<?"]
            .into_iter()
            .zip(["-->", "]]>", "?>"])
            .find(|(start, _)| rest.starts_with(start));
        if let Some((start, end)) = skipped {
            let inside = rest.get(start.len()..).unwrap_or_default();
            rest = inside.split_once(end).map_or("", |(_, rest)| rest);
            continue;
        }
        let tag = Tag::at(rest);
        namespaces += tag.namespaces;
        let too_many = if tag.attributes > MAX_ATTRIBUTES {
            Some(format!("more than {MAX_ATTRIBUTES} attributes"))
        } else if namespaces > MAX_NAMESPACES {
            Some(format!("one more than {MAX_NAMESPACES} namespaces"))
        } else {
            None
        };
        if let Some(what) = too_many {
            let start = text.len() - rest.len();
            let problem = Problem::new(format!("this element has {what}"))
                .help("`virsh net-dumpxml NET` prints a description as libvirt has it");
            return Err((start..start + tag.length, problem));
        }
        rest = rest.get(tag.length..).unwrap_or_default();
    }
    Ok(())
}

/// A tag, from `<` to `>`.
#[derive(Debug, Default)]
struct Tag {
    /// In bytes; of one with too many attributes, up to there.
    length: usize,
    attributes: usize,
    /// Those of the attributes that declare a namespace.
    namespaces: usize,
}

impl Tag {
    /// The tag that `text` starts with.
    fn at(text: &str) -> Self {
        let mut tag = Self::default();
        let mut quote = None;
        for (at, c) in text.char_indices() {
            match (quote, c) {
                (Some(open), c) if open == c => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '=') => {
                    tag.attributes += 1;
                    let name = text.get(..at).unwrap_or_default().trim_end();
                    let name = name.rsplit(char::is_whitespace).next();
                    if name.is_some_and(|name| name.starts_with("xmlns")) {
                        tag.namespaces += 1;
                    }
                }
                _ => {}
            }
            if (quote, c) == (None, '>') || tag.attributes > MAX_ATTRIBUTES {
                tag.length = at + c.len_utf8();
                return tag;
            }
        }
        tag.length = text.len();
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn attributes(count: usize) -> String {
        (0..count).map(|n| format!(" a{n}='<=>'")).collect()
    }

    #[test]
    fn an_element_has_so_many_attributes_and_no_more() {
        let most = attributes(MAX_ATTRIBUTES);
        let comment = format!("<!-- <x{most} b='' -->");
        check(&format!(
            "<a{most}>{comment}<b{most}/><![CDATA[<x b='' {most}]]></a>"
        ))
        .unwrap();
        let (place, problem) = check(&format!("<a>\n<b{most} more = ''/></a>")).unwrap_err();
        assert_eq!(place.start, 4);
        assert!(problem.message.contains("100 attributes"), "{problem}");
        check(&"<".repeat(10)).unwrap();
        check("<a b='").unwrap();
    }

    #[test]
    fn a_document_has_so_many_namespaces_and_no_more() {
        let nested = |count: usize| -> String {
            (0..count).map(|n| format!("<a xmlns:n{n} ='x'>")).collect()
        };
        check(&nested(MAX_NAMESPACES)).unwrap();
        let (_, problem) = check(&nested(MAX_NAMESPACES + 1)).unwrap_err();
        assert!(problem.message.contains("namespaces"), "{problem}");
    }

    #[test]
    fn a_hostile_document_is_refused_at_once() {
        let start = Instant::now();
        check(&format!("<a{}/>", attributes(60_000))).unwrap_err();
        check(&format!("<a {}", "x=".repeat(500_000))).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
