//! Adaptive limits, sample for sample.

use core::num::NonZeroU32;
use core::time::Duration;

use anyhow::Result;
use evenkeel_core::entropy::Entropy;
use evenkeel_core::limiter::aimd::{Aimd, AimdConfig};
use evenkeel_core::limiter::gradient2::{Gradient2, Gradient2Config};
use evenkeel_core::limiter::vegas::{Vegas, VegasConfig};
use serde::Deserialize;
use serde_json::Value;

use crate::folder::Given;
use crate::report::{Report, differs_beyond, unequal};
use crate::shape::{self, unknown};

/// A run of samples, and the limit after each or after some.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    params: Value,
    #[serde(default)]
    note: String,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    checkpoints: Vec<Checkpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    rtt_ns: u64,
    inflight: u32,
    drop: bool,
    limit: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    sample: u32,
    limit: u32,
    long_rtt_ms: Option<f64>,
}

/// Feeds each case of a file to the algorithm that its parameters make.
fn run_steps<A>(
    given: &Given<'_>,
    report: &mut Report,
    make: impl Fn(&Value) -> Result<A>,
    feed: impl Fn(&mut A, Duration, u32, bool) -> u32,
) -> Result<Vec<Case>> {
    let cases: Vec<Case> = shape::read(given.content)?;
    for case in &cases {
        if case.steps.is_empty() == case.checkpoints.is_empty() {
            return Err(unknown(format!(
                "{}: either steps or checkpoints",
                case.name
            )));
        }
        if case.steps.is_empty() {
            continue;
        }
        let mut algorithm = make(&case.params)?;
        for (number, step) in case.steps.iter().enumerate() {
            let rtt = Duration::from_nanos(step.rtt_ns);
            let limit = feed(&mut algorithm, rtt, step.inflight, step.drop);
            report.row(
                format_args!("{}, step {}", case.name, number + 1),
                &[unequal("limit", limit, step.limit)],
            );
        }
    }
    Ok(cases)
}

pub(crate) fn aimd(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        initial: Option<NonZeroU32>,
        min: Option<NonZeroU32>,
        max: Option<NonZeroU32>,
        backoff: Option<f64>,
        timeout_ns: Option<u64>,
    }
    let make = |params: &Value| {
        let params: Params = shape::read(params)?;
        let mut config = AimdConfig::default();
        config.initial = params.initial.unwrap_or(config.initial);
        config.min = params.min.unwrap_or(config.min);
        config.max = params.max.unwrap_or(config.max);
        if let Some(backoff) = params.backoff {
            config.backoff = shape::ratio("backoff", backoff)?;
        }
        config.timeout = params
            .timeout_ns
            .map_or(config.timeout, Duration::from_nanos);
        Ok(Aimd::new(config))
    };
    refuse_checkpoints(&run_steps(given, report, make, Aimd::on_sample)?)
}

pub(crate) fn vegas(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        initial: Option<NonZeroU32>,
        max: Option<NonZeroU32>,
        smoothing: Option<f64>,
        probe_multiplier: Option<u32>,
        /// The jitter of every probe: pinned, as nothing in a vector is left to chance.
        probe_jitter: f64,
    }
    let make = |params: &Value| {
        let params: Params = shape::read(params)?;
        let mut config = VegasConfig::default();
        config.initial = params.initial.unwrap_or(config.initial);
        config.max = params.max.unwrap_or(config.max);
        if let Some(smoothing) = params.smoothing {
            config.smoothing = shape::ratio("smoothing", smoothing)?;
        }
        config.probe_multiplier = params.probe_multiplier.unwrap_or(config.probe_multiplier);
        let jitter = shape::ratio("probe_jitter", params.probe_jitter)?;
        config.probe_jitter = (jitter, jitter);
        Ok(Vegas::new(config, Entropy::new(0)))
    };
    refuse_checkpoints(&run_steps(given, report, make, Vegas::on_sample)?)
}

fn refuse_checkpoints(cases: &[Case]) -> Result<()> {
    match cases.iter().find(|case| !case.checkpoints.is_empty()) {
        Some(case) => Err(unknown(format!("{}: checkpoints", case.name))),
        None => Ok(()),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Gradient2Params {
    initial: Option<NonZeroU32>,
    min: Option<NonZeroU32>,
    max: Option<NonZeroU32>,
    smoothing: Option<f64>,
    queue: Option<u32>,
    long_window: Option<u32>,
    warmup: Option<u32>,
    tolerance: Option<f64>,
}

impl Gradient2Params {
    fn config(&self) -> Result<Gradient2Config> {
        let mut config = Gradient2Config::default();
        config.initial = self.initial.unwrap_or(config.initial);
        config.min = self.min.unwrap_or(config.min);
        config.max = self.max.unwrap_or(config.max);
        if let Some(smoothing) = self.smoothing {
            config.smoothing = shape::ratio("smoothing", smoothing)?;
        }
        config.queue = self.queue.unwrap_or(config.queue);
        config.long_window = self.long_window.unwrap_or(config.long_window);
        config.warm_up = self.warmup.unwrap_or(config.warm_up);
        if let Some(tolerance) = self.tolerance {
            config.tolerance = shape::ratio("tolerance", tolerance)?;
        }
        Ok(config)
    }
}

pub(crate) fn gradient2(given: &Given<'_>, report: &mut Report) -> Result<()> {
    let make = |params: &Value| {
        let params: Gradient2Params = shape::read(params)?;
        Ok(Gradient2::new(params.config()?))
    };
    let cases = run_steps(given, report, make, Gradient2::on_sample)?;
    for case in cases.iter().filter(|case| !case.checkpoints.is_empty()) {
        checkpoints(case, report)?;
    }
    Ok(())
}

/// A long run that is told in words, and looked at now and then.
fn checkpoints(case: &Case, report: &mut Report) -> Result<()> {
    let story = Story::read(case)?;
    let mut gradient = Gradient2::new(story.config);
    let mut checkpoints = case.checkpoints.iter();
    let mut next = checkpoints.next();
    let mut sample = 0;
    while let Some(checkpoint) = next {
        if checkpoint.sample <= sample {
            return Err(unknown(format!("{}: checkpoints out of order", case.name)));
        }
        while sample < checkpoint.sample {
            sample += 1;
            let rtt = if sample <= story.first_samples {
                story.first
            } else {
                story.then
            };
            gradient.on_sample(rtt, story.in_flight, story.dropped);
        }
        let long = gradient.long_average().as_secs_f64() * 1000.0;
        // Written to the microsecond.
        let long = checkpoint
            .long_rtt_ms
            .and_then(|expected| differs_beyond("long_rtt_ms", long, expected, 0.000_51));
        report.row(
            format_args!("{}, sample {sample}", case.name),
            &[unequal("limit", gradient.limit(), checkpoint.limit), long],
        );
        next = checkpoints.next();
    }
    Ok(())
}

/// What the words of such a case say.
struct Story {
    config: Gradient2Config,
    in_flight: u32,
    dropped: bool,
    first: Duration,
    first_samples: u32,
    then: Duration,
}

impl Story {
    /// `defaults`, then `name number` for what differs; and in the note either `every call times out at 5 s`
    /// or `rtt 10ms for 20 samples then 40ms forever`.
    fn read(case: &Case) -> Result<Self> {
        let not_told = || unknown(format!("{}: the samples are not told as known", case.name));
        let words = case.params.as_str().ok_or_else(not_told)?;
        let mut params = Gradient2Params::default();
        // More than any limit: the limit is always used.
        let mut in_flight = None;
        for word in words.split(", ").filter(|word| *word != "defaults") {
            let (name, number) = word.split_once(' ').ok_or_else(not_told)?;
            let number: u32 = number.parse().map_err(|_| not_told())?;
            match name {
                "initial" => params.initial = NonZeroU32::new(number),
                "min" => params.min = NonZeroU32::new(number),
                "max" => params.max = NonZeroU32::new(number),
                "queue" => params.queue = Some(number),
                "long_window" => params.long_window = Some(number),
                "inflight" => in_flight = Some(number),
                _ => return Err(not_told()),
            }
        }
        let config = params.config()?;
        let in_flight = in_flight.unwrap_or(config.max.get());
        if let Some((_, rest)) = case.note.split_once("times out at ") {
            let (rtt, _) = duration(rest).ok_or_else(not_told)?;
            return Ok(Self {
                config,
                in_flight,
                dropped: case.note.contains("drop=true"),
                first: rtt,
                first_samples: 0,
                then: rtt,
            });
        }
        let steps = || {
            let (_, rest) = case.note.split_once("rtt ")?;
            let (first, rest) = duration(rest)?;
            let (samples, rest) = rest.strip_prefix(" for ")?.split_once(" samples then ")?;
            let (then, rest) = duration(rest)?;
            rest.starts_with(" forever").then_some(())?;
            Some((first, samples.parse().ok()?, then))
        };
        let (first, first_samples, then) = steps().ok_or_else(not_told)?;
        Ok(Self {
            config,
            in_flight,
            dropped: false,
            first,
            first_samples,
            then,
        })
    }
}

/// `5 s` or `10ms` at the beginning of `text`, and what follows.
fn duration(text: &str) -> Option<(Duration, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, rest) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    let rest = rest.trim_start();
    match rest.strip_prefix("ms") {
        Some(rest) => Some((Duration::from_millis(number), rest)),
        None => Some((Duration::from_secs(number), rest.strip_prefix('s')?)),
    }
}
