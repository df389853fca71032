//! Clients as others write them: retry loops, token buckets, breakers with a counter, hedges.
//!
//! Sources: Brooker, *Exponential backoff and jitter* (2015) and *Fixing retries with token buckets and
//! circuit breakers* (2022); Beyer and others, *Site Reliability Engineering*, chapter 21 (the throttle);
//! Dean and Barroso, *The tail at scale* (2013).

use std::collections::VecDeque;

use evenkeel_core::entropy::Entropy;

use crate::law::{unit, whole};

/// How one process calls one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// An attempt is given up after this, in nanoseconds.
    pub timeout: Option<u64>,
    /// How many times a failed call is tried again.
    pub retries: u32,
    /// The wait before a retry.
    pub delay: Delay,
    /// What retries are paid from.
    pub budget: Option<Budget>,
    /// When the service is left alone.
    pub breaker: Option<Breaker>,
    /// Sending less when less is accepted.
    pub throttle: Option<Throttle>,
    /// A second attempt before the first has ended.
    pub hedge: Option<Hedge>,
    /// A call asks for a slot of this pool, by its place in the fleet.
    pub pool: Option<Pool>,
}

/// The wait before a retry.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Delay {
    /// At once.
    #[default]
    None,
    /// `base * 2^(n - 1)`, at most `cap`.
    Exponential {
        /// In nanoseconds.
        base: u64,
        /// In nanoseconds.
        cap: u64,
    },
    /// Evenly from zero to that.
    FullJitter {
        /// In nanoseconds.
        base: u64,
        /// In nanoseconds.
        cap: u64,
    },
}

impl Delay {
    /// The wait before retry `nth`, from 1.
    #[must_use]
    pub fn draw(self, nth: u32, dice: &mut Entropy) -> u64 {
        let grown = |base: u64, cap: u64| base.saturating_mul(1 << (nth - 1).min(30)).min(cap);
        match self {
            Self::None => 0,
            Self::Exponential { base, cap } => grown(base, cap),
            Self::FullJitter { base, cap } => {
                whole(unit(dice.next_u64()) * grown(base, cap) as f64)
            }
        }
    }
}

/// A token bucket: full at first, a token per retry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Added by each call, or each success.
    pub ratio: f64,
    /// The most it holds.
    pub cap: f64,
    /// Calls add to it as they begin; otherwise successes do.
    pub by_call: bool,
}

/// Failures in a row open it for a while, then one attempt decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaker {
    /// This many failures in a row open it.
    pub failures: u32,
    /// Or this share of at least [`Breaker::MIN_CALLS`] calls in a second.
    pub rate: Option<f64>,
    /// For this long, times a factor drawn evenly from 0.5 to 1.5 unless `even`.
    pub open: u64,
    /// Doubled each time it opens again, up to this.
    pub max_open: u64,
    /// While half-open: this share of the calls, and this many successes close it; none: one attempt.
    pub trickle: Option<(f64, u32)>,
    /// It looks at the wall clock, which may step.
    pub wall_clock: bool,
}

impl Breaker {
    /// Fewer calls than this in a window show no rate.
    pub const MIN_CALLS: u32 = 20;
}

/// `p = max(0, (requests - k * accepts - 1) / (requests + 1))`, both decaying.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// How many requests an accept is good for.
    pub k: f64,
    /// The time constant of the decay, in nanoseconds.
    pub decay: u64,
}

/// A second attempt before the first has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hedge {
    /// When.
    pub after: HedgeDelay,
    /// Second attempts per call, from a bucket of twenty; none: each call may.
    pub budget: Option<f64>,
}

/// When a call is hedged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HedgeDelay {
    /// After this, in nanoseconds.
    Fixed(u64),
    /// After this quantile of the answers of the last second.
    Quantile(f64),
}

/// A bounded number of slots, taken for as long as an attempt lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pool {
    /// Which.
    pub pool: usize,
    /// A call that finds no free slot waits; otherwise it fails at once.
    pub waits: bool,
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// It may.
    Yes,
    /// The breaker is open: the call is over.
    CircuitOpen,
    /// The throttle holds it back: a failed attempt, of which the service knows nothing.
    HeldBack,
}

/// The most that hedges can save up.
const HEDGE_BUCKET: f64 = 20.0;

/// A client's memory of one service.
#[derive(Debug)]
pub struct Client {
    pub(crate) config: Config,
    tokens: f64,
    circuit: Circuit,
    requests: f64,
    accepts: f64,
    decayed_at: u64,
    hedge_tokens: f64,
    seen: VecDeque<(u64, u64)>,
    hedge_delay: u64,
    hedge_delay_until: u64,
    dice: Entropy,
}

#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    successes: u32,
    window_from: u64,
    window: (u32, u32),
    /// Until when; zero: closed.
    open_until: u64,
    reopened: u32,
    probing: bool,
}

impl Client {
    /// A client that has seen nothing yet.
    #[must_use]
    pub fn new(config: Config, dice: Entropy) -> Self {
        Self {
            tokens: config.budget.map_or(0.0, |budget| budget.cap),
            circuit: Circuit::default(),
            requests: 0.0,
            accepts: 0.0,
            decayed_at: 0,
            hedge_tokens: HEDGE_BUCKET,
            seen: VecDeque::new(),
            hedge_delay: u64::MAX,
            hedge_delay_until: 0,
            dice,
            config,
        }
    }

    /// A call begins.
    pub fn on_call(&mut self) {
        if let Some(budget) = self.config.budget.filter(|budget| budget.by_call) {
            self.tokens = budget.cap.min(self.tokens + budget.ratio);
        }
        if let Some(ratio) = self.config.hedge.and_then(|hedge| hedge.budget) {
            self.hedge_tokens = HEDGE_BUCKET.min(self.hedge_tokens + ratio);
        }
    }

    /// Whether an attempt may be made now; `now` as the breaker's clock has it.
    pub fn admits(&mut self, now: u64) -> Admits {
        if let Some(breaker) = self.config.breaker {
            let circuit = &mut self.circuit;
            if circuit.open_until > 0 {
                if now < circuit.open_until {
                    return Admits::CircuitOpen;
                }
                match breaker.trickle {
                    None if circuit.probing => return Admits::CircuitOpen,
                    None => circuit.probing = true,
                    Some((share, _)) if unit(self.dice.next_u64()) >= share => {
                        return Admits::CircuitOpen;
                    }
                    Some(_) => {}
                }
            }
        }
        let Some(throttle) = self.config.throttle else {
            return Admits::Yes;
        };
        let passed = now.saturating_sub(self.decayed_at) as f64 / throttle.decay as f64;
        let left = crate::math::exp(-passed);
        (self.requests, self.accepts) = (self.requests * left, self.accepts * left);
        self.decayed_at = now;
        let wanted = self.requests - throttle.k * self.accepts - 1.0;
        let held_back = wanted / (self.requests + 1.0);
        self.requests += 1.0;
        if unit(self.dice.next_u64()) < held_back {
            Admits::HeldBack
        } else {
            Admits::Yes
        }
    }

    /// An attempt succeeded after `took`.
    pub fn on_success(&mut self, now: u64, took: u64) {
        if let Some(budget) = self.config.budget.filter(|budget| !budget.by_call) {
            self.tokens = budget.cap.min(self.tokens + budget.ratio);
        }
        self.accepts += 1.0;
        if let Some(breaker) = self.config.breaker {
            let circuit = &mut self.circuit;
            circuit.failures = 0;
            circuit.successes += 1;
            circuit.observe(now, false);
            let needed = breaker.trickle.map_or(1, |(_, successes)| successes);
            if circuit.open_until > 0 && now >= circuit.open_until && circuit.successes >= needed {
                *circuit = Circuit {
                    window_from: now,
                    ..Circuit::default()
                };
            }
        }
        if matches!(
            self.config.hedge,
            Some(Hedge {
                after: HedgeDelay::Quantile(_),
                ..
            })
        ) {
            self.seen.push_back((now, took));
        }
    }

    /// An attempt failed.
    pub fn on_failure(&mut self, now: u64) {
        let Some(breaker) = self.config.breaker else {
            return;
        };
        let circuit = &mut self.circuit;
        circuit.failures += 1;
        circuit.observe(now, true);
        let half_open = circuit.open_until > 0 && now >= circuit.open_until;
        let rate = breaker.rate.is_some_and(|rate| {
            let (calls, failed) = circuit.window;
            calls >= Breaker::MIN_CALLS && f64::from(failed) >= rate * f64::from(calls)
        });
        let opens = circuit.open_until == 0 && (circuit.failures >= breaker.failures || rate);
        if half_open || opens {
            circuit.probing = false;
            circuit.successes = 0;
            circuit.window = (0, 0);
            let longer = breaker.open.saturating_mul(1 << circuit.reopened.min(20));
            let length = longer.min(breaker.max_open) as f64;
            let factor = if breaker.trickle.is_some() {
                1.0
            } else {
                0.5 + unit(self.dice.next_u64())
            };
            circuit.open_until = now + whole(length * factor).max(1);
            circuit.reopened += 1;
        }
    }

    /// Whether the breaker is open.
    #[must_use]
    pub const fn is_open(&self, now: u64) -> bool {
        self.circuit.open_until > now
    }

    /// Whether a retry is paid for; it is, with this.
    pub fn pays_for_retry(&mut self) -> bool {
        if self.config.budget.is_none() {
            return true;
        }
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    /// The wait before retry `nth`, from 1.
    pub fn delay(&mut self, nth: u32) -> u64 {
        self.config.delay.draw(nth, &mut self.dice)
    }

    /// After which time a call is hedged; none: not at all, for now.
    pub fn hedge_delay(&mut self, now: u64) -> Option<u64> {
        match self.config.hedge?.after {
            HedgeDelay::Fixed(nanos) => Some(nanos),
            HedgeDelay::Quantile(quantile) => {
                if now >= self.hedge_delay_until {
                    self.hedge_delay_until = now + SECOND / 10;
                    self.hedge_delay = self.recent_quantile(now, quantile);
                }
                (self.hedge_delay < u64::MAX).then_some(self.hedge_delay)
            }
        }
    }

    /// Whether a hedge is paid for; it is, with this.
    pub fn pays_for_hedge(&mut self) -> bool {
        if self.config.hedge.is_none_or(|hedge| hedge.budget.is_none()) {
            return true;
        }
        let enough = self.hedge_tokens >= 1.0;
        if enough {
            self.hedge_tokens -= 1.0;
        }
        enough
    }

    fn recent_quantile(&mut self, now: u64, quantile: f64) -> u64 {
        while self.seen.front().is_some_and(|(at, _)| at + SECOND < now) {
            self.seen.pop_front();
        }
        let mut recent: Vec<u64> = self.seen.iter().map(|(_, took)| *took).collect();
        if recent.len() < 20 {
            return self.hedge_delay;
        }
        let place = whole(recent.len() as f64 * quantile);
        let place = usize::try_from(place)
            .unwrap_or_default()
            .min(recent.len() - 1);
        *recent.select_nth_unstable(place).1
    }
}

const SECOND: u64 = 1_000_000_000;

impl Circuit {
    fn observe(&mut self, now: u64, failed: bool) {
        if now.saturating_sub(self.window_from) >= SECOND {
            self.window_from = now;
            self.window = (0, 0);
        }
        self.window.0 += 1;
        self.window.1 += u32::from(failed);
    }
}
