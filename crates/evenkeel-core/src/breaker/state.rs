//! What a circuit shows of itself.

use core::time::Duration;

use super::Mode;
use crate::ratio::Ratio;

/// What callers see of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// A few probes pass.
    HalfOpen,
}

impl State {
    /// Every state, in the order of [`Snapshot::entered`].
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The state in lower case, as it stands in metrics: `closed`, `open`, `half_open`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A change of state, handed to the one caller who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// What made the difference.
    pub cause: Cause,
}

/// What moved a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The share of failures in the window.
    FailureRate,
    /// The share of slow calls in the window, those that still run among them.
    SlowRate,
    /// Failures in a row.
    ConsecutiveFailures,
    /// The open interval was over when a call came.
    IntervalOver,
    /// More probes failed than may.
    ProbesFailed,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// Somebody set the [`Mode`].
    ByHand,
}

impl Cause {
    /// The cause in lower-case words joined by underscores, as it stands in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailureRate => "failure_rate",
            Self::SlowRate => "slow_rate",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::IntervalOver => "interval_over",
            Self::ProbesFailed => "probes_failed",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::ByHand => "by_hand",
        }
    }
}

/// What a breaker shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Who decides about the state.
    pub mode: Mode,
    /// The state; an open circuit whose interval is over stays open until a call comes.
    pub state: State,
    /// The share of calls admitted while ramping up after closing; the whole otherwise.
    pub admitted: Ratio,
    /// How often the circuit re-opened since it was last healthy.
    pub reopens: u32,
    /// Calls in the window.
    pub calls: u64,
    /// Failures and overloads among them.
    pub bad: u64,
    /// Slow calls among them, whether they succeeded or failed.
    pub slow: u64,
    /// Attempts that are slow already and still run.
    pub running_slow: u32,
    /// From how long on a call is slow; none: no rule says so, or what is usual is not known yet.
    pub slow_after: Option<Duration>,
    /// Failures in a row.
    pub consecutive: u32,
    /// Probes under way.
    pub probes: u8,
    /// When a refused caller may come back.
    pub retry_after: Option<Duration>,
    /// How often each of [`State::ALL`] was entered.
    pub entered: [u64; 3],
    /// Attempts that would have been refused, had the mode not been [`Mode::ObserveOnly`].
    pub unenforced: u64,
}
