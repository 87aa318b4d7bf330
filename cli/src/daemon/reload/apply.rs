//! Carries a plan out, and takes back what was done of it where that fails.

use super::super::network::Network;
use super::plan::{Plan, Side};
use super::step::{Failure, Step};
use crate::events::Event;
use crate::model::ApiError;

/// Carries `plan` out. What it did and what it did not is a line each, in the
/// answer and in the log.
///
/// # Errors
/// A step failed: then nothing has changed, or the error says what could not be
/// taken back. Or something that failed before does so again.
pub(super) async fn carry_out(network: &mut Network, plan: Plan) -> Result<String, ApiError> {
    let Plan {
        from,
        to,
        steps,
        warnings,
    } = plan;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    network.stand_by(&to);
    let (mut done, mut again) = (Vec::new(), Vec::new());
    for (place, step) in steps.iter().enumerate() {
        match step.carry_out(network, &from, &to).await {
            Ok(notes) => {
                done.extend(step.line(&from, &to));
                done.extend(notes);
            }
            Err(Failure::StillSo(error)) => again.push(error.one_line()),
            Err(Failure::New(error)) => {
                let error = error.one_line();
                network.stand_by(&from);
                let mut kept = Vec::new();
                // The one that failed may be half done. Ports the last first, as one
                // may be in the place of another; the rest as when it is done,
                // since what comes later rests on what comes before.
                let (ports, parts): (Vec<&Step>, Vec<&Step>) = steps
                    .iter()
                    .take(place + 1)
                    .partition(|it| it.is_of_ports());
                for step in ports.into_iter().rev().chain(parts) {
                    kept.extend(step.undo(network, &from, &to).await.err());
                }
                return Err(network.failed(&error, &kept));
            }
        }
    }
    network.retire_former().await;
    network.write_record();
    network.finish(done, again)
}

impl Network {
    /// Goes by what `side` says from now on, as its parts are brought in line
    /// with it.
    fn stand_by(&mut self, side: &Side) {
        self.config.clone_from(&side.config);
        self.gateway = side.gateway;
        self.former.clone_from(&side.former);
        self.mac = side.mac;
    }

    /// Tells what was done, and what failed again, and gives a line of each.
    fn finish(&self, done: Vec<String>, again: Vec<String>) -> Result<String, ApiError> {
        let failed = again.iter().map(|line| format!("not done: {line}"));
        let lines: Vec<String> = done.iter().cloned().chain(failed).collect();
        let has_failed = !again.is_empty();
        self.events.tell(Event::Reloaded {
            done,
            failed: again,
        });
        if has_failed {
            return Err(ApiError::runtime(lines.join("\n")));
        }
        if lines.is_empty() {
            return Ok("nothing has changed".to_owned());
        }
        Ok(lines.join("\n"))
    }

    /// The error of a plan that failed by `error`, of which `kept` could not be
    /// taken back.
    fn failed(&self, error: &str, kept: &[ApiError]) -> ApiError {
        let kept: Vec<String> = kept.iter().map(ApiError::one_line).collect();
        let (end, help) = if kept.is_empty() {
            let mend = "nothing is changed; mend it and reload again";
            ("nothing is changed".to_owned(), mend)
        } else {
            let mend = "`vmlan status` and `vmlan ports` show what is there; mend it and reload \
                        again";
            (format!("not taken back: {}", kept.join("; ")), mend)
        };
        self.events.tell(Event::Reloaded {
            done: Vec::new(),
            failed: vec![format!("{error}; {end}")],
        });
        let said = match kept.is_empty() {
            true => error.to_owned(),
            false => format!("{error}\n{end}"),
        };
        ApiError::runtime(said).help(help)
    }
}
