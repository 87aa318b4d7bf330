//! Lines for systemd's journal: each with its priority in front, as sd-daemon(3)
//! has it.

use rustix::fs::fstat;
use std::io::{self, Write};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Whether stderr leads to the journal: systemd names device and inode of what
/// it has connected in `JOURNAL_STREAM` (systemd.exec(5)).
pub(super) fn is_stderr() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(io::stderr()).is_ok_and(|found| named == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Writes each line to stderr, with its priority.
#[derive(Debug)]
pub(super) struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Level::INFO)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        Line(*meta.level())
    }
}

/// One line of a level, which comes in one piece.
#[derive(Debug)]
pub(super) struct Line(Level);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(&prefixed(self.0, line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `text` with the priority of `level` in front of each of its lines.
fn prefixed(level: Level, text: &[u8]) -> Vec<u8> {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    let prefix = format!("<{priority}>");
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines
        .flat_map(|line| [prefix.as_bytes(), line])
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_priority_of_its_level() {
        assert_eq!(prefixed(Level::ERROR, b"a\n"), b"<3>a\n");
        assert_eq!(prefixed(Level::WARN, b"a\n"), b"<4>a\n");
        assert_eq!(prefixed(Level::TRACE, b"a\n"), b"<7>a\n");
        assert_eq!(prefixed(Level::INFO, b"a\nb\n"), b"<6>a\n<6>b\n");
    }
}
