//! What a simulation shows: counts and durations by window, by second, by tenant.

mod histogram;

pub use histogram::Histogram;

use crate::fleet::{Fleet, Window};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In time, with everything.
    Good,
    /// In time, without something optional.
    Degraded,
    /// Answered, too late to be of use.
    Late,
    /// Not answered, or with an error.
    Failed,
}

/// The requests of one group that came within one window.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    /// That came.
    pub offered: u64,
    /// In time, with everything.
    pub good: u64,
    /// In time, without something optional.
    pub degraded: u64,
    /// Too late.
    pub late: u64,
    /// With an error, or never.
    pub failed: u64,
    /// Attempts of first calls that were made within the window, whenever their request came.
    pub attempts: u64,
    /// Of these, hedges.
    pub hedges: u64,
    /// How long the answers took that came, late ones included.
    pub latency: Histogram,
}

impl Requests {
    /// The share that ended in time, degraded or not; 1 where nothing came.
    #[must_use]
    pub fn success(&self) -> f64 {
        share(self.good + self.degraded, self.offered)
    }

    /// Attempts for each request.
    #[must_use]
    pub fn amplification(&self) -> f64 {
        share(self.attempts, self.offered)
    }
}

/// What one service did within one window.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// Attempts that reached it.
    pub arrived: u64,
    /// Of these, after the request they serve was worthless.
    pub stale: u64,
    /// Attempts that it turned away or dropped.
    pub rejected: u64,
    /// Attempts that it worked on to the end.
    pub served: u64,
    /// Of these, for a caller who had left.
    pub zombies: u64,
    /// Nanoseconds of work.
    pub busy: u64,
}

/// One second of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Second {
    /// Requests that came.
    pub offered: u32,
    /// Of these, in time with everything.
    pub good: u32,
    /// Of these, in time without something optional.
    pub degraded: u32,
    /// Attempts that were made.
    pub attempts: u32,
    /// The longest answer, in nanoseconds.
    pub longest: u64,
}

/// One second of a service, looked at as it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Look {
    /// How many wait at all replicas.
    pub waiting: u32,
    /// Attempts that arrived within the second.
    pub arrived: u32,
    /// The adaptive limit of the first replica, if it has one.
    pub limit: Option<u32>,
    /// The share of those who call it whose breaker does not let everybody through.
    pub open: f32,
}

/// Everything that was measured.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    /// The windows.
    pub windows: Vec<Window>,
    /// By group, then by window.
    pub requests: Vec<Vec<Requests>>,
    /// By group, then by second.
    pub seconds: Vec<Vec<Second>>,
    /// By service, then by window.
    pub work: Vec<Vec<Work>>,
    /// By service, then by second.
    pub looks: Vec<Vec<Look>>,
    /// By window, then by tenant: that came, and that ended in time.
    pub tenants: Vec<Vec<(u64, u64)>>,
    /// By service: the most that ever waited.
    pub longest_queue: Vec<u64>,
    /// Events that happened.
    pub events: u64,
    /// What happened, in one number: equal for equal runs.
    pub hash: u64,
}

pub(crate) const SECOND: u64 = 1_000_000_000;

impl Measures {
    pub(crate) fn new(fleet: &Fleet, tenants: u32) -> Self {
        let windows = fleet.windows.len();
        let seconds = usize::try_from(fleet.ends / SECOND + 1).unwrap_or(1);
        let (groups, services) = (fleet.groups.len(), fleet.services.len());
        Self {
            windows: fleet.windows.clone(),
            requests: vec![vec![Requests::default(); windows]; groups],
            seconds: vec![vec![Second::default(); seconds]; groups],
            work: vec![vec![Work::default(); windows]; services],
            looks: vec![vec![Look::default(); seconds]; services],
            tenants: vec![vec![(0, 0); tenants as usize]; windows],
            longest_queue: vec![0; services],
            events: 0,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// The windows that `now` lies in, by their place.
    #[inline]
    fn at(windows: &[Window], now: u64) -> impl Iterator<Item = usize> + '_ {
        let within = move |window: &Window| window.from <= now && now < window.to;
        windows
            .iter()
            .enumerate()
            .filter(move |(_, window)| within(window))
            .map(|(at, _)| at)
    }

    #[inline]
    pub(crate) fn came(&mut self, group: usize, tenant: u32, now: u64) {
        for at in Self::at(&self.windows, now) {
            self.requests[group][at].offered += 1;
            self.tenants[at][tenant as usize].0 += 1;
        }
        self.second(group, now).offered += 1;
    }

    #[inline]
    pub(crate) fn ended(
        &mut self,
        group: usize,
        tenant: u32,
        (begun, now): (u64, u64),
        ending: Ending,
    ) {
        for at in Self::at(&self.windows, begun) {
            let requests = &mut self.requests[group][at];
            match ending {
                Ending::Good => requests.good += 1,
                Ending::Degraded => requests.degraded += 1,
                Ending::Late => requests.late += 1,
                Ending::Failed => requests.failed += 1,
            }
            if ending != Ending::Failed {
                requests.latency.record(now - begun);
            }
            if matches!(ending, Ending::Good | Ending::Degraded) {
                self.tenants[at][tenant as usize].1 += 1;
            }
        }
        let second = self.second(group, begun);
        match ending {
            Ending::Good => second.good += 1,
            Ending::Degraded => second.degraded += 1,
            Ending::Late | Ending::Failed => {}
        }
        if ending != Ending::Failed {
            second.longest = second.longest.max(now - begun);
        }
    }

    #[inline]
    pub(crate) fn attempted(&mut self, group: usize, now: u64, hedge: bool) {
        for at in Self::at(&self.windows, now) {
            self.requests[group][at].attempts += 1;
            self.requests[group][at].hedges += u64::from(hedge);
        }
        self.second(group, now).attempts += 1;
    }

    #[inline]
    pub(crate) fn work(&mut self, service: usize, now: u64, change: impl Fn(&mut Work)) {
        for at in Self::at(&self.windows, now) {
            change(&mut self.work[service][at]);
        }
    }

    #[inline]
    fn second(&mut self, group: usize, now: u64) -> &mut Second {
        let seconds = &mut self.seconds[group];
        let at = usize::try_from(now / SECOND)
            .unwrap_or(usize::MAX)
            .min(seconds.len() - 1);
        &mut seconds[at]
    }

    /// Takes an event into the hash of the run.
    #[inline]
    pub(crate) fn happened(&mut self, now: u64, what: u64) {
        self.events += 1;
        let mixed = (self.hash ^ now)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29);
        self.hash = (mixed ^ what).wrapping_mul(0xD1B5_4A32_D192_ED03);
    }

    /// The first second from `from` on from which at least `level` of the requests of `group` ended in
    /// time in each of the next `lasting` seconds, counted from `from`; none: never.
    #[must_use]
    pub fn recovery(&self, group: usize, from: u64, level: f64, lasting: usize) -> Option<u64> {
        let begun = usize::try_from(from / SECOND).ok()?;
        let seconds = self.seconds.get(group)?.get(begun..)?;
        // The last second may be cut short, and requests of the last ones may still be under way.
        let whole = seconds.len().saturating_sub(1);
        let kept = |second: &Second| {
            let good = f64::from(second.good + second.degraded);
            good >= level * f64::from(second.offered)
        };
        let runs = seconds[..whole].windows(lasting);
        let found = runs.into_iter().position(|run| run.iter().all(kept))?;
        u64::try_from(found).ok()
    }
}

pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}
