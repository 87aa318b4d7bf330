//! Where the ports of a configuration stand in its file, so that what goes
//! wrong with one of them while the network runs can be shown there.

use super::{Located, PortName, Problem, Source};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// The places of a configuration's ports. Two configurations are equal
/// wherever their ports stand, so all values of this type are.
#[derive(Debug, Clone, Default)]
pub struct Places {
    source: Option<Source>,
    ports: BTreeMap<PortName, Range<usize>>,
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// Those of `ports`, by name, in `source`.
    pub(super) fn new(
        source: &Source,
        ports: impl IntoIterator<Item = (PortName, Range<usize>)>,
    ) -> Self {
        Self {
            source: Some(source.clone()),
            ports: ports.into_iter().collect(),
        }
    }

    /// What went wrong with the port `name`, at its place: the way to report
    /// what only shows once the network runs, as a netdev that is not there.
    #[must_use]
    pub fn port_error(&self, name: &PortName, error: impl Into<Problem>) -> Located {
        let mut problem = error.into();
        problem.message = format!("port {name}: {}", problem.message);
        match (&self.source, self.ports.get(name)) {
            (Some(source), Some(span)) => source.locate(span.clone(), problem),
            (Some(source), None) => Located::unplaced(source.path(), problem),
            (None, _) => Located::unplaced(Path::new("the built-in configuration"), problem),
        }
    }
}
