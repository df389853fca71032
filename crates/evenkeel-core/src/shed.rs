//! Refusing the less important before they cost anything.
//!
//! The [admission queue](crate::admission) serves well whatever part of the load it can, but which part is
//! left to chance, and each request it refuses was queued first. In excess that is far beyond what it needs to
//! choose from, a **threshold** takes over: whoever is below it, by [class and
//! cohort](crate::criticality), is refused on arrival. It follows two kinds of evidence: how many arrivals there are for each one begun; and
//! [`Pressure`], numbers that only the driver can measure.
//!
//! It attacks fast, by as much as the excess asks for in two steps running, and lets go slowly, a hundredth of the
//! traffic every 100 ms: the callers who were refused come back together. Of every class but batch one
//! request in a hundred passes whatever the threshold, so that recovery is noticed by everybody.
//!
//! A level is found from how the arrivals of the last steps were spread over the levels, so that a threshold that is to
//! shed a third sheds a third, whoever sends what.
//!
//! What the queue has too much of is not the fault of every tenant: those who keep within their share are spared. Pressure
//! spares nobody, since what wears the memory out need not show in how many arrive.
//!
//! Sources: DAGOR's cursor over a histogram of levels; the queue keeps far more than it serves, so that shedding
//! takes no goodput, which is our own.

mod sketch;

use core::time::Duration;

use sketch::Sketch;

use crate::criticality::{COHORTS, Criticality, LEVELS};
use crate::ratio::Ratio;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::time::{Instant, nanos};

/// The threshold moves this often.
const STEP: Duration = Duration::from_millis(100);

/// It lets go of this many thousandths of the traffic at a step.
const RELEASE: u64 = 10;

/// However great the excess, this many thousandths are let through.
const LET_THROUGH: u64 = 10;

/// Of every class but batch, one in this many passes.
const FLOOR: u64 = 100;

/// Fewer arrivals in a step say nothing of an excess.
const MIN_ARRIVALS: u64 = 20;

/// When the threshold begins to shed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The queue is left this many arrivals to choose from for each one it begins. Smaller: whole trees of calls
    /// are admitted or refused sooner; below 3 or so goodput suffers, since a queue with little to choose
    /// from serves what has waited. Default 16.
    pub headroom: Ratio,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            headroom: Ratio::from_permille(16_000),
        }
    }
}

/// What only the driver can measure, each as a share of what is healthy: 1 is the most that is, 2 is twice
/// that. What is not measured is zero.
///
/// ```
/// use evenkeel_core::{ratio::Ratio, shed::Pressure};
/// use std::time::Duration;
///
/// let mut pressure = Pressure::default();
/// pressure.cpu = Ratio::from_permille(900); // nine tenths of the quota that is meant to be used
/// pressure.lag = Pressure::lag(Duration::from_millis(30), Duration::from_millis(20));
/// assert_eq!(pressure.highest(), Ratio::from_permille(1500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pressure {
    /// Processor time used, of the quota that should be.
    pub cpu: Ratio,
    /// Memory used, of the bound that should be kept.
    pub memory: Ratio,
    /// By how much timers fire late, of what is bearable.
    pub lag: Ratio,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            cpu: Ratio::ZERO,
            memory: Ratio::ZERO,
            lag: Ratio::ZERO,
        }
    }
}

impl Pressure {
    /// A measured lag as a share of what is bearable.
    #[must_use]
    pub fn lag(measured: Duration, bearable: Duration) -> Ratio {
        let permille = u128::from(nanos(measured)) * 1000 / u128::from(nanos(bearable).max(1));
        Ratio::from_permille(u32::try_from(permille).unwrap_or(u32::MAX))
    }

    /// The highest of them.
    #[must_use]
    pub fn highest(self) -> Ratio {
        self.cpu.max(self.memory).max(self.lag)
    }
}

/// Below which level arrivals are refused.
#[derive(Debug)]
pub(crate) struct Threshold {
    headroom: u64,
    /// The level below which arrivals are refused; zero: none is.
    level: AtomicU64,
    /// The share that is being shed, in thousandths.
    share: AtomicU64,
    /// When the next step is due, in nanoseconds.
    due: AtomicU64,
    /// Since the last step: arrivals by level, and those begun.
    arrived: Box<[AtomicU64]>,
    begun: AtomicU64,
    /// Refused so far, per class, for the one in a hundred that is not.
    refused: [AtomicU64; Criticality::ALL.len()],
    tenants: Sketch,
    step: Mutex<Step>,
}

#[derive(Debug)]
struct Step {
    pressure: Pressure,
    /// What the queue asked for at the step before: a pause of the process is over by the next.
    asked: u64,
    /// Arrivals by level, of late: halved at each step.
    spread: Vec<u64>,
}

impl Threshold {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            headroom: u64::from(config.headroom.permille()).max(1000),
            level: AtomicU64::new(0),
            share: AtomicU64::new(0),
            due: AtomicU64::new(0),
            arrived: (0..LEVELS).map(|_| AtomicU64::new(0)).collect(),
            begun: AtomicU64::new(0),
            refused: core::array::from_fn(|_| AtomicU64::new(0)),
            tenants: Sketch::new(),
            step: Mutex::new(Step {
                pressure: Pressure::default(),
                asked: 0,
                spread: vec![0; LEVELS],
            }),
        }
    }

    /// Whether an arrival of that level is to be refused.
    #[inline]
    pub(crate) fn refuses(&self, now: Instant, level: usize, tenant: Option<u64>) -> bool {
        if now.as_nanos() >= self.due.load(Ordering::Relaxed) {
            self.step(now);
        }
        self.arrived[level].fetch_add(1, Ordering::Relaxed);
        let exceeds = tenant.is_none_or(|tenant| self.tenants.count(tenant));
        (level as u64) < self.level.load(Ordering::Relaxed)
            && exceeds
            && !self.passes_anyway(level / COHORTS)
    }

    #[inline]
    pub(crate) fn on_begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_pressure(&self, now: Instant, pressure: Pressure) {
        if let Ok(mut step) = self.step.lock() {
            step.pressure = pressure;
        }
        if now.as_nanos() >= self.due.load(Ordering::Relaxed) {
            self.step(now);
        }
    }

    /// The share that is being shed.
    pub(crate) fn share(&self) -> Ratio {
        Ratio::from_permille(held(&self.share))
    }

    /// The level below which arrivals are refused.
    pub(crate) fn level(&self) -> u32 {
        held(&self.level)
    }

    /// When coming back is worth it for someone who is being shed: half way through the release.
    pub(crate) fn back_in(&self) -> Duration {
        let steps = self.share.load(Ordering::Relaxed) / RELEASE / 2;
        STEP * u32::try_from(steps.max(1)).unwrap_or(1)
    }

    fn passes_anyway(&self, class: usize) -> bool {
        if class == Criticality::Batch.index() {
            return false;
        }
        let before = self.refused[class].fetch_add(1, Ordering::Relaxed);
        before % FLOOR == FLOOR - 1
    }

    #[cold]
    fn step(&self, now: Instant) {
        // Whoever does not get the lock goes on: somebody else is stepping.
        let Ok(mut step) = self.step.try_lock() else {
            return;
        };
        let due = self.due.load(Ordering::Relaxed);
        if now.as_nanos() < due {
            return;
        }
        let steps = match due {
            0 => 0,
            due => 1 + (now.as_nanos() - due) / nanos(STEP),
        };
        self.due.store(
            now.as_nanos().saturating_add(nanos(STEP)),
            Ordering::Relaxed,
        );
        if steps == 0 {
            return;
        }
        let arrived = step.gather(&self.arrived);
        let begun = self.begun.swap(0, Ordering::Relaxed);
        let share = self.share.load(Ordering::Relaxed);
        let released = share.saturating_sub(RELEASE.saturating_mul(steps));
        let asked_now = self.asked_by_queue(arrived, begun);
        let asked_twice = asked_now.min(core::mem::replace(&mut step.asked, asked_now));
        let by_pressure = asked_by(step.pressure, share);
        self.tenants.step(begun, by_pressure == 0);
        let asked = asked_twice.max(by_pressure);
        let share = asked.max(released).min(1000 - LET_THROUGH);
        self.share.store(share, Ordering::Relaxed);
        self.level.store(step.level_of(share), Ordering::Relaxed);
    }

    /// Thousandths of the arrivals beyond what the queue should be left to choose from.
    fn asked_by_queue(&self, arrived: u64, begun: u64) -> u64 {
        let enough = u128::from(begun) * u128::from(self.headroom) / 1000;
        let beyond = u128::from(arrived).saturating_sub(enough);
        // Nothing is begun where everybody hangs: there is nothing to choose, and no sign of an excess.
        if arrived < MIN_ARRIVALS || begun == 0 {
            return 0;
        }
        u64::try_from(beyond * 1000 / u128::from(arrived)).unwrap_or(0)
    }
}

/// What a pressure asks to shed when `share` is shed: as much of the rest as it exceeds what is healthy.
fn asked_by(pressure: Pressure, share: u64) -> u64 {
    let highest = u64::from(pressure.highest().permille());
    if highest <= 1000 {
        return 0;
    }
    1000 - (1000 - share.min(1000)) * 1000 / highest
}

impl Step {
    fn gather(&mut self, arrived: &[AtomicU64]) -> u64 {
        let mut all = 0;
        for (spread, arrived) in self.spread.iter_mut().zip(arrived) {
            let since = arrived.swap(0, Ordering::Relaxed);
            // In 256ths, so that halving forgets what is rare later.
            *spread = *spread / 2 + since * 256;
            all += since;
        }
        all
    }

    /// The level below which `share` thousandths of the arrivals are.
    fn level_of(&self, share: u64) -> u64 {
        let all: u64 = self.spread.iter().sum();
        let to_shed = u128::from(all) * u128::from(share) / 1000;
        if to_shed == 0 {
            return 0;
        }
        let mut below = 0_u128;
        let mut level = 0;
        for spread in &self.spread {
            below += u128::from(*spread);
            if below > to_shed {
                break;
            }
            level += 1;
        }
        level
    }
}

fn held(word: &AtomicU64) -> u32 {
    u32::try_from(word.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests {
    use super::*;
    use crate::criticality::{Cohort, level};

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn threshold() -> Threshold {
        Threshold::new(&Config::default())
    }

    /// A tenth of a second in which `arrived` of each cohort of a class arrive; answers how many were refused.
    fn tenth(threshold: &Threshold, tenth: u64, class: Criticality, arrived: u64) -> u64 {
        let mut refused = 0;
        for n in 0..arrived * COHORTS as u64 {
            let level = level(class, Cohort::new(n));
            refused += u64::from(threshold.refuses(at(100 * tenth), level, None));
        }
        refused
    }

    #[test]
    fn an_excess_is_shed_at_once_and_released_a_hundredth_at_a_time() {
        let threshold = threshold();
        // 1,280 arrive and 8 are begun: for each, a hundred and sixty.
        for round in 1..=2 {
            tenth(&threshold, round, Criticality::Normal, 10);
            (0..8).for_each(|_| threshold.on_begun());
        }
        let refused = tenth(&threshold, 3, Criticality::Normal, 10);
        assert_eq!(threshold.share(), Ratio::from_permille(900));
        assert!((1_100..=1_152).contains(&refused), "{refused} of 1,280");
        // From now on everything that comes is begun.
        for round in 4..=13 {
            (0..2_000).for_each(|_| threshold.on_begun());
            tenth(&threshold, round, Criticality::Normal, 10);
        }
        assert_eq!(threshold.share(), Ratio::from_permille(800));
    }

    #[test]
    fn the_least_important_go_first() {
        let threshold = threshold();
        for round in 1..=3 {
            for class in Criticality::ALL {
                tenth(&threshold, round, class, 1);
            }
            // A fifth of what came is more than the queue needs to see.
            (0..32).for_each(|_| threshold.on_begun());
        }
        let refused = Criticality::ALL.map(|class| tenth(&threshold, 3, class, 1));
        assert_eq!(refused, [128, 0, 0, 0, 0], "batch alone");
    }

    #[test]
    fn one_in_a_hundred_of_every_class_but_batch_passes_whatever_the_threshold() {
        let threshold = threshold();
        let pressure = Pressure {
            memory: Ratio::from_permille(1_000_000),
            ..Pressure::default()
        };
        for round in 1..=2 {
            for class in Criticality::ALL {
                tenth(&threshold, round, class, 1);
            }
            threshold.on_pressure(at(round * 100 + 50), pressure);
        }
        for class in Criticality::ALL {
            tenth(&threshold, 3, class, 1);
        }
        assert_eq!(threshold.share(), Ratio::from_permille(990));
        let passed = |class| 12_800 - tenth(&threshold, 3, class, 100);
        assert_eq!(passed(Criticality::Batch), 0);
        assert_eq!(passed(Criticality::Low), 128);
        assert_eq!(passed(Criticality::Normal), 128);
    }

    #[test]
    fn pressure_sheds_in_proportion_to_its_excess() {
        let threshold = threshold();
        tenth(&threshold, 1, Criticality::Normal, 10);
        let pressure = Pressure {
            cpu: Ratio::from_permille(1250),
            ..Pressure::default()
        };
        threshold.on_pressure(at(150), pressure);
        let refused = tenth(&threshold, 2, Criticality::Normal, 10);
        // A fifth less makes 1.25 into 1.
        assert_eq!(threshold.share(), Ratio::from_permille(200));
        assert!((240..=256).contains(&refused), "{refused} of 1,280");
    }

    #[test]
    fn tenants_within_their_share_are_spared_what_others_send_too_much() {
        let threshold = threshold();
        let (mut quiet, mut loud) = (0, 0);
        for round in 1..=20 {
            let refuses = |tenant, n: u64| {
                let level = level(Criticality::Normal, Cohort::new(n * 37));
                u64::from(threshold.refuses(at(100 * round), level, Some(tenant)))
            };
            loud += (0..1_600).map(|n| refuses(9, n)).sum::<u64>();
            quiet += (0..48).map(|n| refuses(n % 8, n)).sum::<u64>();
            (0..80).for_each(|_| threshold.on_begun());
        }
        assert_eq!(quiet, 0);
        assert!(loud > 4_000, "{loud} of 32,000");
    }

    #[test]
    fn a_pause_of_a_tenth_of_a_second_sheds_nobody() {
        let threshold = threshold();
        for round in 1..20 {
            let begun = if round == 10 { 1 } else { 1_280 };
            assert_eq!(tenth(&threshold, round, Criticality::Normal, 10), 0);
            (0..begun).for_each(|_| threshold.on_begun());
        }
    }

    #[test]
    fn a_server_that_begins_nothing_is_not_taken_for_a_crowded_one() {
        let threshold = threshold();
        for round in 1..20 {
            assert_eq!(tenth(&threshold, round, Criticality::Normal, 10), 0);
        }
    }

    #[test]
    fn a_shed_caller_is_told_to_come_back_when_half_of_it_is_over() {
        let threshold = threshold();
        for round in 1..=3 {
            tenth(&threshold, round, Criticality::Normal, 10);
            (0..8).for_each(|_| threshold.on_begun());
        }
        assert_eq!(threshold.back_in(), Duration::from_millis(4_500));
    }
}
