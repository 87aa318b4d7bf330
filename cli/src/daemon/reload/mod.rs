//! Applies a changed configuration to a running network.
//!
//! What is wanted is compared with what is there, which gives a [`plan`]: steps
//! with a line each, in an order in which they can be done. [`apply`] carries
//! them out ([`step`], [`ports`]). If one fails, those before it are undone, ports the
//! last first: a step is undone by the same code, which then brings its part of
//! the network in line with the old configuration. So what cannot be undone
//! without loss (a port that goes) comes last, when nothing can fail any more.
//!
//! Two things are tried at each reload, changed or not, as that is how people
//! mend them: the host's rules, and ports that could not be made before. That
//! they fail once more is told and takes nothing back.

mod apply;
mod plan;
mod ports;
mod step;

use super::network::Network;
use crate::model::ApiError;
use plan::Plan;

/// Reads the configuration again, applies what changed and says what it did,
/// a line each, in the log too. With `dry_run`, only says what it would do.
///
/// # Errors
/// The configuration cannot be used, asks for what cannot change, or a part of
/// it cannot be applied: then the network is as it was. Or what was missing
/// before is still missing: then the rest is done, and the error says which is
/// which.
pub(super) async fn reload(network: &mut Network, dry_run: bool) -> Result<String, ApiError> {
    let plan = match &network.file {
        Some(file) => Plan::make(network, file).await,
        None => Ok(Plan::built_in(network)),
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            if !dry_run {
                tracing::error!("reload: nothing is changed: {}", error.one_line());
            }
            return Err(error);
        }
    };
    if dry_run {
        return Ok(plan.to_string());
    }
    apply::carry_out(network, plan).await
}
