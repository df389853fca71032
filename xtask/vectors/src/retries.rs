//! Waits before a retry, what bounds retries, and what they add up to.

use core::time::Duration;

use anyhow::Result;
use evenkeel_core::amplification;
use evenkeel_core::backoff::{Backoff, Config, Growth, Jitter};
use evenkeel_core::ratio::Ratio;
use evenkeel_core::retry_after::{self, Beyond, Heeded, Pushback, parse_pushback};
use evenkeel_core::throttle::grpc::{self, RetryThrottle};
use serde::Deserialize;

use crate::dice;
use crate::folder::Given;
use crate::report::{Report, differs, unequal};
use crate::shape::{self, nanos, unknown};

/// The jitter of gRPC, for retries and connections alike: a fifth.
const GRPC_JITTER: Ratio = Ratio::from_permille(200);

/// The delay before retry number `retry`, from 1, without jitter.
fn interval(initial: Duration, multiplier: Ratio, max: Duration, retry: u32) -> Duration {
    let mut config = Config::new(initial);
    (config.growth, config.jitter, config.max) =
        (Growth::Exponential { multiplier }, Jitter::None, max);
    let (mut backoff, mut dice) = (Backoff::new(), dice::showing(0.0));
    let mut delay = Duration::ZERO;
    for _ in 0..retry {
        delay = backoff.next_delay(&config, &mut dice);
    }
    delay
}

pub(crate) fn cenkalti(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        n: u32,
        interval_ns: f64,
        rand0_ns: f64,
        rand05_ns: f64,
        rand0999_ns: f64,
    }
    let rows: Vec<Row> = shape::read(given.content)?;
    for row in rows {
        let (initial, max) = (Duration::from_millis(500), Duration::from_secs(60));
        let base = interval(initial, Ratio::from_permille(1500), max, row.n);
        let jitter = Jitter::Proportional(Ratio::from_permille(500));
        let drawn = |share| nanos(jitter.spread(base, &mut dice::showing(share)));
        report.row(
            format_args!("{}, n {}", given.name, row.n),
            &[
                differs("interval_ns", nanos(base), row.interval_ns),
                differs("rand0_ns", drawn(0.0), row.rand0_ns),
                differs("rand05_ns", drawn(0.5), row.rand05_ns),
                differs("rand0999_ns", drawn(0.999), row.rand0999_ns),
            ],
        );
    }
    Ok(())
}

pub(crate) fn intervals(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Intervals {
        initial: f64,
        multiplier: f64,
        max: f64,
        expected: Vec<f64>,
    }
    let given_rows: Intervals = shape::read(given.content)?;
    let initial = shape::seconds("initial", given_rows.initial / 1e3)?;
    let max = shape::seconds("max", given_rows.max / 1e3)?;
    let multiplier = shape::ratio("multiplier", given_rows.multiplier)?;
    for (retry, expected) in (1..).zip(&given_rows.expected) {
        let millis = nanos(interval(initial, multiplier, max, retry)) / 1e6;
        report.row(
            format_args!("{}, interval {retry}", given.name),
            &[differs("interval", millis, *expected)],
        );
    }
    Ok(())
}

/// Whether a delay of `base`, spread as gRPC does, has these seconds as its base and bounds.
fn spread_as_grpc(base: Duration, jitter: Jitter, seconds: [f64; 3]) -> [Option<String>; 3] {
    let drawn = |share| jitter.spread(base, &mut dice::showing(share)).as_secs_f64();
    [
        differs("base_s", base.as_secs_f64(), seconds[0]),
        differs("min_s", drawn(0.0), seconds[1]),
        differs("max_s", drawn(1.0), seconds[2]),
    ]
}

pub(crate) fn grpc_retry_policy(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Policy {
        config: PolicyConfig,
        rows: Vec<Row>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PolicyConfig {
        #[serde(rename = "initialBackoff_s")]
        initial_s: f64,
        #[serde(rename = "maxBackoff_s")]
        max_s: f64,
        multiplier: f64,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        retry: u32,
        base_s: f64,
        min_s: f64,
        max_s: f64,
    }
    let policy: Policy = shape::read(given.content)?;
    let initial = shape::seconds("initialBackoff_s", policy.config.initial_s)?;
    let max = shape::seconds("maxBackoff_s", policy.config.max_s)?;
    let multiplier = shape::ratio("multiplier", policy.config.multiplier)?;
    for row in policy.rows {
        let base = interval(initial, multiplier, max, row.retry);
        let jitter = Jitter::Proportional(GRPC_JITTER);
        report.row(
            format_args!("{}, retry {}", given.name, row.retry),
            &spread_as_grpc(base, jitter, [row.base_s, row.min_s, row.max_s]),
        );
    }
    Ok(())
}

pub(crate) fn grpc_connection(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Connection {
        config: ConnectionConfig,
        rows: Vec<Row>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ConnectionConfig {
        base_s: f64,
        multiplier: f64,
        jitter: f64,
        max_s: f64,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        retries: u32,
        base_s: f64,
        min_s: f64,
        max_s: f64,
    }
    let connection: Connection = shape::read(given.content)?;
    let config = connection.config;
    let initial = shape::seconds("base_s", config.base_s)?;
    let max = shape::seconds("max_s", config.max_s)?;
    let multiplier = shape::ratio("multiplier", config.multiplier)?;
    let jitter = shape::ratio("jitter", config.jitter)?;
    for row in connection.rows {
        let base = interval(initial, multiplier, max, row.retries.saturating_add(1));
        // The first wait is exact.
        let jitter = if row.retries == 0 {
            Jitter::None
        } else {
            Jitter::Proportional(jitter)
        };
        report.row(
            format_args!("{}, retries {}", given.name, row.retries),
            &spread_as_grpc(base, jitter, [row.base_s, row.min_s, row.max_s]),
        );
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullAndEqual {
    attempt: u32,
    cap_ms: f64,
    base_ms: f64,
    full_upper_ms: f64,
    equal_lower_ms: f64,
    equal_upper_ms: f64,
}

pub(crate) fn full_and_equal(given: &Given<'_>, report: &mut Report) -> Result<()> {
    let rows: Vec<FullAndEqual> = shape::read(given.content)?;
    for row in rows {
        let initial = shape::seconds("base_ms", row.base_ms / 1e3)?;
        let max = shape::seconds("cap_ms", row.cap_ms / 1e3)?;
        let retry = row.attempt.saturating_add(1);
        let drawn = |jitter, share| {
            let base = interval(initial, Ratio::from_permille(2000), max, retry);
            let jitter: Jitter = jitter;
            nanos(jitter.spread(base, &mut dice::showing(share))) / 1e6
        };
        report.row(
            format_args!("{}, attempt {}", given.name, row.attempt),
            &[
                differs("the least of full", drawn(Jitter::Full, 0.0), 0.0),
                differs("full_upper_ms", drawn(Jitter::Full, 1.0), row.full_upper_ms),
                differs(
                    "equal_lower_ms",
                    drawn(Jitter::Equal, 0.0),
                    row.equal_lower_ms,
                ),
                differs(
                    "equal_upper_ms",
                    drawn(Jitter::Equal, 1.0),
                    row.equal_upper_ms,
                ),
            ],
        );
    }
    Ok(())
}

/// One chain of delays. Its base and cap stand with the other forms of AWS, in the same file.
pub(crate) fn decorrelated(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        rand: f64,
        sleep_ms: f64,
    }
    let rows: Vec<Row> = shape::read(given.content)?;
    let others: Vec<FullAndEqual> = shape::read(&given.file["aws_full_and_equal"])?;
    let other = others
        .first()
        .ok_or_else(|| unknown("no row of aws_full_and_equal says base and cap"))?;
    let mut config = Config::new(shape::seconds("base_ms", other.base_ms / 1e3)?);
    config.max = shape::seconds("cap_ms", other.cap_ms / 1e3)?;
    let mut backoff = Backoff::new();
    for (number, row) in rows.iter().enumerate() {
        let delay = backoff.next_delay(&config, &mut dice::showing(row.rand));
        report.row(
            format_args!("{}, sleep {}", given.name, number + 1),
            &[differs("sleep_ms", nanos(delay) / 1e6, row.sleep_ms)],
        );
    }
    Ok(())
}

pub(crate) fn grpc_retry_throttling(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        max_tokens: u32,
        token_ratio: f64,
        threshold: f64,
        steps: Vec<Step>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Step {
        event: Event,
        tokens: f64,
        retry_allowed: bool,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Event {
        RetryableFailure,
        Success,
    }
    let cases: Vec<Case> = shape::read(given.content)?;
    for case in cases {
        let tokens = shape::positive("max_tokens", case.max_tokens)?;
        let ratio = shape::ratio("token_ratio", case.token_ratio)?;
        let throttle = RetryThrottle::new(grpc::Config::new(tokens, ratio));
        let name = format!("max_tokens {tokens}, token_ratio {ratio}");
        let threshold = f64::from(tokens.get()) / 2.0;
        for (number, step) in case.steps.iter().enumerate() {
            match step.event {
                Event::RetryableFailure => {
                    throttle.on_failure();
                }
                Event::Success => throttle.on_success(),
            }
            report.row(
                format_args!("{name}, step {}", number + 1),
                &[
                    differs("threshold", threshold, case.threshold),
                    differs("tokens", throttle.tokens(), step.tokens),
                    unequal("retry_allowed", throttle.allows_retry(), step.retry_allowed),
                ],
            );
        }
    }
    Ok(())
}

/// Seconds since 1970 in November 2026: dates in a vector are long past or far ahead.
const NOW: u64 = 1_795_000_000;

pub(crate) fn retry_after_header(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        status: u16,
        value: String,
        result_s: Option<f64>,
    }
    let mut config = retry_after::Config::default();
    (config.statuses, config.cap, config.beyond, config.jitter) = (
        vec![429, 503],
        Duration::from_secs(300),
        Beyond::Shorten,
        Ratio::ZERO,
    );
    let rows: Vec<Row> = shape::read(given.content)?;
    for row in rows {
        let wanted = retry_after::parse(&row.value, NOW).filter(|_| config.applies_to(row.status));
        let waited = wanted.map(|wanted| config.heed(wanted, Duration::ZERO));
        let result = row.result_s.map(Duration::try_from_secs_f64).transpose();
        let expected = result
            .map_err(|_| unknown("result_s is no duration"))?
            .map(|wait| Heeded::Wait(wait, wait));
        report.row(
            format_args!("{}, {} with {:?}", given.name, row.status, row.value),
            &[unequal("result", waited, expected)],
        );
    }
    Ok(())
}

pub(crate) fn retry_after_interval(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        interval_s: f64,
        max_s: f64,
        used: bool,
        range_s: Option<[f64; 2]>,
    }
    let rows: Vec<Row> = shape::read(given.content)?;
    for row in rows {
        let mut config = retry_after::Config::default();
        (config.cap, config.beyond) = (shape::seconds("max_s", row.max_s)?, Beyond::Disregard);
        config.max_jitter = Duration::MAX;
        let wanted = shape::seconds("interval_s", row.interval_s)?;
        let range = match config.heed(wanted, Duration::ZERO) {
            Heeded::Wait(least, most) if wanted.is_zero() || !most.is_zero() => {
                Some([least, most].map(|wait| wait.as_secs_f64()))
            }
            _ => None,
        };
        let bound = |at: usize, name| match (range, row.range_s) {
            (Some(got), Some(expected)) => differs(name, got[at], expected[at]),
            (got, expected) => unequal(name, got.is_some(), expected.is_some()),
        };
        report.row(
            format_args!("{}, {} s of {} s", given.name, row.interval_s, row.max_s),
            &[
                unequal("used", range.is_some(), row.used),
                bound(0, "the least wait"),
                bound(1, "the longest wait"),
            ],
        );
    }
    Ok(())
}

pub(crate) fn pushback(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        value: String,
        meaning: String,
    }
    let rows: Vec<Row> = shape::read(given.content)?;
    for row in rows {
        let expected = meaning(&row.meaning)
            .ok_or_else(|| unknown(format!("no meaning is written {:?}", row.meaning)))?;
        report.row(
            format_args!("{}, {:?}", given.name, row.value),
            &[unequal("meaning", parse_pushback(&row.value), expected)],
        );
    }
    Ok(())
}

/// `do not retry`, `retry at once`, or `retry after exactly 1000 ms`.
fn meaning(words: &str) -> Option<Pushback> {
    if words.contains("do not retry") {
        return Some(Pushback::Never);
    }
    if words.contains("retry at once") {
        return Some(Pushback::After(Duration::ZERO));
    }
    let (_, rest) = words.split_once("retry after exactly ")?;
    let (millis, _) = rest.split_once(" ms")?;
    Some(Pushback::After(Duration::from_millis(millis.parse().ok()?)))
}

pub(crate) fn retry_after_millis(given: &Given<'_>, report: &mut Report) -> Result<()> {
    /// How much longer than its own delay a client waits at most.
    const MOST: Duration = Duration::from_secs(5);
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        t_i_s: f64,
        retry_after_ms: Option<i64>,
        delay_s: f64,
    }
    let rows: Vec<Row> = shape::read(given.content)?;
    for row in rows {
        let own = shape::seconds("t_i_s", row.t_i_s)?;
        let header = row.retry_after_ms.map(|millis| millis.to_string());
        let wanted = header.and_then(|header| retry_after::parse_millis(&header));
        let mut config = retry_after::Config::default();
        (config.cap, config.beyond, config.jitter) =
            (own.saturating_add(MOST), Beyond::Shorten, Ratio::ZERO);
        let delay = match wanted.map(|wanted| config.heed(wanted, own)) {
            Some(Heeded::Wait(least, _)) => least,
            _ => own,
        };
        report.row(
            format_args!(
                "{}, {:?} ms after {} s",
                given.name, row.retry_after_ms, row.t_i_s
            ),
            &[differs("delay_s", delay.as_secs_f64(), row.delay_s)],
        );
    }
    Ok(())
}

pub(crate) fn worst_case(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        layers: u32,
        attempts_per_layer: u32,
        amplification: f64,
    }
    let rows: Vec<Row> = shape::read(given.content)?;
    for row in rows {
        let worst = amplification::worst_case(row.layers, row.attempts_per_layer) as f64;
        report.row(
            format_args!(
                "{}, {} layers of {}",
                given.name, row.layers, row.attempts_per_layer
            ),
            &[differs("amplification", worst, row.amplification)],
        );
    }
    Ok(())
}

pub(crate) fn with_budgets(given: &Given<'_>, report: &mut Report) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        layers: u32,
        ratio: f64,
        amplification: f64,
    }
    let rows: Vec<Row> = shape::read(given.content)?;
    for row in rows {
        let ratio = shape::ratio("ratio", row.ratio)?;
        let amplified = amplification::with_budgets(row.layers, ratio) as f64 / 1e9;
        report.row(
            format_args!("{}, {} layers of {ratio}", given.name, row.layers),
            &[differs("amplification", amplified, row.amplification)],
        );
    }
    Ok(())
}

pub(crate) fn steady_share(given: &Given<'_>, report: &mut Report) -> Result<()> {
    /// A retry takes this many tokens of AWS' bucket, by the generation of the client, and a call adds one.
    const COSTS: [(&str, u32); 2] = [("classic", 5), ("v2026_transient", 14)];
    for (name, expected) in shape::sections(given.content)? {
        let cost = COSTS.iter().find(|(known, _)| known == name);
        let (_, cost) = cost.ok_or_else(|| unknown(format!("no bucket is called {name}")))?;
        let expected = expected
            .as_f64()
            .ok_or_else(|| unknown(format!("{name} is no number")))?;
        let share = amplification::steady_share(1, *cost);
        let share = share.map_or(f64::NAN, |share| share as f64 / 1e9);
        report.row(
            format_args!("{}, {name}", given.name),
            &[differs("share", share, expected)],
        );
    }
    Ok(())
}
