//! Decisions over time, as text.
//!
//! A case is a small story about one dependency: its policy, the calls that are made, how each attempt
//! goes, and what was decided when. The same file is run on the core directly, in virtual time, and by the
//! tokio driver under paused time; both must decide alike. A case teaches one thing, named in its first
//! line.
//!
//! ```text
//! # A retry waits for its back-off, and the second attempt's answer is the call's.
//! policy deadline=1s
//! retry attempts=3 initial=10ms jitter=none
//!
//! call a at 0ms: transient 5ms, ok 5ms
//! ---
//! 0ms a attempt 1
//! 5ms a attempt 1 failed: transient
//! 15ms a attempt 2
//! 20ms a ok
//! ```
//!
//! | line | meaning |
//! |---|---|
//! | `policy deadline=… attempt_timeout=…` | the bounds that are always there |
//! | `retry attempts=… initial=… max=… growth=… jitter=… throttled=… max_elapsed=… max_retry_after=…` | retries; `budget` lines add theirs |
//! | `budget ratio=… floor=… window=… min_concurrent=… concurrent=…` | the retry budget; off without it |
//! | `breaker [classic] consecutive=… rate=… min_calls=… window=… min_observed=… slow=… slower_than=… mode=… open=… max_open=… open_jitter=… probes=… spacing=… successes=… tolerated=… lease=… ramp=…` | the breaker |
//! | `bulkhead limit=… queue=… wait=… share=…` | the slots |
//! | `rate limit=… per=… burst=… mode=smooth\|strict` | the rate |
//! | `throttle headroom=… window=… min_calls=… min_observed=… max_share=…` | the throttle |
//! | `hedge after=p90\|p95\|p99 min_delay=… min_samples=… max=… ratio=… max_used=… window=…` | hedges |
//! | `limiter own\|classic\|aimd\|vegas\|gradient2 initial=… min=… max=… min_window=… max_window=… min_samples=…` | the adaptive limit |
//! | `endpoints N [outlier=off] consecutive=… away=… jitter=… max_ejected=…` | several hosts |
//! | `progress window=… min_calls=… stalled_after=… max_attempts_per_success=…` | what counts as progress |
//! | `endpoint N: ATTEMPT` | how every attempt at that host goes, whatever the call's script says |
//! | `seed N` | the dice |
//! | `call NAME at T [x N every D] [idempotent] [unreplayable] [deadline=D] [operation=NAME]: SCRIPT` | calls; more than one are named `NAME1`, `NAME2`, … |
//! | `drop NAME at T` | the caller hangs up |
//! | `show at T` | a line with what the policy shows of itself |
//! | `show NAME at T` | a line with the progress of that operation; `all` is the one without a name |
//!
//! A script lists how the attempts of a call go, the last one repeating: `ok`, `transient`, `ambiguous`,
//! `rejected`, `not_sent`, `fatal`, `callers_fault`, each with how long it takes, or `hang`, or `panic`;
//! followed by `retry_after=D` or `no_retry`, or by `body=D`: an answer that holds its slot for so long after
//! its head.

mod parse;
mod run;
mod say;
mod section;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

pub use parse::ParseError;
pub use run::run;
pub use say::{begun, progress, rejected, shown, stopped};

use crate::outcome::Finished;
use crate::policy::Config;
use crate::time::Instant;

/// One story: see the [module](self).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Case {
    /// What the case teaches.
    pub title: String,
    /// The bounds.
    pub policy: Config,
    /// The dice.
    pub seed: u64,
    /// The calls, in the order in which they are written.
    pub calls: Vec<ScriptedCall>,
    /// How all attempts at these endpoints go, whatever the calls' scripts say.
    pub endpoints: BTreeMap<usize, ScriptedAttempt>,
    /// When the policy is looked at.
    pub shows: Vec<Show>,
    /// What is expected to happen.
    pub expected: Vec<Line>,
}

impl Case {
    /// Reads a case from its text.
    ///
    /// # Errors
    /// With the line that cannot be read and why.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }

    /// How attempt `number` of `call` goes at `endpoint`.
    #[must_use]
    pub fn attempt(&self, call: &ScriptedCall, number: u32, endpoint: usize) -> ScriptedAttempt {
        let there = self.endpoints.get(&endpoint).copied();
        there.unwrap_or_else(|| call.attempt(number))
    }

    /// The seed of the call at `index` in [`Case::calls`].
    #[must_use]
    pub fn seed_of(&self, index: usize) -> u64 {
        crate::entropy::Entropy::new(self.seed)
            .split(&self.calls[index].name)
            .next_u64()
    }
}

/// One look at the policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Show {
    /// When.
    pub at: Instant,
    /// Whose progress is shown; none: the bounds are.
    pub operation: Option<String>,
}

/// A call, and how its attempts go.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScriptedCall {
    /// What the trace calls it.
    pub name: String,
    /// When it is made.
    pub at: Instant,
    /// When its caller hangs up, if it still runs.
    pub dropped_at: Option<Instant>,
    /// Whether it may be done twice.
    pub idempotent: bool,
    /// Whether what it sends can be sent again.
    pub replayable: bool,
    /// How long its caller gives it.
    pub deadline: Option<Duration>,
    /// What kind of call it is; empty: none that has a name.
    pub operation: String,
    /// How its attempts go; the last one repeats.
    pub attempts: Vec<ScriptedAttempt>,
}

impl ScriptedCall {
    /// How attempt `number`, from 1, goes.
    #[must_use]
    pub fn attempt(&self, number: u32) -> ScriptedAttempt {
        let at = (number as usize).clamp(1, self.attempts.len()) - 1;
        self.attempts[at]
    }
}

/// How one attempt goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptedAttempt {
    /// It ends after a while.
    Ends(Duration, Finished),
    /// The head of an acceptable answer arrives after a while, and its body ends another while later.
    Answers(Duration, Duration),
    /// It never ends.
    Hangs,
    /// Its code panics after a while.
    Panics(Duration),
}

/// Something that happened, when, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// The call's name, or `circuit`, or `show`.
    pub who: String,
    /// What.
    pub what: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at.as_nanos() / 1_000;
        match micros % 1_000 {
            0 => write!(f, "{}ms", micros / 1_000)?,
            rest => write!(f, "{}.{rest:03}ms", micros / 1_000)?,
        }
        write!(f, " {} {}", self.who, self.what)
    }
}
