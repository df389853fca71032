//! What was tried and done, read from metrics.

use super::Measurement;
use crate::capture::Capture;
use crate::fact::Counters;
use crate::prometheus::Series;

/// Counters that cannot be told from the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RatesError {
    /// A counter that was named is not among the metrics.
    NoSuchCounter {
        /// Its name.
        name: String,
    },
    /// Nothing looks like work that is tried or done.
    NothingCounted,
}

impl std::fmt::Display for RatesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchCounter { name } => write!(f, "no metric is called {name}"),
            Self::NothingCounted => f.write_str(
                "no counter looks like work tried or done: name it with --successes, and --attempts if there is one",
            ),
        }
    }
}

impl std::error::Error for RatesError {}

/// The counters to read.
#[derive(Debug, Clone, Default)]
pub struct CounterNames {
    /// Counter of attempts.
    pub attempts: Option<String>,
    /// Counter of successes.
    pub successes: Option<String>,
}

/// Rates over the metrics of a capture that was taken with so many actors. Counters that are not named are
/// found by their words, as the checks find them.
///
/// # Errors
/// [`RatesError`] when a counter that was named is missing, or none can be found.
pub fn rates(
    capture: &Capture,
    actors: u32,
    names: &CounterNames,
) -> Result<Measurement, RatesError> {
    let named = |name: &Option<String>| {
        name.as_ref()
            .map(|name| total_rate(capture, name))
            .transpose()
    };
    let counters = Counters::of(capture);
    let pair = counters.worst_pair();
    let (attempts, successes) = (named(&names.attempts)?, named(&names.successes)?);
    let done = successes
        .or_else(|| pair.map(|pair| pair.successes))
        .or(counters.completions_late)
        .ok_or(RatesError::NothingCounted)?;
    let tried = attempts.or_else(|| {
        // Somebody else's attempts beside a counter that was named would be a ratio of nothing.
        pair.filter(|_| successes.is_none())
            .map(|pair| pair.attempts)
    });
    Ok(Measurement {
        actors,
        attempts: tried.unwrap_or(done),
        successes: done,
    })
}

/// Rate of a counter over all its labels.
fn total_rate(capture: &Capture, name: &str) -> Result<f64, RatesError> {
    let metrics = capture.metrics.as_ref();
    let found: Vec<&Series> = metrics
        .iter()
        .flat_map(|metrics| metrics.all(name))
        .collect();
    if found.is_empty() {
        return Err(RatesError::NoSuchCounter {
            name: name.to_owned(),
        });
    }
    Ok(found.into_iter().map(Series::rate).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> Capture {
        let mut text = String::new();
        for second in 0..5 {
            text.push_str(&format!(
                "# scrape_t_ms {}\nswap_attempts_total {}\nswaps_total {}\nsold_total{{shop=\"a\"}} {}\nsold_total{{shop=\"b\"}} {}\n",
                second * 1000, second * 50, second * 10, second * 3, second * 4
            ));
        }
        crate::source::read_stream("m", text.as_bytes()).unwrap()
    }

    #[test]
    fn a_pair_is_found_by_its_words() {
        let found = rates(&capture(), 8, &CounterNames::default()).unwrap();
        assert!(
            (found.attempts_per_success() - 5.0).abs() < 1e-9,
            "{found:?}"
        );
        assert_eq!(found.actors, 8);
    }

    #[test]
    fn a_named_counter_is_added_up_over_its_labels_and_stands_alone() {
        let names = CounterNames {
            successes: Some("sold_total".to_owned()),
            attempts: None,
        };
        let found = rates(&capture(), 1, &names).unwrap();
        assert!((found.successes - 7.0).abs() < 1e-9, "{found:?}");
        assert!((found.attempts - 7.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn what_cannot_be_found_is_named() {
        let names = CounterNames {
            attempts: Some("trys_total".to_owned()),
            successes: None,
        };
        let error = rates(&capture(), 1, &names).unwrap_err();
        assert_eq!(error.to_string(), "no metric is called trys_total");
        let nothing = rates(&Capture::default(), 1, &CounterNames::default());
        assert_eq!(nothing, Err(RatesError::NothingCounted));
    }
}
