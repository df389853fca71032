//! How many of the newest to serve in order, and who is no longer worth a worker.
//!
//! First come, first served is right while everybody can be served in time. Beyond that it serves only those
//! whose time is nearly up; newest first serves a part of them well, and makes the others wait for
//! nothing. Between the two lies a **window**: the newest `n` are served in order of their deadlines,
//! whoever has fallen out of it only when the window is empty. A large window lets more of those in time
//! be served while the load is bearable; a small one keeps those who are served fresh. Which is best
//! depends on the load, on how services vary, on how many workers there are, and on the deadline; so it
//! is computed from what was measured of each, a hundred times a second at most.
//!
//! The computation is a queue in the small: a chain of states, `k` waiting in the window, with the rates of
//! arrival and service between them, stretched by how services vary (the diffusion limit of a queue with
//! general service). In each state it is known how long the next one to be served has waited, so the
//! measured law of services says how probable it is that it ends in time. The window is the smallest whose
//! goodput is within a hair of the best.
//!
//! And a **floor**: whoever has less time left than it is refused rather than begun. A service that ends
//! too late costs as much as one that ends in time; the busier the server, the better the chance has to be.

use super::law::{ONE, ServiceLaw};

/// A window is never larger.
const WINDOW_MAX: usize = 4096;

/// Under pressure, whoever is begun has at least this share of a fresh one's chance to end in time.
const FLOOR: f64 = 0.65;

/// At leisure nearly any chance is taken.
const FLOOR_AT_LEISURE: f64 = 0.05;

/// Loads between which the floor rises from leisure to pressure.
const LEISURE: f64 = 0.5;
const PRESSURE: f64 = 0.9;

/// The smallest window is taken whose loss is within this share of the least loss, and this share of all.
const NEAR_LOSS: f64 = 0.03;
const NEAR: f64 = 2e-5;

/// As many may wait at most, whatever the deadlines.
const WAITING_MAX: usize = 4096;

/// Beyond the window, as many wait as the workers can begin in two rounds, and these.
const SPARE_ROUNDS: f64 = 2.0;
const SPARE: f64 = 8.0;

/// An excess of up to this may be a wave that passes.
const PASSING: f64 = 0.2;

/// Services vary more than the model can make sense of.
const VARIATION_MAX: f64 = 4.0;

/// What the queue does until the next plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The newest that are served in order of their deadlines.
    pub(crate) window: usize,
    /// Nanoseconds that whoever is begun has left at least.
    pub(crate) floor: u64,
    /// The same for those of a tenant that keeps within its share: what the load of others would make of it
    /// does not count.
    pub(crate) lenient: u64,
    /// As many may wait at most.
    pub(crate) waiting: usize,
}

impl Plan {
    /// Before anything is known: in order, whoever has any time left.
    pub(crate) const UNKNOWN: Self = Self {
        window: WINDOW_MAX,
        floor: 0,
        lenient: 0,
        waiting: WINDOW_MAX,
    };
}

/// What arrives, and who serves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Nanoseconds between two arrivals.
    pub(crate) gap: f64,
    /// Nanoseconds that an arrival has until its deadline.
    pub(crate) allowed: f64,
    pub(crate) workers: u32,
}

/// The best plan for that load and these services.
#[expect(
    clippy::cast_precision_loss,
    reason = "what is lost is far below what some thousand services know"
)]
pub(crate) fn plan(law: &ServiceLaw, load: Load) -> Plan {
    let mean = law.mean() as f64;
    if load.gap <= 0.0 || mean <= 0.0 {
        return Plan::UNKNOWN;
    }
    let workers = f64::from(load.workers.max(1));
    let chain = Chain {
        law,
        allowed: load.allowed,
        gap: load.gap,
        workers,
        rho: mean / (workers * load.gap),
        variation: law.variation(),
    };
    let fresh = chain.chance(chain.allowed);
    let usual = chain.usual_floor();
    let floor = fresh * (usual + (chain.patience() - usual).max(0.0) * chain.excess());
    let window = chain.window(floor);
    Plan {
        window,
        floor: law.within(to_share(floor)),
        lenient: law.within(to_share(fresh * usual)),
        waiting: chain.waiting(window, mean),
    }
}

struct Chain<'l> {
    law: &'l ServiceLaw,
    allowed: f64,
    gap: f64,
    workers: f64,
    /// Arrivals per service that the workers can make.
    rho: f64,
    variation: f64,
}

impl Chain<'_> {
    /// Of a fresh one's chance to end in time, what whoever is begun must have at least.
    fn usual_floor(&self) -> f64 {
        let pressed = ((self.rho - LEISURE) / (PRESSURE - LEISURE)).clamp(0.0, 1.0);
        FLOOR_AT_LEISURE + (FLOOR - FLOOR_AT_LEISURE) * pressed
    }

    /// In excess, a worker who waits for the next arrival instead does this part of what it could.
    fn patience(&self) -> f64 {
        let arrivals = self.workers * self.rho;
        arrivals / (arrivals + 1.0)
    }

    /// How many may wait: the window and two rounds of the workers; as long as the excess may be a wave that
    /// passes, all that could be served before their deadlines.
    fn waiting(&self, window: usize, mean: f64) -> usize {
        let rounds = SPARE_ROUNDS * self.workers + SPARE;
        let reachable = self.workers * self.allowed / mean;
        let passing = (1.0 - self.excess() / PASSING).max(0.0);
        let spare = to_count(rounds + reachable * passing);
        window.saturating_add(spare).min(WAITING_MAX)
    }

    /// The share of arrivals that cannot be served whatever is done.
    fn excess(&self) -> f64 {
        if self.rho > 1.0 {
            1.0 - 1.0 / self.rho
        } else {
            0.0
        }
    }

    fn chance(&self, left: f64) -> f64 {
        f64::from(self.law.fits(to_nanos(left))) / f64::from(ONE)
    }

    /// The chance of whoever is served while `waiting` wait in the window: arrivals came since as many.
    fn chance_behind(&self, waiting: f64) -> f64 {
        let spread = (waiting * self.variation.min(1.0)).sqrt();
        let left = |arrivals: f64| self.chance(self.allowed - arrivals * self.gap);
        0.5 * (left(waiting - spread) + left(waiting + spread))
    }

    /// By how much each state of the chain is more probable than the one before.
    fn growth(&self) -> f64 {
        let spread = (1.0 + self.variation).min(2.0 * VARIATION_MAX);
        if self.rho < 1.0 {
            let spare = 1.0 - self.rho;
            (spread - spare) / (spread + spare)
        } else {
            let excess = self.excess();
            (spread + excess) / (spread - excess).max(1e-6)
        }
    }

    /// How much time is spent with a worker idle, in units of that spent with all busy and nobody waiting.
    fn idle(&self) -> f64 {
        let (mut sum, mut term, mut busy) = (0.0, 1.0, self.workers);
        while busy >= 1.0 && term > 1e-9 * sum {
            term *= busy / (self.workers * self.rho);
            sum += term;
            busy -= 1.0;
        }
        sum
    }

    fn window(&self, floor: f64) -> usize {
        let (growth, fresh) = (self.growth(), self.chance(self.allowed));
        let ideal = self.rho.min(1.0) * fresh;
        // Those who fell out of the window are there to be served only in excess.
        let refilled = (2.0 * self.excess()).min(1.0);
        let most = self.allowed / self.gap;
        let (mut idle, mut first, mut state) = (self.idle(), 1.0, 1.0);
        let (mut mass, mut good) = (1.0, 0.0);
        let mut next = self.chance_behind(1.0);
        let mut goodput: Vec<f64> = Vec::with_capacity(64);
        let (mut best, mut best_at) = (0.0, 0);
        for waiting in 1_u32.. {
            state *= growth;
            mass += state;
            good += state * next;
            next = self.chance_behind(f64::from(waiting) + 1.0);
            let older = if next >= floor {
                (self.rho * state / first).min(1.0) * refilled
            } else {
                0.0
            };
            let idles = idle * (1.0 - older);
            let reached = (good + idles * self.rho * fresh + older * first * next) / (mass + idles);
            goodput.push(reached);
            if reached > best {
                (best, best_at) = (reached, goodput.len());
            }
            let hopeless = goodput.len() > 64 + 2 * best_at;
            if hopeless
                || f64::from(waiting) >= most
                || goodput.len() >= WINDOW_MAX
                || state < 1e-9 * mass
            {
                break;
            }
            if state > 1e12 {
                for weight in [&mut state, &mut mass, &mut good, &mut idle, &mut first] {
                    *weight *= 1e-12;
                }
            }
        }
        let enough = best - (ideal - best).max(0.0) * NEAR_LOSS - NEAR;
        goodput.iter().position(|one| *one >= enough).unwrap_or(0) + 1
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates at both ends, which is where a time is held"
)]
const fn to_nanos(nanos: f64) -> u64 {
    nanos as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates at both ends, which is where a count is held"
)]
const fn to_count(count: f64) -> usize {
    count as usize
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a chance is between nothing and one"
)]
fn to_share(chance: f64) -> u32 {
    (chance * f64::from(ONE)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const MILLI: f64 = 1e6;

    /// Evenly from `from` to `to` milliseconds.
    fn law(from: u64, to: u64) -> ServiceLaw {
        let mut law = ServiceLaw::new();
        for n in 0..512 {
            let micros = from * 1000 + (to - from) * 1000 * (n * 7 % 512) / 512;
            law.record(Duration::from_micros(micros));
        }
        law.fit();
        law
    }

    fn at(rho: f64, law: &ServiceLaw) -> Plan {
        let gap = law.mean() as f64 / (8.0 * rho);
        let allowed = 100.0 * MILLI;
        plan(
            law,
            Load {
                gap,
                allowed,
                workers: 8,
            },
        )
    }

    #[test]
    fn the_window_is_large_at_the_edge_and_small_in_excess() {
        let law = law(5, 15);
        let (edge, over, far) = (at(1.0, &law), at(1.5, &law), at(10.0, &law));
        assert!(edge.window > 20, "{edge:?}");
        assert!(over.window < edge.window, "{over:?}");
        assert!(far.window <= 2, "{far:?}");
    }

    #[test]
    fn services_that_are_alike_leave_a_sharp_floor() {
        let law = law(10, 10);
        let floor = at(1.0, &law).floor;
        assert!((9_500_000..=10_500_000).contains(&floor), "{floor}");
    }

    #[test]
    fn the_busier_the_server_the_better_a_chance_must_be() {
        let law = law(1, 41);
        let floors = [0.3, 0.7, 1.0, 2.0, 10.0].map(|rho| at(rho, &law).floor);
        assert!(floors.is_sorted(), "{floors:?}");
        assert!(floors[0] < 5_000_000, "{floors:?}");
    }

    #[test]
    fn a_server_too_slow_for_every_deadline_refuses_nobody_for_it() {
        let law = law(400, 500);
        assert_eq!(at(1.0, &law).floor, 0);
    }

    #[test]
    fn nothing_known_means_in_order() {
        let load = Load {
            gap: 0.0,
            allowed: MILLI,
            workers: 8,
        };
        assert_eq!(plan(&ServiceLaw::new(), load), Plan::UNKNOWN);
    }
}
