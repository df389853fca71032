//! From text to a case, with an error that names the line.

use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeMap;

use super::{Case, Line, ScriptedAttempt, ScriptedCall, Show, section};
use crate::backoff::{Growth, Jitter};
use crate::breaker::{self, FailureRate, Mode, SlowRate, SlowerThan};
use crate::budget;
use crate::bulkhead;
use crate::outcome::{Class, Finished};
use crate::policy::Config;
use crate::ratio::Ratio;
use crate::retry;
use crate::time::Instant;

/// A case that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl core::error::Error for ParseError {}

pub(super) type Reading<T> = Result<T, String>;

pub(super) fn parse(text: &str) -> Result<Case, ParseError> {
    let mut case = Case {
        title: String::new(),
        policy: Config::default(),
        seed: 1,
        calls: Vec::new(),
        endpoints: BTreeMap::new(),
        shows: Vec::new(),
        expected: Vec::new(),
    };
    let mut story = true;
    for (number, line) in (1..).zip(text.lines()) {
        let read = if line.trim() == "---" {
            story = false;
            Ok(())
        } else if let Some(comment) = line.trim().strip_prefix('#') {
            if case.title.is_empty() {
                comment.trim().clone_into(&mut case.title);
            }
            Ok(())
        } else if line.trim().is_empty() {
            Ok(())
        } else if story {
            read_story(&mut case, line.trim())
        } else {
            read_expected(line.trim()).map(|line| case.expected.push(line))
        };
        read.map_err(|reason| ParseError {
            line: number,
            reason,
        })?;
    }
    if case.title.is_empty() {
        return Err(ParseError {
            line: 1,
            reason: "say in a first comment what it teaches".into(),
        });
    }
    Ok(case)
}

fn read_story(case: &mut Case, line: &str) -> Reading<()> {
    let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
    match keyword {
        "policy" => read_policy(&mut case.policy, rest),
        "retry" => {
            let budget = case.policy.retry.take().and_then(|retry| retry.budget);
            case.policy.retry = Some(read_retry(rest, budget)?);
            Ok(())
        }
        "budget" => {
            let budget = read_budget(rest)?;
            let retry = case
                .policy
                .retry
                .as_mut()
                .ok_or("a budget belongs after its retry line")?;
            retry.budget = Some(budget);
            Ok(())
        }
        "breaker" => read_breaker(rest).map(|breaker| case.policy.breaker = Some(breaker)),
        "bulkhead" => read_bulkhead(rest).map(|bulkhead| case.policy.bulkhead = Some(bulkhead)),
        "seed" => number(rest).map(|seed| case.seed = seed),
        "call" => read_call(rest).map(|calls| case.calls.extend(calls)),
        "drop" => {
            let (name, at) = rest.split_once(" at ").ok_or("say when: drop NAME at T")?;
            let call = case.calls.iter_mut().find(|call| call.name == name);
            call.ok_or_else(|| format!("no call is named {name}"))?
                .dropped_at = Some(instant(at)?);
            Ok(())
        }
        "show" => {
            let (operation, at) = match rest.split_once(" at ") {
                Some((operation, at)) => (Some(operation.to_owned()), at),
                None => (None, rest.strip_prefix("at ").ok_or("say when: show at T")?),
            };
            let at = instant(at)?;
            case.shows.push(Show { at, operation });
            Ok(())
        }
        "endpoint" => {
            let (endpoint, script) = rest
                .split_once(':')
                .ok_or("say how its attempts go: endpoint N: SCRIPT")?;
            let script = read_attempt(script.trim())?;
            case.endpoints.insert(number(endpoint)?, script);
            Ok(())
        }
        other if section::read(&mut case.policy, other, rest)? => Ok(()),
        other => Err(format!("{other:?} is not a line of a case")),
    }
}

fn read_policy(policy: &mut Config, text: &str) -> Reading<()> {
    for (key, value) in settings(text)? {
        match key {
            "deadline" => policy.deadline = duration(value)?,
            "attempt_timeout" => policy.attempt_timeout = Some(duration(value)?),
            other => return Err(unknown(other)),
        }
    }
    Ok(())
}

fn read_retry(text: &str, budget: Option<budget::Config>) -> Reading<retry::Config> {
    let mut retry = retry::Config {
        budget,
        ..retry::Config::default()
    };
    for (key, value) in settings(text)? {
        match key {
            "attempts" => retry.max_attempts = number(value)?,
            "initial" => retry.backoff.initial = duration(value)?,
            "max" => retry.backoff.max = duration(value)?,
            "growth" => retry.backoff.growth = growth(value)?,
            "jitter" => {
                retry.backoff.jitter = jitter(value)?;
                retry.throttled.jitter = retry.backoff.jitter;
            }
            "throttled" => retry.throttled.initial = duration(value)?,
            "max_elapsed" => retry.max_elapsed = Some(duration(value)?),
            "max_retry_after" => retry.retry_after.cap = duration(value)?,
            other => return Err(unknown(other)),
        }
    }
    Ok(retry)
}

fn read_budget(text: &str) -> Reading<budget::Config> {
    let mut budget = budget::Config::default();
    for (key, value) in settings(text)? {
        match key {
            "ratio" => budget.ratio = ratio(value)?,
            "floor" => budget.floor_per_second = number(value)?,
            "window" => budget.window = duration(value)?,
            "min_concurrent" => budget.min_concurrent = number(value)?,
            "concurrent" => budget.concurrent = ratio(value)?,
            other => return Err(unknown(other)),
        }
    }
    Ok(budget)
}

fn read_breaker(text: &str) -> Reading<breaker::Config> {
    let (preset, text) = match text.strip_prefix("classic") {
        Some(rest) => (breaker::Config::classic(), rest.trim()),
        None => (
            breaker::Config {
                rate: None,
                slow: None,
                consecutive: None,
                ..Default::default()
            },
            text,
        ),
    };
    let mut breaker = preset;
    for (key, value) in settings(text)? {
        let rate = || breaker.rate.clone().unwrap_or_default();
        match key {
            "consecutive" => breaker.consecutive = Some(number(value)?),
            "rate" => {
                breaker.rate = Some(FailureRate {
                    threshold: ratio(value)?,
                    ..rate()
                });
            }
            "min_calls" => {
                breaker.rate = Some(FailureRate {
                    min_calls: number(value)?,
                    ..rate()
                });
            }
            "window" => {
                breaker.rate = Some(FailureRate {
                    window: duration(value)?,
                    ..rate()
                });
            }
            "min_observed" => {
                breaker.rate = Some(FailureRate {
                    min_observed: duration(value)?,
                    ..rate()
                });
            }
            "slow" => {
                breaker.slow = Some(SlowRate {
                    threshold: ratio(value)?,
                    ..breaker.slow.clone().unwrap_or_default()
                });
            }
            "slower_than" => {
                breaker.slow = Some(SlowRate {
                    than: SlowerThan::Fixed(duration(value)?),
                    ..breaker.slow.clone().unwrap_or_default()
                });
            }
            "mode" => breaker.mode = mode(value)?,
            "open" => breaker.open.initial = duration(value)?,
            "max_open" => breaker.open.max = duration(value)?,
            "open_jitter" => breaker.open.jitter = ratio(value)?,
            "probes" => breaker.probes.concurrent = number(value)?,
            "spacing" => breaker.probes.spacing = duration(value)?,
            "successes" => breaker.probes.successes = number(value)?,
            "tolerated" => breaker.probes.tolerated_failures = number(value)?,
            "lease" => breaker.probes.lease = duration(value)?,
            "ramp" => breaker.ramp = duration(value)?,
            other => return Err(unknown(other)),
        }
    }
    Ok(breaker)
}

fn read_bulkhead(text: &str) -> Reading<bulkhead::Config> {
    let mut bulkhead = bulkhead::Config::new(NonZeroU32::MIN);
    for (key, value) in settings(text)? {
        match key {
            "limit" => bulkhead = bulkhead::Config::new(number(value)?),
            "queue" => bulkhead.queue = number(value)?,
            "wait" => bulkhead.max_wait = duration(value)?,
            "share" => bulkhead.max_wait_share = ratio(value)?,
            other => return Err(unknown(other)),
        }
    }
    Ok(bulkhead)
}

fn read_call(text: &str) -> Reading<Vec<ScriptedCall>> {
    let (head, script) = text
        .split_once(':')
        .ok_or("a call needs a colon and its script")?;
    let attempts = script
        .split(',')
        .map(|attempt| read_attempt(attempt.trim()));
    let attempts = attempts.collect::<Reading<Vec<_>>>()?;
    let mut words = head.split_whitespace();
    let name = words.next().ok_or("a call needs a name")?;
    let mut call = ScriptedCall {
        name: name.to_owned(),
        at: Instant::ZERO,
        dropped_at: None,
        idempotent: false,
        replayable: true,
        deadline: None,
        operation: String::new(),
        attempts,
    };
    let (mut repeat, mut every) = (1, Duration::ZERO);
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word {
            "at" => call.at = instant(next()?)?,
            "x" => repeat = number(next()?)?,
            "every" => every = duration(next()?)?,
            "idempotent" => call.idempotent = true,
            "unreplayable" => call.replayable = false,
            other => match other.split_once('=') {
                Some(("deadline", value)) => call.deadline = Some(duration(value)?),
                Some(("operation", value)) => value.clone_into(&mut call.operation),
                _ => return Err(unknown(other)),
            },
        }
    }
    if repeat == 1 {
        return Ok(vec![call]);
    }
    let copy = |index: u32| ScriptedCall {
        name: format!("{name}{}", index + 1),
        at: call.at + every * index,
        ..call.clone()
    };
    Ok((0..repeat).map(copy).collect())
}

fn read_attempt(text: &str) -> Reading<ScriptedAttempt> {
    let mut words = text.split_whitespace();
    let kind = words.next().ok_or("an attempt is missing")?;
    if kind == "hang" {
        return Ok(ScriptedAttempt::Hangs);
    }
    let takes = duration(
        words
            .next()
            .ok_or_else(|| format!("say how long {kind} takes"))?,
    )?;
    let mut finished = match kind {
        "panic" => return Ok(ScriptedAttempt::Panics(takes)),
        "ok" => Finished::success(),
        "callers_fault" => Finished::callers_fault(),
        other => Finished::failed(class(other)?),
    };
    let mut body = None;
    for word in words {
        match word.split_once('=') {
            Some(("body", value)) if finished.class.is_none() => body = Some(duration(value)?),
            Some(("retry_after", value)) => finished = finished.retry_after(duration(value)?),
            None if word == "no_retry" => finished = finished.no_retry(),
            _ => return Err(unknown(word)),
        }
    }
    Ok(match body {
        Some(body) => ScriptedAttempt::Answers(takes, body),
        None => ScriptedAttempt::Ends(takes, finished),
    })
}

fn read_expected(line: &str) -> Reading<Line> {
    let mut words = line.splitn(3, ' ');
    let mut next = || words.next().ok_or("expected lines read: TIME WHO WHAT");
    Ok(Line {
        at: instant(next()?)?,
        who: next()?.to_owned(),
        what: next()?.to_owned(),
    })
}

pub(super) fn settings(text: &str) -> Reading<Vec<(&str, &str)>> {
    let setting = |word: &'_ str| format!("{word:?} is not a setting: key=value");
    let words = text.split_whitespace();
    words
        .map(|word| word.split_once('=').ok_or_else(|| setting(word)))
        .collect()
}

fn class(text: &str) -> Reading<Class> {
    let all = [
        Class::NotSent,
        Class::Rejected,
        Class::Transient,
        Class::Ambiguous,
        Class::Fatal,
    ];
    let found = all.into_iter().find(|class| class.as_str() == text);
    found.ok_or_else(|| format!("{text:?} is not how an attempt ends"))
}

fn growth(text: &str) -> Reading<Growth> {
    match text.split_once('+').or_else(|| text.split_once('*')) {
        None if text == "constant" => Ok(Growth::Constant),
        Some(("linear", value)) => Ok(Growth::Linear {
            increment: duration(value)?,
        }),
        Some(("exponential", value)) => Ok(Growth::Exponential {
            multiplier: ratio(value)?,
        }),
        _ => Err(format!(
            "{text:?} is not constant, linear+50ms or exponential*2"
        )),
    }
}

fn jitter(text: &str) -> Reading<Jitter> {
    match text {
        "none" => Ok(Jitter::None),
        "full" => Ok(Jitter::Full),
        "equal" => Ok(Jitter::Equal),
        "decorrelated" => Ok(Jitter::Decorrelated),
        other => Ok(Jitter::Proportional(ratio(other)?)),
    }
}

fn mode(text: &str) -> Reading<Mode> {
    let found = Mode::ALL.into_iter().find(|mode| mode.as_str() == text);
    found.ok_or_else(|| format!("{text:?} is not who decides about a circuit"))
}

fn instant(text: &str) -> Reading<Instant> {
    Ok(Instant::ZERO + duration(text)?)
}

/// A number with up to three decimals and a unit: `1.5s`, `20ms`, `2.345ms`.
pub(super) fn duration(text: &str) -> Reading<Duration> {
    let (digits, nanos) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1_000_000),
        (None, Some(digits)) => (digits, 1_000_000_000),
        (None, None) => return Err(format!("{text:?} is not a duration: 20ms, 1.5s")),
    };
    let thousandths = u64::from(ratio(digits)?.permille());
    Ok(Duration::from_nanos(thousandths * (nanos / 1000)))
}

pub(super) fn ratio(text: &str) -> Reading<Ratio> {
    let bad = || format!("{text:?} is not a number with at most three decimals");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 {
        return Err(bad());
    }
    let permille = format!("{whole}{decimals:0<3}");
    Ok(Ratio::from_permille(permille.parse().map_err(|_| bad())?))
}

pub(super) fn number<T: FromStr>(text: &str) -> Reading<T> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number that fits here"))
}

pub(super) fn unknown(word: &str) -> String {
    format!("{word:?} is not known here")
}
