//! Reads an XML document element by element and keeps account of it: what
//! nobody has asked for in the end is named ([`Reader::rest`]), so nothing is
//! dropped without a word.

use super::bounds;
use crate::config::{ConfigError, Problem, Source};
use roxmltree::{Document, Node, NodeId, ParsingOptions};
use std::collections::HashSet;
use std::ops::Range;
use toml::Spanned;

/// Elements, attributes and texts that a document may have.
const MAX_NODES: u32 = 500_000;

const HELP: &str = "`virsh net-dumpxml NET` prints that of a network";

/// Parses `source`.
///
/// # Errors
/// It is no well-formed XML, or larger than any network is.
pub(super) fn parse(source: &Source) -> Result<Document<'_>, ConfigError> {
    bounds::check(source.text()).map_err(|(span, problem)| source.error(span, problem))?;
    if source.text().trim().is_empty() {
        let problem = Problem::new("there is nothing in it").help(HELP);
        return Err(ConfigError::unreadable(source.path(), problem));
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(source.text(), options).map_err(|error| {
        let at = offset(source.text(), error.pos());
        // Its own text ends with the place, which is shown already.
        let text = error.to_string();
        let what = text
            .rsplit_once(" at ")
            .map_or(text.as_str(), |(what, _)| what);
        let problem = Problem::new(format!("this is no well-formed XML: {what}")).help(HELP);
        source.error(at..at + 1, problem)
    })
}

/// The byte of a place that is given by line and character, from 1.
fn offset(text: &str, place: roxmltree::TextPos) -> usize {
    let row = usize::try_from(place.row).unwrap_or(usize::MAX);
    let column = usize::try_from(place.col).unwrap_or(usize::MAX);
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines
        .by_ref()
        .take(row.saturating_sub(1))
        .map(str::len)
        .sum();
    let line = lines.next().unwrap_or_default();
    let inside: usize = line
        .chars()
        .take(column.saturating_sub(1))
        .map(char::len_utf8)
        .sum();
    before + inside
}

/// Something in the document that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// Where in the tree: `dns/txt`, or `bridge@stp` for an attribute.
    pub path: String,
    /// As it stands in the document, without what is inside of it.
    pub shown: String,
    /// Its place.
    pub span: Range<usize>,
}

/// A document being read.
pub(super) struct Reader<'s, 'd> {
    source: &'s Source,
    document: &'d Document<'s>,
    elements: HashSet<NodeId>,
    /// Each by its place in the document.
    attributes: HashSet<usize>,
    errors: Vec<(Range<usize>, Problem)>,
}

impl<'s, 'd> Reader<'s, 'd> {
    /// `document`, which was parsed from `source`.
    pub(super) fn new(source: &'s Source, document: &'d Document<'s>) -> Self {
        Self {
            source,
            document,
            elements: HashSet::from([document.root_element().id()]),
            attributes: HashSet::new(),
            errors: Vec::new(),
        }
    }

    /// The elements called `name` in `parent`.
    pub(super) fn children(&mut self, parent: Node<'d, 's>, name: &str) -> Vec<Node<'d, 's>> {
        let named = |node: &Node<'_, '_>| node.is_element() && path_name(*node) == name;
        let found: Vec<_> = parent.children().filter(named).collect();
        self.elements.extend(found.iter().map(Node::id));
        found
    }

    /// The element called `name` in `parent`; of several the first, the others
    /// are left.
    pub(super) fn child(&mut self, parent: Node<'d, 's>, name: &str) -> Option<Node<'d, 's>> {
        let named = |node: &Node<'_, '_>| node.is_element() && path_name(*node) == name;
        let found = parent.children().find(named)?;
        self.take(found);
        Some(found)
    }

    /// Counts the element `node` as asked for.
    pub(super) fn take(&mut self, node: Node<'d, 's>) {
        self.elements.insert(node.id());
    }

    /// The attribute `name` of `node`.
    pub(super) fn attribute(&mut self, node: Node<'d, 's>, name: &str) -> Option<Spanned<String>> {
        let attribute = node.attributes().find(|it| it.name() == name)?;
        self.attributes.insert(attribute.range().start);
        let value = attribute.value().to_owned();
        Some(Spanned::new(attribute.range_value(), value))
    }

    /// The attribute `name` of `node`, read by `parse`; what that refuses is an
    /// error.
    pub(super) fn parsed<T>(
        &mut self,
        node: Node<'d, 's>,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let text = self.attribute(node, name)?;
        match parse(text.get_ref()) {
            Ok(value) => Some(Spanned::new(text.span(), value)),
            Err(problem) => {
                self.error(text.span(), problem);
                None
            }
        }
    }

    /// The text of `node`, without white space around it.
    pub(super) fn text(&self, node: Node<'d, 's>) -> Spanned<String> {
        let text = node.text().unwrap_or_default().trim();
        Spanned::new(opening(node), text.to_owned())
    }

    pub(super) fn error(&mut self, span: Range<usize>, problem: Problem) {
        self.errors.push((span, problem));
    }

    /// What was not asked for, outermost first, in the order of the document.
    ///
    /// # Errors
    /// All that was found wrong.
    pub(super) fn rest(self) -> Result<Vec<Rest>, ConfigError> {
        if !self.errors.is_empty() {
            return Err(ConfigError::new(self.source, self.errors));
        }
        let mut rest = Vec::new();
        for node in self.document.descendants().filter(Node::is_element) {
            let parent_read = node
                .parent_element()
                .is_none_or(|parent| self.elements.contains(&parent.id()));
            if !parent_read {
                continue; // inside of one that is named
            }
            if !self.elements.contains(&node.id()) {
                rest.push(Rest {
                    path: path(node),
                    shown: self.shown(opening(node)),
                    span: opening(node),
                });
                continue;
            }
            for attribute in node.attributes() {
                if !self.attributes.contains(&attribute.range().start) {
                    let path = match path(node).as_str() {
                        "" => format!("@{}", attribute.name()),
                        path => format!("{path}@{}", attribute.name()),
                    };
                    let tag = path_name(node);
                    rest.push(Rest {
                        path,
                        shown: format!("<{tag} {}>", self.shown(attribute.range())),
                        span: attribute.range(),
                    });
                }
            }
        }
        Ok(rest)
    }

    fn shown(&self, span: Range<usize>) -> String {
        let text = self.source.text().get(span).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The opening tag of `node`.
pub(super) fn opening(node: Node<'_, '_>) -> Range<usize> {
    let whole = node.range();
    let end = node.first_child().map(|child| child.range().start);
    let text = node.document().input_text();
    let end = end.unwrap_or_else(|| {
        // With nothing inside it may still have a closing tag.
        let inner = text.get(whole.clone()).and_then(|text| text.find("></"));
        inner.map_or(whole.end, |at| whole.start + at + 1)
    });
    whole.start..end
}

/// The names of the elements down to `node`, without the outermost.
fn path(node: Node<'_, '_>) -> String {
    let mut names: Vec<_> = node
        .ancestors()
        .filter(|node| node.is_element() && node.parent_element().is_some())
        .map(path_name)
        .collect();
    names.reverse();
    names.join("/")
}

/// The name of an element; with `dnsmasq:` where it is of that namespace.
pub(super) fn path_name(node: Node<'_, '_>) -> String {
    let name = node.tag_name();
    match name.namespace() {
        None => name.name().to_owned(),
        Some(super::xml::DNSMASQ) => format!("dnsmasq:{}", name.name()),
        Some(other) => format!("{{{other}}}{}", name.name()),
    }
}
