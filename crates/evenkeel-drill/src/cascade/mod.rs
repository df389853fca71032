//! The cascade: one slow dependency takes a healthy page down, or does not.
//!
//! A product page asks inventory, pricing and recommendations for every answer, through one pool
//! of 100 connections, with a client timeout of 5 s. Recommendations, the least important of the
//! three, go from 10 ms to 4.8 s. Nothing reports an error: 4.8 s is below the timeout. But each
//! slow call holds its connection, and by Little's law 100 connections carry no more than
//! 100 / 4.8 s = 20.8 calls a second. At any load above that the pool is empty within moments,
//! calls to the two healthy dependencies wait in line behind it, and the whole page is down.
//!
//! The drill plays that twice on real sockets, with the same page program, the same timeout, the
//! same arrivals and the same latencies: first with the page calling its dependencies directly,
//! then with the evenkeel proxy in between. Only the base URLs differ. An unprotected run that
//! does not collapse fails the drill as loudly as a protected one that does: a drill that cannot
//! hurt proves nothing.
//!
//! [`run`] holds the drill and returns its [`Outcome`]; [`Outcome`] renders itself as text and as
//! one HTML page that needs nothing else.

mod event;
mod figures;
#[cfg(test)]
mod fixture;
mod html;
mod judge;
mod outcome;
mod phases;
mod play;
mod progress;
mod proxy;
mod recovery;
mod stage;
mod text;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

pub use event::Event;
pub use judge::{Threshold, Verdict};
pub use outcome::{Moment, Outcome, PhaseSummary, Run, SCHEMA_VERSION, SlowCalls, Story};
pub use phases::{JUDGES_RECOVERY, LONGEST, Phase, Phases, SHORTEST};
pub use progress::Progress;
pub use proxy::Breaker;
pub use recovery::Recovery;

use crate::{DrillError, loopback, open_files};

/// The length of both runs together, if nothing else is asked for.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(58);

/// Pages asked for per second, if nothing else is asked for: nearly five times what the pool of
/// the page carries while recommendations are slow, and a load that two cores carry easily.
pub const DEFAULT_RATE: u32 = 100;

/// The lowest rate at which the pool is sure to run empty: twice its capacity while slow.
pub const LOWEST_RATE: u32 = 42;

/// The highest rate, for the sake of the number of connections a collapse keeps open.
pub const HIGHEST_RATE: u32 = 500;

/// The seed, if nothing else is asked for.
pub const DEFAULT_SEED: u64 = 1;

/// Connections of the page in use at once.
const POOL: usize = 100;
/// The page's client timeout.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long recommendations take while slow.
const SLOW: Duration = Duration::from_millis(4800);
/// The median latency of a healthy dependency.
const MEDIAN: Duration = Duration::from_millis(10);
/// The sigma of the logarithm of that latency: the 99th percentile is twice the median.
const SIGMA: f64 = 0.3;
/// A page is of use if it is complete within this time of when it was asked for.
const GOOD_WITHIN: Duration = Duration::from_secs(1);
/// The generator's patience: longer than the page's own timeout, so that the page decides.
const GIVE_UP: Duration = Duration::from_secs(8);
/// Ports that are listened on at once: three dependencies, the page, the proxy and its admin.
const PORTS: usize = 6;
/// Open files beyond the connections of the load: sockets of the pools, logs, pipes.
const SPARE_FILES: u64 = 500;

/// What is asked of a drill.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The `evenkeel` program, which plays the services and the proxy.
    pub program: PathBuf,
    /// The length of both runs together; [`Phases::of`] divides it. 20 s to 20 min.
    pub duration: Duration,
    /// Pages asked for per second, [`LOWEST_RATE`] to [`HIGHEST_RATE`].
    pub rate: u32,
    /// The seed of arrivals and latencies.
    pub seed: u64,
}

impl Settings {
    /// The default drill, played by `program`.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        let (duration, rate, seed) = (DEFAULT_DURATION, DEFAULT_RATE, DEFAULT_SEED);
        Self {
            program,
            duration,
            rate,
            seed,
        }
    }
}

/// Which of the two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The page calls its dependencies directly.
    Unprotected,
    /// The evenkeel proxy stands between the page and its dependencies.
    Protected,
}

impl Side {
    /// The word for it in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unprotected => "unprotected",
            Self::Protected => "protected",
        }
    }
}

/// Holds the drill: both runs, one after the other, and the judgement.
///
/// `progress` is told about once a second how it goes. When `stop` resolves, the drill ends at
/// once and in order; its outcome holds what was seen until then and says that it is partial.
///
/// # Errors
/// If something the drill needs is missing, or one of its processes fails. Then nothing is judged.
///
/// # Cancel safety
/// Dropping the future cuts the lifelines of all processes, which end themselves and leave no file.
pub async fn run(
    settings: &Settings,
    progress: &mut (dyn FnMut(&Progress) + Send),
    stop: impl Future<Output = ()> + Send,
) -> Result<Outcome, DrillError> {
    let story = Story::new(settings);
    let in_flight = u64::from(settings.rate) * GIVE_UP.as_secs();
    open_files::allow(in_flight + SPARE_FILES)?;
    loopback::allow(PORTS)?;
    let mut stop = pin!(stop);
    let mut runs = Vec::new();
    for side in [Side::Unprotected, Side::Protected] {
        let run = play::run(settings, &story, side, progress, stop.as_mut()).await?;
        let complete = run.complete;
        runs.push(run);
        if !complete {
            break;
        }
    }
    Ok(Outcome::of(story, runs))
}

#[cfg(test)]
mod tests;
