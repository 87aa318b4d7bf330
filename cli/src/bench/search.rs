//! The search for the highest rate that is still good (as in RFC 2544 §26.1,
//! with some loss allowed).

use anyhow::Result;

/// What a trial at a rate gave.
#[derive(Debug, Clone)]
pub(crate) struct Trial<T> {
    /// Whether it was good.
    pub(crate) good: bool,
    /// The rate that was really reached.
    pub(crate) rate: f64,
    /// Whatever else is known.
    pub(crate) detail: T,
}

/// Tries beyond `guess`, at most.
const WIDEN: u32 = 3;
/// A trial that reaches less than this part of the rate that it was to have
/// says that the generator can do no more.
const REACHED: f64 = 0.93;

/// The best good trial, to within `resolution` (a part of the rate). Starts
/// at `guess`, goes up while that is good, then halves what is left. A rate is
/// bad when two trials say so: one may have met somebody else's work.
///
/// [`None`] if none was good.
///
/// # Errors
/// Those of `trial`.
pub(crate) fn highest<T>(
    guess: f64,
    resolution: f64,
    mut trial: impl FnMut(f64) -> Result<Trial<T>>,
) -> Result<Option<Trial<T>>> {
    let mut twice = |rate| -> Result<Trial<T>> {
        let first = trial(rate)?;
        if first.good { Ok(first) } else { trial(rate) }
    };
    let mut best: Option<Trial<T>> = None;
    let (mut low, mut high) = (0.0, guess);
    for _ in 0..=WIDEN {
        let result = twice(high)?;
        if !result.good {
            break;
        }
        let reached = result.rate >= high * REACHED;
        low = high;
        if best.as_ref().is_none_or(|best| result.rate > best.rate) {
            best = Some(result);
        }
        if !reached {
            return Ok(best);
        }
        high *= 1.4;
    }
    while high - low > resolution * high {
        let middle = f64::midpoint(low, high);
        let result = twice(middle)?;
        if result.good {
            low = middle;
            if best.as_ref().is_none_or(|best| result.rate > best.rate) {
                best = Some(result);
            }
        } else {
            high = middle;
        }
        if low == 0.0 && high < guess * resolution {
            break;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A switch that loses nothing up to `limit`.
    fn search(limit: f64, guess: f64) -> (Option<f64>, u32) {
        let mut trials = 0;
        let best = highest(guess, 0.02, |rate| {
            trials += 1;
            Ok(Trial {
                good: rate <= limit,
                rate,
                detail: (),
            })
        });
        (best.unwrap().map(|best| best.rate), trials)
    }

    #[test]
    fn the_limit_is_found_from_below_and_above() {
        for guess in [40.0, 90.0, 100.0, 110.0, 500.0, 5000.0] {
            let (best, trials) = search(100.0, guess);
            let best = best.unwrap();
            assert!((98.0..=100.0).contains(&best), "from {guess}: {best}");
            assert!(trials < 26, "from {guess}: {trials} trials");
        }
    }

    #[test]
    fn where_nothing_is_good_there_is_no_rate_and_an_end() {
        let (best, trials) = search(-1.0, 100.0);
        assert_eq!(best, None);
        assert!(trials < 20, "{trials}");
    }

    #[test]
    fn a_generator_at_its_limit_ends_the_search() {
        let best = highest(100.0, 0.02, |rate| {
            Ok(Trial {
                good: true,
                rate: rate.min(150.0),
                detail: (),
            })
        });
        assert_eq!(best.unwrap().unwrap().rate, 150.0);
    }

    #[test]
    fn one_bad_trial_by_chance_does_not_count() {
        let mut unlucky = true;
        let best = highest(100.0, 0.02, |rate| {
            let good = rate <= 100.0 && !std::mem::replace(&mut unlucky, false);
            Ok(Trial {
                good,
                rate,
                detail: (),
            })
        });
        assert!(best.unwrap().unwrap().rate >= 98.0);
    }
}
