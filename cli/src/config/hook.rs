//! The table `[dhcp.hook]`: a program that is told of leases.

use super::Problem;
use super::section::Section;
use super::value::{absolute, duration};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The time that the program may take, unless the file says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A program that is run when a lease begins, changes or ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Where it is, with its place in the file.
    pub program: Spanned<PathBuf>,
    /// The time that one run may take.
    pub timeout: Duration,
    /// Whether it is also run when a lease is renewed and nothing else about
    /// it changed.
    pub on_renewal: bool,
}

impl Hook {
    pub(super) fn read(mut section: Section<'_, '_, '_>) -> Option<Self> {
        let program = section.text("program", absolute);
        let timeout = section.text_or_number("timeout", |text| {
            let range = Duration::from_secs(1)..=Duration::from_secs(600);
            duration(text).and_then(|time| {
                range.contains(&time).then_some(time).ok_or_else(|| {
                    Problem::new(format!("a hook cannot have {text} of time"))
                        .help("use 1s to 10m: while it runs, no other one does")
                })
            })
        });
        let on_renewal = section.boolean("on-renewal");
        if !section.has("program") {
            let problem = Problem::new("the hook has no `program`")
                .help("add program = \"/…\", or take [dhcp.hook] out");
            let span = section.span();
            section.findings.error(span, problem);
        }
        section.end();
        Some(Self {
            program: program?,
            timeout: timeout.map_or(TIMEOUT, Spanned::into_inner),
            on_renewal: on_renewal.is_some_and(Spanned::into_inner),
        })
    }
}
