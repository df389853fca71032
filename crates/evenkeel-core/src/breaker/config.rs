//! What a circuit breaker is told.

use core::time::Duration;

use super::Mode;
use crate::ratio::Ratio;

/// The most probes that may be under way at once: as many as there are lease slots.
pub const MAX_PROBES: u8 = 10;

/// When a circuit opens, for how long, and what closes it again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Opens by the share of failures in a window; none: does not. Default: half of at least 20 calls in
    /// 10 s.
    pub rate: Option<FailureRate>,
    /// Opens by the share of slow calls in the same window; none: does not. Default: four in five.
    pub slow: Option<SlowRate>,
    /// Opens after this many failures in a row, whatever the rate: the rule that sees a dead dependency
    /// behind low traffic. None: does not. Default 8.
    pub consecutive: Option<u32>,
    /// How long the circuit stays open.
    pub open: OpenInterval,
    /// What is let through while half-open, and what closes or re-opens the circuit.
    pub probes: Probes,
    /// After closing, admits a share of the calls that grows from a tenth to all over this time, so that
    /// the returning crowd does not knock the dependency over. Zero: admits all at once. Default 2 s.
    pub ramp: Duration,
    /// Who decides about the circuit at first; it can be changed while it runs. Default
    /// [`Mode::Automatic`].
    pub mode: Mode,
}

impl Config {
    /// The numbers most texts use: opens after five failures in a row, for 30 s, then one probe decides.
    #[must_use]
    pub fn classic() -> Self {
        Self {
            rate: None,
            slow: None,
            consecutive: Some(5),
            open: OpenInterval {
                initial: Duration::from_secs(30),
                max: Duration::from_secs(30),
                jitter: Ratio::ZERO,
            },
            probes: Probes {
                concurrent: 1,
                spacing: Duration::ZERO,
                successes: 1,
                tolerated_failures: 0,
                lease: Duration::from_secs(10),
            },
            ramp: Duration::ZERO,
            mode: Mode::Automatic,
        }
    }

    /// What the shares are shares of: the rate's own window, or the default one where only slow calls
    /// are counted.
    pub(super) fn window(&self) -> FailureRate {
        self.rate.clone().unwrap_or_default()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rate: Some(FailureRate::default()),
            slow: Some(SlowRate::default()),
            consecutive: Some(8),
            open: OpenInterval::default(),
            probes: Probes::default(),
            ramp: Duration::from_secs(2),
            mode: Mode::Automatic,
        }
    }
}

/// Opening by the share of failures.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailureRate {
    /// Opens when at least this share of the window's calls failed. Default 0.5.
    pub threshold: Ratio,
    /// The time that is looked back on, in ten slices. Default 10 s.
    pub window: Duration,
    /// Fewer calls than this in the window prove nothing. Default 20.
    pub min_calls: u32,
    /// Nor do calls that all came within less than this. Default 2 s.
    pub min_observed: Duration,
}

impl Default for FailureRate {
    fn default() -> Self {
        Self {
            threshold: Ratio::from_permille(500),
            window: Duration::from_secs(10),
            min_calls: 20,
            min_observed: Duration::from_secs(2),
        }
    }
}

/// Opening by the share of slow calls, among the calls that [`FailureRate`] looks back on and the attempts
/// that are slow already and still run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowRate {
    /// Opens when at least this share of the window's calls was slow. Default 0.8: few services are better
    /// off without the four in five that they still get.
    pub threshold: Ratio,
    /// Which calls are slow.
    pub than: SlowerThan,
}

impl SlowRate {
    /// Calls that take `than` or longer are slow; everything else as [`SlowRate::default`] has it.
    #[must_use]
    pub fn new(than: SlowerThan) -> Self {
        Self {
            than,
            ..Self::default()
        }
    }
}

impl Default for SlowRate {
    fn default() -> Self {
        Self {
            threshold: Ratio::from_permille(800),
            than: SlowerThan::Usual {
                factor: Ratio::from_permille(3000),
                at_least: Duration::from_secs(1),
            },
        }
    }
}

/// From how long on a call is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowerThan {
    /// From this on. Choose less than the attempt's timeout: what reaches that has failed anyway.
    Fixed(Duration),
    /// From `factor` times the usual duration on, which is the median of the successes. Until enough calls
    /// were seen to know it, no call is slow. A usual duration that grows is believed slowly, a sixteenth
    /// per slice of the window: an incident must not pass for the new normal while it is young.
    Usual {
        /// How many times the median; below one is taken as one. Default 3.
        factor: Ratio,
        /// But calls shorter than this are never slow. Default 1 s.
        at_least: Duration,
    },
}

/// How long a circuit stays open: `initial`, doubled each time it re-opens, spread by `jitter`, at most
/// `max`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenInterval {
    /// The first time. Shorter: faster recovery, more probes at a dead dependency. Default 1 s.
    pub initial: Duration,
    /// At most this, after jitter. Default 4 s, which keeps recovery within seconds; a fleet of hundreds
    /// wants longer, since its probes add up: choose at least `processes / 25` seconds.
    pub max: Duration,
    /// Spreads the interval by this share up and down, so that a fleet's breakers do not probe together.
    /// Default 0.2.
    pub jitter: Ratio,
}

impl Default for OpenInterval {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(4),
            jitter: Ratio::from_permille(200),
        }
    }
}

/// What a half-open circuit lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probes {
    /// How many may be under way at once: 1 to [`MAX_PROBES`]. Default 3.
    pub concurrent: u8,
    /// The least time between two. Default 100 ms.
    pub spacing: Duration,
    /// This many successes close the circuit: 1 to 15. Default 5.
    pub successes: u8,
    /// More failures than this re-open it: 0 to 14. Default 1.
    pub tolerated_failures: u8,
    /// A probe that has not reported by then counts as a failure, and its place is free again. Where an
    /// attempt has a timeout, that is its lease instead; where it has none, choose longer than the slowest
    /// healthy answer, or the circuit cannot close. Default 10 s.
    pub lease: Duration,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            concurrent: 3,
            spacing: Duration::from_millis(100),
            successes: 5,
            tolerated_failures: 1,
            lease: Duration::from_secs(10),
        }
    }
}
