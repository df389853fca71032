//! Who decides about a circuit: its own rules, or a person.

use super::word::Kind;
use super::{Breaker, Cause, Transition, state};
use crate::sync::Ordering;
use crate::time::Instant;

/// Who decides about a circuit. Set in the configuration, and at run time by [`Breaker::set_mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Its rules.
    #[default]
    Automatic,
    /// A person, who wants no call made: during a repair, or to drain a dependency.
    ForcedOpen,
    /// A person, who wants every call made and none counted.
    Disabled,
    /// Its rules, and yet every call is made: the state shows what would be refused, and
    /// [`Snapshot::unenforced`](super::Snapshot::unenforced) how much. To try a configuration on real
    /// traffic.
    ObserveOnly,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [
        Self::Automatic,
        Self::ForcedOpen,
        Self::Disabled,
        Self::ObserveOnly,
    ];

    /// The mode in lower case, as it stands in metrics and in the policy file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::ObserveOnly => "observe_only",
        }
    }

    const fn observes(self) -> bool {
        matches!(self, Self::ObserveOnly)
    }
}

impl Breaker {
    /// Who decides about the circuit.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.word().kind() {
            Kind::Forced => Mode::ForcedOpen,
            Kind::Disabled => Mode::Disabled,
            _ if self.observes() => Mode::ObserveOnly,
            _ => Mode::Automatic,
        }
    }

    /// Sets who decides; answers the change of state that this made, if it made one. A circuit that is
    /// handed back to its rules begins anew: closed, with nothing held against it. What was admitted before
    /// has no say about what follows.
    ///
    /// ```
    /// use evenkeel_core::breaker::{Breaker, Config, Mode};
    /// use evenkeel_core::{entropy::Entropy, time::Instant};
    ///
    /// let breaker = Breaker::new(Config::default(), "payments", 1);
    /// breaker.set_mode(Mode::ForcedOpen, Instant::ZERO);
    /// let refused = breaker.try_acquire(Instant::ZERO, &mut Entropy::new(1)).unwrap_err();
    /// assert_eq!(refused.retry_after, None, "nobody knows when");
    /// breaker.set_mode(Mode::Automatic, Instant::ZERO);
    /// assert!(breaker.try_acquire(Instant::ZERO, &mut Entropy::new(1)).is_ok());
    /// ```
    pub fn set_mode(&self, mode: Mode, now: Instant) -> Option<Transition> {
        // Before the word: by whichever order two calls of this meet, one of their modes is what holds.
        self.state
            .observes
            .store(u64::from(mode.observes()), Ordering::Relaxed);
        loop {
            let word = self.word();
            let by_hand = matches!(word.kind(), Kind::Forced | Kind::Disabled);
            let kind = match mode {
                Mode::ForcedOpen => Kind::Forced,
                Mode::Disabled => Kind::Disabled,
                Mode::Automatic | Mode::ObserveOnly if by_hand => Kind::Closed,
                Mode::Automatic | Mode::ObserveOnly => return None,
            };
            if word.kind() == kind {
                return None;
            }
            if kind == Kind::Closed {
                self.looks_back_to(now);
            }
            let is_seen = state(word.kind()) != state(kind);
            let next = word.next(kind, 0, now);
            if is_seen {
                if let Some(transition) = self.transit(word, next, Cause::ByHand) {
                    return Some(transition);
                }
            } else if self.replace(word, next) {
                return None;
            }
        }
    }

    pub(super) fn observes(&self) -> bool {
        self.state.observes.load(Ordering::Relaxed) != 0
    }
}
