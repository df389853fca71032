//! What a person sees while the drill runs.

use std::fmt;

use super::{Breaker, Phase, Side};
use crate::load::Second;

/// One thing worth saying while the drill runs. Its `Display` is one line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Progress {
    /// A run begins.
    Begins {
        /// Which.
        side: Side,
        /// Its length in seconds.
        seconds: u32,
        /// Pages asked for per second.
        rate: u32,
    },
    /// A second is over, and so is the time in which its pages are of use.
    Second {
        /// Which second of the run.
        second: u32,
        /// The phase it lies in.
        phase: Phase,
        /// What came of its pages until now.
        seen: Second,
        /// Connections of the page in use.
        pool_in_use: u64,
        /// The breaker of the recommendations, where there is a proxy.
        breaker: Option<Breaker>,
    },
    /// The recommendations become slow.
    Injected,
    /// The recommendations are fast again.
    Repaired,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins {
                side,
                seconds,
                rate,
            } => {
                let (number, how) = match side {
                    Side::Unprotected => (1, "page -> dependencies"),
                    Side::Protected => (2, "page -> evenkeel proxy -> dependencies"),
                };
                let side = side.as_str();
                write!(
                    f,
                    "run {number} of 2, {side}: {how}; {rate} pages/s for {seconds} s"
                )
            }
            Self::Second {
                second,
                phase,
                seen,
                pool_in_use,
                breaker,
            } => {
                let counts = &seen.counts;
                let (offered, good, degraded) = (counts.offered, counts.good(), counts.degraded);
                write!(
                    f,
                    "{second:>4} s  {phase:<7}  offered {offered:>3}  good {good:>3}"
                )?;
                write!(f, "  degraded {degraded:>3}  p99 {}", Percentile(seen))?;
                write!(f, "  pool {pool_in_use:>3}/{}", super::POOL)?;
                match breaker {
                    Some(breaker) => write!(f, "  breaker {}", breaker.as_str()),
                    None => write!(f, "  breaker -"),
                }
            }
            Self::Injected => write!(
                f,
                "        recommendations now take {:.1} s",
                super::SLOW.as_secs_f64()
            ),
            Self::Repaired => write!(
                f,
                "        recommendations are repaired: {} ms again",
                super::MEDIAN.as_millis()
            ),
        }
    }
}

/// The 99th percentile of a second, honest about pages that have not ended: while more than a
/// hundredth of them are under way it is known only to be above the time they have had.
struct Percentile<'a>(&'a Second);

impl fmt::Display for Percentile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.0.counts;
        if counts.unfinished() * 100 > counts.offered {
            let bound = super::GOOD_WITHIN.as_millis().to_string();
            write!(f, "{:>8}", format!(">{bound} ms"))
        } else {
            write!(f, "{:>8}", format!("{:.0} ms", self.0.p99_ms))
        }
    }
}
