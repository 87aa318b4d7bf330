//! Resident memory over a run.

use anyhow::{Context, Result, ensure};

/// Bytes that memory may grow after the warm-up. A table or buffer that grew by
/// a byte an input would take more within 4 million inputs.
pub const MAX_GROWTH: u64 = 4 << 20;

/// Resident memory of this process after the warm-up, and the most since.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    warm: Option<u64>,
    peak: u64,
}

impl Memory {
    /// Looks at memory; `warm` says that tables and buffers have their size.
    pub fn sample(&mut self, warm: bool) {
        if warm && let Ok(resident) = resident() {
            self.warm.get_or_insert(resident);
            self.peak = self.peak.max(resident);
        }
    }

    /// Bytes resident after the warm-up.
    #[must_use]
    pub fn warm(&self) -> u64 {
        self.warm.unwrap_or_default()
    }

    /// Bytes by which the peak since then is above that.
    #[must_use]
    pub fn growth(&self) -> u64 {
        self.peak.saturating_sub(self.warm())
    }

    /// Whether memory stayed flat.
    ///
    /// # Errors
    /// It grew by more than [`MAX_GROWTH`], or nobody could look.
    pub fn check(&self) -> Result<()> {
        resident()?;
        ensure!(
            self.growth() <= MAX_GROWTH,
            "memory grew by {} bytes from {} after the warm-up, more than {MAX_GROWTH}",
            self.growth(),
            self.warm(),
        );
        Ok(())
    }
}

/// Bytes of this process in memory (proc_pid_statm(5), second field).
fn resident() -> Result<u64> {
    let path = "/proc/self/statm";
    let text = std::fs::read_to_string(path).context(path)?;
    let pages: u64 = text
        .split_whitespace()
        .nth(1)
        .with_context(|| format!("{path} has no second field"))?
        .parse()
        .context(path)?;
    Ok(pages * rustix::param::page_size() as u64)
}
