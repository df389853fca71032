//! Whether an attempt may be made now.

use core::time::Duration;

use super::word::{Kind, ProbeTally, Word, millis};
use super::{Admission, Breaker, Cause, Transition, refused, refused_by_hand};
use crate::entropy::Entropy;
use crate::outcome::Outcome;
use crate::ratio::Ratio;
use crate::rejection::Rejection;
use crate::sync::{Ordering, Protocol, exchange};
use crate::time::{Instant, nanos};

/// Where a ramp starts: a tenth of the traffic.
const RAMP_START: Ratio = Ratio::from_permille(100);

impl Breaker {
    /// Admits an attempt or refuses it; either may have moved the circuit. A probe's lease is
    /// `attempt_timeout`, in nanoseconds, where the attempt has one.
    #[inline]
    pub(crate) fn admit(
        &self,
        now: Instant,
        dice: &mut Entropy,
        attempt_timeout: u64,
    ) -> (Result<Admission, Rejection>, Option<Transition>) {
        let word = self.word();
        if word.kind() == Kind::Closed {
            return (Ok(Admission::counted(word)), None);
        }
        let (admitted, moved) = self.admit_unless_healthy(now, dice, attempt_timeout);
        (admitted.or_else(|refused| self.enforce(refused)), moved)
    }

    /// Refuses, unless the circuit is only observed.
    fn enforce(&self, refused: Rejection) -> Result<Admission, Rejection> {
        if !self.observes() {
            return Err(refused);
        }
        self.state.unenforced.fetch_add(1, Ordering::Relaxed);
        Ok(Admission::uncounted(self.word()))
    }

    #[cold]
    fn admit_unless_healthy(
        &self,
        now: Instant,
        dice: &mut Entropy,
        attempt_timeout: u64,
    ) -> (Result<Admission, Rejection>, Option<Transition>) {
        let mut moved = None;
        loop {
            let word = self.word();
            let admitted = match word.kind() {
                Kind::Closed => Ok(Admission::counted(word)),
                Kind::Disabled => Ok(Admission::uncounted(word)),
                Kind::Forced => Err(refused_by_hand()),
                Kind::Ramping => match self.admit_ramping(word, now, dice) {
                    Some(admitted) => admitted,
                    None => continue,
                },
                Kind::Open => {
                    let wait = self.open_for(word, now);
                    if !wait.is_zero() {
                        return (Err(refused(wait)), moved);
                    }
                    let first = ProbeTally {
                        under_way: 1,
                        ..ProbeTally::default()
                    };
                    let half_open = word
                        .next(Kind::HalfOpen, word.reopens(), now)
                        .with_probes(first);
                    let Some(transition) = self.transit(word, half_open, Cause::IntervalOver)
                    else {
                        continue;
                    };
                    moved = Some(transition);
                    Ok(self.probe(half_open, now, attempt_timeout))
                }
                Kind::HalfOpen => {
                    if self.state.leases.revoke_expired(word.generation(), now) {
                        moved = self
                            .count_probe(word.generation(), now, Outcome::Overload)
                            .or(moved);
                        continue;
                    }
                    match self.admit_probe(word, now) {
                        Some(Ok(counted)) => Ok(self.probe(counted, now, attempt_timeout)),
                        Some(Err(rejection)) => Err(rejection),
                        None => continue,
                    }
                }
            };
            return (admitted, moved);
        }
    }

    /// What is left of the open interval, and of the dependency's own wish; zero when it is over.
    pub(super) fn open_for(&self, word: Word, now: Instant) -> Duration {
        let elapsed = Duration::from_millis(word.elapsed_millis(now));
        let left = self.open_interval(word).saturating_sub(elapsed);
        let held = Instant::from_nanos(self.state.hold.load(Ordering::Relaxed)).since(now);
        left.max(held)
    }

    fn open_interval(&self, word: Word) -> Duration {
        let open = &self.config.open;
        let (initial, max) = (nanos(open.initial), nanos(open.max));
        let doubled = initial.saturating_mul(1 << word.reopens()).min(max);
        let reach = open.jitter.min(Ratio::ONE).of(doubled);
        let mut dice = Entropy::new(self.state.identity ^ u64::from(word.generation().0));
        // The range ends at the cap, rather than the draw: half a fleet would meet at the cap otherwise.
        Duration::from_nanos(dice.between(doubled - reach, doubled.saturating_add(reach).min(max)))
    }

    pub(super) fn ramp(&self, word: Word, now: Instant) -> Ratio {
        let (elapsed, whole) = (
            word.elapsed_millis(now),
            millis(Instant::from_nanos(nanos(self.config.ramp))),
        );
        let grown = (1000 - u64::from(RAMP_START.permille())) * elapsed.min(whole) / whole.max(1);
        Ratio::from_permille(RAMP_START.permille() + u32::try_from(grown).unwrap_or(1000))
    }

    fn admit_ramping(
        &self,
        word: Word,
        now: Instant,
        dice: &mut Entropy,
    ) -> Option<Result<Admission, Rejection>> {
        let ramp = self.config.ramp;
        let elapsed = Duration::from_millis(word.elapsed_millis(now));
        if elapsed >= ramp {
            // Losing this exchange means that somebody changed the state: look again.
            exchange(
                Protocol::Breaker,
                &self.state.word,
                word.0,
                word.ramped_up().0,
            )
            .ok()?;
        } else if !dice.chance(self.ramp(word, now)) {
            return Some(Err(refused(ramp.saturating_sub(elapsed))));
        }
        Some(Ok(Admission::counted(word)))
    }
}
