//! What is measured, one file each.

mod vmm;

pub(crate) use vmm::SHAPES;

use super::lab::Lab;
use super::result::Recorder;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::time::Duration;

/// A work to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkName {
    /// Frames from the TAP of one VM to that of another
    Vmm,
}

impl WorkName {
    /// What is measured, as a heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Vmm => "VM to VM, TAPs held as by a VMM",
        }
    }

    /// Its name as an argument.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether frames come out of the generator, whose headroom matters then.
    pub(crate) fn uses_generator(self) -> bool {
        match self {
            Self::Vmm => true,
        }
    }

    /// Measures `peer` once. What fails is put on record.
    ///
    /// # Errors
    /// The bench was interrupted.
    pub(crate) fn run(self, place: &Place<'_>, recorder: &mut Recorder<'_>) -> Result<()> {
        let result = match self {
            Self::Vmm => vmm::run(place, recorder),
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => recorder.failed("all", &error).ok_or(error),
        }
    }
}

/// Where and for how long a work runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'l> {
    pub(crate) lab: &'l Lab,
    /// How long one measurement takes.
    pub(crate) time: Duration,
}
