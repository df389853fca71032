//! How much extra load retries and hedges may make together.
//!
//! Three attempts a call are three times the load, just when the dependency is least able to bear it;
//! five layers that each try three times are 243 times the load at the bottom. A limit per call cannot
//! help, since every call keeps to it. A **budget** bounds what all calls to one dependency add: extra
//! attempts are a share of the calls that were made anyway.
//!
//! The ledger counts thousandths of tokens. Each call deposits [`Config::ratio`]; an extra attempt takes
//! one token, one that follows a time-out takes two, since it stands for work that may still be going on.
//! Deposits and withdrawals count for [`Config::window`] and then expire, in ten slices. Besides, there is
//! a floor of [`Config::floor_per_second`], so that a quiet service can retry at all.
//!
//! A second guard bounds the extra attempts that are waiting or under way at one time: when the dependency
//! hangs, rates say nothing. Both are taken *before* the wait, by a [`Withdrawal`], so that retries that
//! wait in back-off are counted and cannot all fire together; and both come back if the call is dropped
//! while it waits.
//!
//! Sources: the window and the floor are Finagle's retry budget, the guard on concurrency is Envoy's; the
//! exact arithmetic and the single exchange are our own.

mod ledger;

use core::time::Duration;

use ledger::{Debit, Ledger};

use crate::feed::Fed;
use crate::ratio::Ratio;
use crate::stripe::Stripe;
use crate::sync::{Arc, AtomicU64, Ordering, Protocol, update};
use crate::time::{Instant, nanos};
use crate::window::{RatioWindow, SLICES};

/// A token, in the ledger's unit.
const TOKEN: u64 = 1000;

/// How much extra load retries and hedges may make together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Extra attempts per call. Larger: more failures are hidden, and a struggling dependency is pushed
    /// harder. Default 0.2 (Finagle, Linkerd, Envoy).
    pub ratio: Ratio,
    /// Extra attempts per second that are allowed whatever the traffic, so that a quiet service can retry
    /// at all. Default 3.
    pub floor_per_second: u32,
    /// How long a call counts, and how long an extra attempt is held against it. Default 10 s.
    pub window: Duration,
    /// At least this many extra attempts may be under way or waiting at once. Default 3.
    pub min_concurrent: u32,
    /// The share of the attempts in flight that may be extra ones, where that is more. Default 0.2.
    pub concurrent: Ratio,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ratio: Ratio::from_permille(200),
            floor_per_second: 3,
            window: Duration::from_secs(10),
            min_concurrent: 3,
            concurrent: Ratio::from_permille(200),
        }
    }
}

/// What an extra attempt costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// One token.
    Ordinary,
    /// Two tokens: the attempt before it timed out, and its work may still be going on.
    AfterTimeout,
}

impl Cost {
    const fn tokens(self) -> u64 {
        match self {
            Self::Ordinary => TOKEN,
            Self::AfterTimeout => 2 * TOKEN,
        }
    }
}

/// A budget. Cheap to clone; clones are one budget.
///
/// ```
/// use evenkeel_core::budget::{Budget, Config, Cost};
/// use evenkeel_core::{stripe::Stripe, time::Instant};
///
/// let mut config = Config::default();
/// (config.floor_per_second, config.min_concurrent) = (0, 100);
/// let (budget, now) = (Budget::new(config, 1), Instant::ZERO);
/// for _ in 0..10 {
///     budget.deposit(Stripe::default(), now);
/// }
/// let retries = (0..10).filter_map(|_| budget.try_withdraw(now, 0, Cost::Ordinary).ok());
/// assert_eq!(retries.collect::<Vec<_>>().len(), 2, "a fifth of ten calls");
/// ```
#[derive(Debug, Clone)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    calls: RatioWindow,
    ledger: Ledger,
    /// Extra attempts that wait or are under way.
    extras: Arc<AtomicU64>,
}

/// Why an extra attempt was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The tokens are spent.
    Tokens,
    /// As many extra attempts as may are waiting or under way.
    Concurrency,
}

/// What a budget shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Thousandths of tokens that are left.
    pub balance_milli: u64,
    /// Thousandths of tokens that a window's calls and floor make together.
    pub limit_milli: u64,
    /// Extra attempts that wait or are under way.
    pub extras: u64,
}

/// The right to one extra attempt, from before its wait until its end.
///
/// Dropped before [`Withdrawal::spend`], the tokens go back: nothing was sent. Its place among the
/// concurrent extras is free again when it is dropped, spent or not.
#[derive(Debug)]
#[must_use = "a withdrawal that is dropped at once is put back"]
pub struct Withdrawal {
    budget: Budget,
    unspent: Option<Debit>,
}

impl Withdrawal {
    /// The extra attempt is being made: its tokens stay taken.
    pub fn spend(&mut self) {
        self.unspent = None;
    }
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        if let Some(debit) = self.unspent {
            self.budget.0.ledger.put_back(debit);
        }
        self.budget.0.extras.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Budget {
    /// A budget that counts calls on `stripes` stripes: as many as threads call at once.
    #[must_use]
    pub fn new(config: Config, stripes: usize) -> Self {
        Self(Arc::new(Shared {
            calls: RatioWindow::new(config.window, stripes),
            ledger: Ledger::new(nanos(config.window) / SLICES as u64),
            extras: Arc::new(AtomicU64::new(0)),
            config,
        }))
    }

    /// The same budget under another configuration: extra attempts that wait or are under way stay counted.
    /// Unless the configurations are equal, deposits and withdrawals begin anew.
    #[must_use]
    pub fn successor(&self, config: Config, stripes: usize) -> Self {
        if config == self.0.config {
            return self.clone();
        }
        Self(Arc::new(Shared {
            calls: RatioWindow::new(config.window, stripes),
            ledger: Ledger::new(nanos(config.window) / SLICES as u64),
            extras: Arc::clone(&self.0.extras),
            config,
        }))
    }

    /// Counts one call: its first attempt.
    #[inline]
    pub fn deposit(&self, stripe: Stripe, now: Instant) {
        self.0.calls.record(stripe, now, false);
    }

    /// Counts the first attempts of one slice; answers when the next slice begins.
    pub(crate) fn take(&self, fed: Fed, now: Instant) -> Instant {
        self.0.calls.record_many(fed.at, fed.begun);
        self.0.calls.next_slice(now)
    }

    /// Asks for an extra attempt while `in_flight` attempts are under way.
    ///
    /// # Errors
    /// [`Denied`], with nothing taken.
    pub fn try_withdraw(
        &self,
        now: Instant,
        in_flight: u64,
        cost: Cost,
    ) -> Result<Withdrawal, Denied> {
        let config = &self.0.config;
        let most = u64::from(config.min_concurrent).max(config.concurrent.of(in_flight));
        update(Protocol::Budget, &self.0.extras, |extras| {
            (extras < most).then_some(extras + 1)
        })
        .ok_or(Denied::Concurrency)?;
        // From here on, dropping gives the place back.
        let mut withdrawal = Withdrawal {
            budget: self.clone(),
            unspent: None,
        };
        let debit = self
            .0
            .ledger
            .take(now, cost.tokens(), self.limit(now))
            .ok_or(Denied::Tokens)?;
        withdrawal.unspent = Some(debit);
        Ok(withdrawal)
    }

    /// What the budget shows of itself.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let limit = self.limit(now);
        Snapshot {
            balance_milli: limit.saturating_sub(self.0.ledger.taken(now)),
            limit_milli: limit,
            extras: self.0.extras.load(Ordering::Relaxed),
        }
    }

    /// What may be taken within a window: its floor and its deposits.
    fn limit(&self, now: Instant) -> u64 {
        let config = &self.0.config;
        let floor = u128::from(config.floor_per_second)
            * u128::from(TOKEN)
            * u128::from(nanos(config.window))
            / 1_000_000_000;
        let calls = self.0.calls.totals(now, Instant::ZERO).calls;
        // A thousandth of a token per thousandth of the ratio: no division, nothing is rounded.
        let deposits = calls.saturating_mul(u64::from(config.ratio.permille()));
        u64::try_from(floor)
            .unwrap_or(u64::MAX)
            .saturating_add(deposits)
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Stripe = Stripe(0);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// No floor and no guard: the ledger alone.
    fn ledger_only(permille: u32) -> Budget {
        let ratio = Ratio::from_permille(permille);
        let config = Config {
            ratio,
            floor_per_second: 0,
            min_concurrent: u32::MAX,
            ..Config::default()
        };
        Budget::new(config, 2)
    }

    fn withdraw_all(budget: &Budget, now: Instant) -> usize {
        let grant = || {
            let mut withdrawal = budget.try_withdraw(now, 0, Cost::Ordinary).ok()?;
            withdrawal.spend();
            Some(())
        };
        std::iter::from_fn(grant).count()
    }

    #[test]
    fn a_quiet_service_has_its_floor() {
        let config = Config {
            min_concurrent: u32::MAX,
            ..Config::default()
        };
        let budget = Budget::new(config, 1);
        assert_eq!(
            withdraw_all(&budget, at(0)),
            30,
            "three a second over a window of ten"
        );
        assert_eq!(withdraw_all(&budget, at(9_999)), 0);
        assert_eq!(withdraw_all(&budget, at(10_000)), 30);
    }

    #[test]
    fn an_attempt_after_a_time_out_costs_two() {
        let budget = ledger_only(1000);
        budget.deposit(ONE, at(0));
        assert_eq!(
            budget
                .try_withdraw(at(0), 0, Cost::AfterTimeout)
                .unwrap_err(),
            Denied::Tokens
        );
        budget.deposit(ONE, at(0));
        assert!(budget.try_withdraw(at(0), 0, Cost::AfterTimeout).is_ok());
    }

    #[test]
    fn a_call_dropped_in_its_back_off_puts_everything_back() {
        let budget = Budget::new(Config::default(), 1);
        let before = budget.snapshot(at(0));
        let waiting = budget.try_withdraw(at(0), 0, Cost::Ordinary).unwrap();
        assert_eq!(budget.snapshot(at(0)).extras, 1);
        drop(waiting);
        assert_eq!(budget.snapshot(at(0)), before);
    }

    #[test]
    fn retries_that_wait_count_against_the_guard_on_concurrency() {
        let budget = Budget::new(Config::default(), 1);
        let waiting: Vec<_> = (0..3)
            .map(|_| budget.try_withdraw(at(0), 0, Cost::Ordinary).unwrap())
            .collect();
        let denied = budget.try_withdraw(at(0), 0, Cost::Ordinary).unwrap_err();
        assert_eq!(denied, Denied::Concurrency);
        assert!(
            budget.try_withdraw(at(0), 100, Cost::Ordinary).is_ok(),
            "a fifth of a hundred"
        );
        drop(waiting);
        assert!(budget.try_withdraw(at(0), 0, Cost::Ordinary).is_ok());
    }

    #[test]
    fn peer_fault_12_threads_cannot_overdraw_together() {
        let budget = ledger_only(100);
        for _ in 0..1000 {
            budget.deposit(ONE, at(0));
        }
        let granted: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| withdraw_all(&budget, at(0))))
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(granted, 100);
    }

    #[test]
    fn peer_fault_11_every_ratio_from_a_hundredth_to_one_is_exact() {
        for permille in 10..=1000 {
            let budget = ledger_only(permille);
            for _ in 0..997 {
                budget.deposit(ONE, at(0));
            }
            let exact = 997 * permille as usize / 1000;
            assert_eq!(
                withdraw_all(&budget, at(0)),
                exact,
                "a ratio of {permille}/1000"
            );
        }
    }

    #[derive(Debug, Clone)]
    enum Move {
        Call,
        Withdraw(Cost),
        Spend(usize),
        End(usize),
    }

    fn moves() -> impl Strategy<Value = Vec<(u64, Move)>> {
        let one = prop_oneof![
            4 => Just(Move::Call),
            3 => Just(Move::Withdraw(Cost::Ordinary)),
            1 => Just(Move::Withdraw(Cost::AfterTimeout)),
            2 => any::<usize>().prop_map(Move::Spend),
            3 => any::<usize>().prop_map(Move::End),
        ];
        proptest::collection::vec((0..2_500_u64, one), 1..200)
    }

    /// What was withdrawn and still counts: when, how much, and whether that was spent.
    struct Taken {
        when: u64,
        milli: u64,
        spent: bool,
        under_way: Option<Withdrawal>,
    }

    proptest! {
        /// Whatever is granted or denied is so by two plain lists too: of calls, and of what was taken.
        #[test]
        fn the_budget_agrees_with_two_lists(
            moves in moves(), permille in 10..=1000_u32, floor in 0..2_u32, most in 1..6_u32,
            in_flight in 0..40_u64,
        ) {
            let config = Config {
                ratio: Ratio::from_permille(permille),
                floor_per_second: floor,
                min_concurrent: most,
                ..Config::default()
            };
            let budget = Budget::new(config, 2);
            let (mut now, mut calls, mut taken) = (0, Vec::new(), Vec::<Taken>::new());
            for (wait, step) in moves {
                now += wait;
                let counts = |when: u64| now / 1000 - when / 1000 < 10;
                let limit = calls.iter().filter(|when| counts(**when)).count() as u64
                    * u64::from(permille)
                    + u64::from(floor) * 10_000;
                let out = |taken: &[Taken]| -> u64 {
                    let counted = taken.iter().filter(|taken| counts(taken.when));
                    counted.map(|taken| taken.milli).sum()
                };
                let extras = |taken: &[Taken]| {
                    taken.iter().filter(|taken| taken.under_way.is_some()).count() as u64
                };
                match step {
                    Move::Call => {
                        budget.deposit(ONE, at(now));
                        calls.push(now);
                    }
                    Move::Withdraw(cost) => {
                        let milli = if cost == Cost::Ordinary { 1000 } else { 2000 };
                        let granted = budget.try_withdraw(at(now), in_flight, cost);
                        let room = extras(&taken) < u64::from(most).max(in_flight / 5);
                        let expected = if !room {
                            Err(Denied::Concurrency)
                        } else if out(&taken) + milli > limit {
                            Err(Denied::Tokens)
                        } else {
                            Ok(())
                        };
                        prop_assert_eq!(granted.as_ref().map(|_| ()).map_err(|why| *why), expected);
                        taken.extend(granted.ok().map(|withdrawal| Taken {
                            when: now,
                            milli,
                            spent: false,
                            under_way: Some(withdrawal),
                        }));
                    }
                    Move::Spend(which) if !taken.is_empty() => {
                        let which = which % taken.len();
                        if let Some(withdrawal) = &mut taken[which].under_way {
                            withdrawal.spend();
                            taken[which].spent = true;
                        }
                    }
                    Move::End(which) if !taken.is_empty() => {
                        let which = which % taken.len();
                        taken[which].under_way = None;
                        if !taken[which].spent {
                            taken.remove(which);
                        }
                    }
                    Move::Spend(_) | Move::End(_) => {}
                }
                let limit = calls.iter().filter(|when| counts(**when)).count() as u64
                    * u64::from(permille)
                    + u64::from(floor) * 10_000;
                let shown = budget.snapshot(at(now));
                prop_assert_eq!(shown.extras, extras(&taken));
                prop_assert_eq!(shown.limit_milli, limit);
                prop_assert_eq!(shown.balance_milli, limit.saturating_sub(out(&taken)));
            }
        }
    }
}
