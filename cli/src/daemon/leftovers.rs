//! What a run that was killed has left on the host, taken away without serving
//! the network.

use super::{outside, uplink};
use crate::args::Place;
use crate::firewall::Firewall;
use crate::host::link::Links;
use crate::host::quiet::Quiet;
use crate::host::rundir::RunDir;

/// Does what the next start would do first, and the end of it last.
pub(super) async fn remove(place: &Place) -> anyhow::Result<()> {
    let name = place.network();
    let run = RunDir::claim(&place.run_dir(), name.as_str(), None)?;
    // Its sysctls first, which keep the host off the uplink.
    Quiet::open(run.path())?;
    uplink::restore(&run, &Links::new()?).await?;
    let mut firewall = Firewall::open(run.path(), name.as_str());
    outside::close(&mut firewall, &run).await
}
