//! The one place where time is read.
//!
//! A call reads the clock twice: when it begins and when its attempt ends. Through the processor's own
//! counter, where that is invariant, a read costs a third of what the operating system's costs; elsewhere
//! it falls back to that. Both are monotonic: no clock step moves a deadline.

use std::time::Duration;

use evenkeel_core::time::Instant;

/// A monotonic clock, in the core's time. Clones tell the same time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    Processor {
        clock: quanta::Clock,
        origin: u64,
        timer_origin: tokio::time::Instant,
    },
    Runtime {
        origin: tokio::time::Instant,
    },
    /// Stands still, and counts who looks at it.
    #[cfg(test)]
    Counted(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// The processor's counter: the default.
    #[must_use]
    pub fn processor() -> Self {
        let clock = quanta::Clock::new();
        let origin = clock.raw();
        Self(Source::Processor {
            clock,
            origin,
            timer_origin: tokio::time::Instant::now(),
        })
    }

    /// The runtime's clock, which a test can pause and advance.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let clock = evenkeel::Clock::runtime();
    /// let start = clock.now();
    /// tokio::time::advance(Duration::from_secs(60)).await;
    /// assert_eq!(clock.now().since(start), Duration::from_secs(60));
    /// # }
    /// ```
    #[must_use]
    pub fn runtime() -> Self {
        Self(Source::Runtime {
            origin: tokio::time::Instant::now(),
        })
    }

    /// A clock that stands still and counts in `looks` who looks at it.
    #[cfg(test)]
    pub(crate) const fn counted(looks: std::sync::Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self(Source::Counted(looks))
    }

    /// The present instant.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::Processor { clock, origin, .. } => {
                Instant::from_nanos(clock.delta_as_nanos(*origin, clock.raw()))
            }
            Source::Runtime { origin } => Instant::ZERO + origin.elapsed(),
            #[cfg(test)]
            Source::Counted(looks) => {
                looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Instant::from_nanos(1)
            }
        }
    }

    /// The same instant on the runtime's timers; a year hence if it lies beyond what they can hold.
    pub(crate) fn timer(&self, at: Instant) -> tokio::time::Instant {
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let origin = match &self.0 {
            Source::Processor {
                timer_origin: origin,
                ..
            }
            | Source::Runtime { origin } => *origin,
            #[cfg(test)]
            Source::Counted(_) => tokio::time::Instant::now(),
        };
        let after = Duration::from_nanos(at.as_nanos());
        origin
            .checked_add(after)
            .unwrap_or_else(|| tokio::time::Instant::now() + FAR)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::processor()
    }
}
