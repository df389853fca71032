//! What came of each request, per second and per phase, in fixed memory.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies above this are recorded as this. Longer than any request can take here: the
/// generator gives up before.
pub const LATENCY_CEILING: Duration = Duration::from_secs(60);

/// The 99th percentile of the lag between intended and real sending above which the generator, and
/// no longer the service, is what was measured. The corrected column charges the lag to the
/// service, so below this limit it makes figures a little worse, never better.
pub const PACE_LIMIT: Duration = Duration::from_millis(50);

/// Significant decimal digits of the histograms of a phase and of a second.
const PHASE_DIGITS: u8 = 3;
const SECOND_DIGITS: u8 = 2;

/// How a request ended, as the generator saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Status 200, nothing left out.
    Full,
    /// Status 200, and the answer says that a part of it came from a fallback.
    Degraded,
    /// Any other status.
    Refused(u16),
    /// The connection failed or broke before the end of the answer.
    NoAnswer,
    /// The generator's own patience ended.
    GivenUp,
}

/// One request that ended. All times are from the start of the run.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When it was due.
    pub intended: Duration,
    /// When it was handed to the connection.
    pub sent: Duration,
    /// When its answer had been read to the end, or the wait for it ended.
    pub finished: Duration,
    /// How it ended.
    pub answer: Answer,
}

/// How many requests ended how. The kinds exclude each other: their sum is what was offered, once
/// every request ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counts {
    /// Requests that were due.
    pub offered: u64,
    /// Status 200, in time, nothing left out.
    pub full: u64,
    /// Status 200, in time, with a part from a fallback.
    pub degraded: u64,
    /// Status 200, too late to be of use.
    pub late: u64,
    /// Status 500 to 599, whenever it came.
    pub server_errors: u64,
    /// Any other status.
    pub other_status: u64,
    /// No complete answer: the connection failed, or the generator gave up.
    pub no_answer: u64,
    /// Due, and not sent because too many requests were under way.
    pub not_sent: u64,
}

impl Counts {
    /// Useful answers: status 200 in time, degraded or not.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.full + self.degraded
    }

    /// Requests that came to nothing.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.late + self.server_errors + self.other_status + self.no_answer + self.not_sent
    }

    /// Requests that are still under way.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.offered.saturating_sub(self.good() + self.failed())
    }

    /// The share of what was offered that came to good, 0 to 1; zero if nothing was offered.
    #[must_use]
    pub fn success_share(&self) -> f64 {
        if self.offered == 0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a run are far below 2^53"
        )]
        let share = self.good() as f64 / self.offered as f64;
        share
    }

    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.full += other.full;
        self.degraded += other.degraded;
        self.late += other.late;
        self.server_errors += other.server_errors;
        self.other_status += other.other_status;
        self.no_answer += other.no_answer;
        self.not_sent += other.not_sent;
    }
}

/// Percentiles of a latency, in milliseconds; all zero if nothing was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Latency {
    /// How many latencies these are percentiles of.
    pub count: u64,
    /// The median.
    pub p50_ms: f64,
    /// The 90th percentile.
    pub p90_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The 99.9th percentile.
    pub p999_ms: f64,
    /// The greatest.
    pub max_ms: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(histogram.max()),
        }
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "bounded by the ceiling, far below 2^53"
    )]
    let value = microseconds as f64 / 1000.0;
    value
}

/// One second of a run. A request belongs to the second in which it was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Second {
    /// How the requests due in it ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// The 99th percentile of their corrected latencies in milliseconds, over those that ended.
    pub p99_ms: f64,
}

/// One phase of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    /// How the requests due in it ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Latency from the intended start, of every request that was sent.
    pub corrected: Latency,
    /// Latency from the moment of sending, of every request that was sent.
    pub uncorrected: Latency,
}

/// Whether the generator kept its own pace.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pace {
    /// The lag between intended and real sending, over the whole run.
    pub lag: Latency,
    /// Requests that were due and not sent.
    pub not_sent: u64,
    /// Whether the figures are the service's: the lag's 99th percentile is within
    /// [`PACE_LIMIT`] and every request was sent.
    pub kept: bool,
}

#[derive(Debug)]
struct Slot {
    counts: Counts,
    latency: Histogram<u64>,
}

#[derive(Debug)]
struct Phase {
    seconds: Range<u32>,
    corrected: Histogram<u64>,
    uncorrected: Histogram<u64>,
}

#[derive(Debug)]
struct State {
    seconds: Vec<Slot>,
    phases: Vec<Phase>,
    lag: Histogram<u64>,
}

/// The record of one run, filled by the generator and read while it runs.
#[derive(Debug)]
pub struct Record {
    good_within: Duration,
    state: Mutex<State>,
}

impl Record {
    /// An empty record of phases that follow each other, each so many whole seconds long. An
    /// answer is useful if it was complete within `good_within` of the intended start.
    #[must_use]
    pub fn new(phase_seconds: &[u32], good_within: Duration) -> Self {
        let mut end = 0;
        let mut phases = Vec::with_capacity(phase_seconds.len());
        for length in phase_seconds {
            let start = end;
            end += length;
            phases.push(Phase {
                seconds: start..end,
                corrected: histogram(PHASE_DIGITS),
                uncorrected: histogram(PHASE_DIGITS),
            });
        }
        let seconds = (0..end).map(|_| Slot {
            counts: Counts::default(),
            latency: histogram(SECOND_DIGITS),
        });
        let (seconds, lag) = (seconds.collect(), histogram(PHASE_DIGITS));
        Self {
            good_within,
            state: Mutex::new(State {
                seconds,
                phases,
                lag,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters are whole after every statement: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is due.
    pub fn offer(&self, intended: Duration) {
        if let Some(slot) = self.state().slot(intended) {
            slot.counts.offered += 1;
        }
    }

    /// A request was due and could not be sent.
    pub fn not_sent(&self, intended: Duration) {
        if let Some(slot) = self.state().slot(intended) {
            slot.counts.not_sent += 1;
        }
    }

    /// A request ended.
    pub fn finish(&self, sample: &Sample) {
        let corrected = sample.finished.saturating_sub(sample.intended);
        let uncorrected = sample.finished.saturating_sub(sample.sent);
        let in_time = corrected <= self.good_within;
        let mut state = self.state();
        store(&mut state.lag, sample.sent.saturating_sub(sample.intended));
        if let Some(slot) = state.slot(sample.intended) {
            let counts = &mut slot.counts;
            let kind = match sample.answer {
                Answer::Full if in_time => &mut counts.full,
                Answer::Degraded if in_time => &mut counts.degraded,
                Answer::Full | Answer::Degraded => &mut counts.late,
                Answer::Refused(500..=599) => &mut counts.server_errors,
                Answer::Refused(_) => &mut counts.other_status,
                Answer::NoAnswer | Answer::GivenUp => &mut counts.no_answer,
            };
            *kind += 1;
            store(&mut slot.latency, corrected);
        }
        let second = sample.intended.as_secs();
        let phase = state.phases.iter_mut().find(|phase| phase.holds(second));
        if let Some(phase) = phase {
            store(&mut phase.corrected, corrected);
            store(&mut phase.uncorrected, uncorrected);
        }
    }

    /// The requests due in second `index` of the run, as far as they ended.
    #[must_use]
    pub fn second(&self, index: u32) -> Second {
        let state = self.state();
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| state.seconds.get(index));
        slot.map_or_else(Second::default, Slot::second)
    }

    /// Every second of the run, in order.
    #[must_use]
    pub fn seconds(&self) -> Vec<Second> {
        self.state().seconds.iter().map(Slot::second).collect()
    }

    /// Phase `index`, as far as its requests ended.
    #[must_use]
    pub fn phase(&self, index: usize) -> Summary {
        let state = self.state();
        let Some(phase) = state.phases.get(index) else {
            return Summary::default();
        };
        let mut counts = Counts::default();
        for (second, slot) in state.seconds.iter().enumerate() {
            if phase.holds(second as u64) {
                counts.add(&slot.counts);
            }
        }
        let (corrected, uncorrected) = (&phase.corrected, &phase.uncorrected);
        Summary {
            counts,
            corrected: Latency::of(corrected),
            uncorrected: Latency::of(uncorrected),
        }
    }

    /// Whether the generator kept up with its own schedule.
    #[must_use]
    pub fn pace(&self) -> Pace {
        let state = self.state();
        let lag = Latency::of(&state.lag);
        let not_sent = state.seconds.iter().map(|slot| slot.counts.not_sent).sum();
        let kept = lag.p99_ms <= PACE_LIMIT.as_secs_f64() * 1000.0 && not_sent == 0;
        Pace {
            lag,
            not_sent,
            kept,
        }
    }
}

impl State {
    fn slot(&mut self, intended: Duration) -> Option<&mut Slot> {
        let second = usize::try_from(intended.as_secs()).ok()?;
        self.seconds.get_mut(second)
    }
}

impl Slot {
    fn second(&self) -> Second {
        let p99_ms = milliseconds(self.latency.value_at_quantile(0.99));
        Second {
            counts: self.counts,
            p99_ms,
        }
    }
}

impl Phase {
    fn holds(&self, second: u64) -> bool {
        u64::from(self.seconds.start) <= second && second < u64::from(self.seconds.end)
    }
}

/// Fixed bounds, so that its memory does not depend on what is recorded.
fn histogram(digits: u8) -> Histogram<u64> {
    let ceiling = u64::try_from(LATENCY_CEILING.as_micros()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, ceiling, digits)
        .unwrap_or_else(|error| unreachable!("the bounds are constants: {error}"))
}

fn store(histogram: &mut Histogram<u64>, latency: Duration) {
    let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    histogram.saturating_record(microseconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(intended: u64, sent: u64, finished: u64, answer: Answer) -> Sample {
        let at = Duration::from_millis;
        Sample {
            intended: at(intended),
            sent: at(sent),
            finished: at(finished),
            answer,
        }
    }

    fn record(samples: &[Sample]) -> Record {
        let record = Record::new(&[1, 2], Duration::from_secs(1));
        for sample in samples {
            record.offer(sample.intended);
            record.finish(sample);
        }
        record
    }

    #[test]
    fn a_request_that_left_late_is_charged_its_wait_in_the_corrected_column_only() {
        let record = record(&[sample(100, 600, 650, Answer::Full)]);
        let phase = record.phase(0);
        assert!(
            (phase.corrected.max_ms - 550.0).abs() < 1.0,
            "{}",
            phase.corrected.max_ms
        );
        assert!(
            (phase.uncorrected.max_ms - 50.0).abs() < 1.0,
            "{}",
            phase.uncorrected.max_ms
        );
    }

    #[test]
    fn an_answer_counts_for_the_second_in_which_its_request_was_due() {
        let record = record(&[sample(900, 900, 1500, Answer::Full)]);
        assert_eq!(record.second(0).counts.full, 1);
        assert_eq!(record.second(1).counts, Counts::default());
    }

    #[test]
    fn a_200_after_the_limit_is_late_and_not_good() {
        let record = record(&[
            sample(0, 0, 1000, Answer::Degraded),
            sample(0, 0, 1001, Answer::Degraded),
            sample(0, 0, 4800, Answer::Full),
        ]);
        let counts = record.second(0).counts;
        assert_eq!((counts.degraded, counts.late, counts.good()), (1, 2, 1));
    }

    #[test]
    fn the_kinds_add_up_to_what_was_offered() {
        let answers = [
            Answer::Full,
            Answer::Degraded,
            Answer::Refused(503),
            Answer::Refused(404),
            Answer::NoAnswer,
            Answer::GivenUp,
        ];
        let samples: Vec<Sample> = answers
            .map(|answer| sample(1100, 1100, 1110, answer))
            .into();
        let record = record(&samples);
        record.offer(Duration::from_millis(1200));
        record.not_sent(Duration::from_millis(1200));
        record.offer(Duration::from_millis(2500));
        let counts = record.phase(1).counts;
        assert_eq!(counts.offered, 8);
        assert_eq!(counts.good() + counts.failed() + counts.unfinished(), 8);
        assert_eq!(
            (counts.good(), counts.failed(), counts.unfinished()),
            (2, 5, 1)
        );
    }

    #[test]
    fn a_generator_that_falls_behind_says_so() {
        assert!(record(&[sample(0, 1, 2, Answer::Full)]).pace().kept);
        assert!(!record(&[sample(0, 60, 61, Answer::Full)]).pace().kept);
        let record = record(&[]);
        record.offer(Duration::ZERO);
        record.not_sent(Duration::ZERO);
        assert!(
            !record.pace().kept,
            "a request that was not sent is not a measurement"
        );
    }

    #[test]
    fn memory_does_not_grow_with_what_is_recorded() {
        let mut histogram = histogram(PHASE_DIGITS);
        let buckets = histogram.distinct_values();
        for seconds in 0..3600 {
            store(&mut histogram, Duration::from_secs(seconds));
        }
        assert_eq!(histogram.distinct_values(), buckets);
        assert!(buckets < 50_000, "{buckets} counters");
    }
}
