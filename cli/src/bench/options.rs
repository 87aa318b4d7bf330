//! What the user asks for.

use super::peer::Peer;
use super::work::WorkName;
use clap::Args;
use std::path::PathBuf;

/// Options of `vmlan bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to measure [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub work: Vec<WorkName>,
    /// Against whom; those that are not installed are left out [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub peers: Vec<Peer>,
    /// Measure vmlan a second time with these lines under \[switch\], such as
    /// 'workers = 2'
    #[arg(long, value_name = "KEY = VALUE")]
    pub variant: Option<String>,
    /// How often; in each round, all peers have their turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// How long one measurement takes, in seconds
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
    /// Draw a chart
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=60.0).contains(seconds))
        .ok_or_else(|| "a number of seconds from 0.1 to 60 is wanted".to_owned())
}
