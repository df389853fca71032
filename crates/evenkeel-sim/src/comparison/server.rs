//! Servers as others build them: who is let in, who is served next, who is not worth serving any more.
//!
//! Three questions, three parts, and most published schemes are one choice for each: a static queue is a
//! gate; CoDel is a rule at the exit; adaptive LIFO is an order. Sources: Netflix `concurrency-limits`
//! (AIMD, Vegas, Gradient2), Maurer: *Fail at scale* (CoDel with adaptive LIFO, 2015), Nagle: RFC 970
//! (round robin between sources).

use core::time::Duration;
use std::collections::VecDeque;

use evenkeel_core::entropy::Entropy;
use evenkeel_core::limiter::aimd::{Aimd, AimdConfig};
use evenkeel_core::limiter::gradient2::{Gradient2, Gradient2Config};
use evenkeel_core::limiter::vegas::{Vegas, VegasConfig};

/// Work that waits at a server.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// The attempt that brought it.
    pub attempt: u32,
    /// When it came.
    pub arrived: u64,
    /// When its answer is worthless; `u64::MAX`: never.
    pub deadline: u64,
    /// Whose it is.
    pub tenant: u32,
    /// How long it will take; only [`Rule::Clairvoyant`] looks.
    pub needs: u64,
}

/// How a server is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Who is let in.
    pub gate: Gate,
    /// Who is served next.
    pub order: Order,
    /// Who is dropped when its turn comes.
    pub rule: Rule,
}

/// Who is let in.
#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    /// Everybody.
    Open,
    /// Whoever finds fewer waiting than this.
    Queue(u32),
    /// Whoever finds fewer of its own tenant waiting than this.
    TenantQueue(u32),
    /// Whoever finds fewer of its own tenant waiting or served than this.
    TenantConcurrency(u32),
    /// Each tenant this many a second, with a burst.
    TenantRate {
        /// Per second.
        rate: f64,
        /// At once, after a pause.
        burst: f64,
    },
    /// Whoever would, by Little's law, wait for no longer than this share of the time it has.
    LittlesLaw(f64),
    /// Whoever finds fewer in the system than an adaptive limit.
    Limit {
        /// What moves the limit.
        algorithm: Algorithm,
        /// It moves once in this time, by the mean of the samples, in nanoseconds; none: on each sample.
        window: Option<u64>,
    },
    /// Rejects a share that a proportional-integral-derivative loop moves so that jobs wait for `target`.
    Pid {
        /// In nanoseconds.
        target: u64,
    },
}

/// What moves an adaptive limit.
#[derive(Debug, Clone, PartialEq)]
pub enum Algorithm {
    /// Netflix's AIMD with this timeout.
    Aimd(Duration),
    /// Netflix's Vegas.
    Vegas,
    /// Netflix's Gradient2.
    Gradient2,
}

/// Who is served next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    /// Who came first.
    Fifo,
    /// Who came last.
    Lifo,
    /// Who came last, if somebody has been waiting at every moment of the last `interval`.
    AdaptiveLifo {
        /// In nanoseconds.
        interval: u64,
    },
    /// Who came last, for this long after a drop.
    LifoAfterDrop(u64),
    /// One of each tenant in turn.
    RoundRobin,
}

/// Who is dropped when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Nobody.
    None,
    /// Who waited for this long.
    Waited(u64),
    /// Whose deadline is nearer than this.
    Margin(u64),
    /// Whose deadline is nearer than this many mean service times, at most 0.9 of the time it was given.
    ServiceTimes(f64),
    /// Who waited longer than `target`, if somebody has been waiting at every moment of the last
    /// `interval`; longer than `interval` otherwise.
    Codel {
        /// In nanoseconds.
        target: u64,
        /// In nanoseconds.
        interval: u64,
    },
    /// Who would not be done in time. Nobody can know that; it is the bound to compare with.
    Clairvoyant,
}

/// A server's queue, running.
#[derive(Debug)]
pub struct Server {
    config: Config,
    gate: GateState,
    queues: Vec<VecDeque<Job>>,
    /// Whose turn it is in round robin.
    turn: usize,
    waiting: usize,
    /// When nobody was waiting last.
    last_empty: u64,
    last_drop: Option<u64>,
    mean_service: f64,
    workers: f64,
    in_system: Vec<u32>,
    total_in_system: u32,
}

#[derive(Debug)]
enum GateState {
    Stateless,
    Buckets(Vec<(f64, u64)>),
    Limit {
        limiter: Limiter,
        window: Option<Window>,
    },
    Pid(Pid),
}

#[derive(Debug)]
enum Limiter {
    Aimd(Aimd),
    Vegas(Box<Vegas>),
    Gradient2(Box<Gradient2>),
}

impl Limiter {
    fn limit(&self) -> u32 {
        match self {
            Self::Aimd(aimd) => aimd.limit(),
            Self::Vegas(vegas) => vegas.limit(),
            Self::Gradient2(gradient) => gradient.limit(),
        }
    }

    fn on_sample(&mut self, rtt: Duration, in_flight: u32) {
        match self {
            Self::Aimd(aimd) => aimd.on_sample(rtt, in_flight, false),
            Self::Vegas(vegas) => vegas.on_sample(rtt, in_flight, false),
            Self::Gradient2(gradient) => gradient.on_sample(rtt, in_flight, false),
        };
    }
}

/// The samples since the limit moved last.
#[derive(Debug)]
struct Window {
    length: u64,
    ends: u64,
    sum: u64,
    samples: u64,
}

#[derive(Debug)]
struct Pid {
    target: f64,
    share: f64,
    integral: f64,
    last_error: f64,
    next: u64,
    longest: u64,
    dice: Entropy,
}

/// A window holds at least this many samples.
const LEAST_SAMPLES: u64 = 10;

/// How often the loop steps, in nanoseconds, and its three factors per unit of relative error.
const PID_STEP: u64 = 10_000_000;
const PID_FACTORS: (f64, f64, f64) = (0.02, 0.004, 0.02);

impl Server {
    /// A server with this many `workers` and `tenants` whose services take about `mean`.
    #[must_use]
    pub fn new(config: Config, workers: u32, tenants: u32, mean: f64, dice: Entropy) -> Self {
        let gate = match &config.gate {
            Gate::TenantRate { burst, .. } => {
                GateState::Buckets(vec![(*burst, 0); tenants as usize])
            }
            Gate::Limit { algorithm, window } => GateState::Limit {
                limiter: match algorithm {
                    Algorithm::Aimd(timeout) => {
                        let mut config = AimdConfig::default();
                        config.timeout = *timeout;
                        Limiter::Aimd(Aimd::new(config))
                    }
                    Algorithm::Vegas => {
                        Limiter::Vegas(Box::new(Vegas::new(VegasConfig::default(), dice)))
                    }
                    Algorithm::Gradient2 => {
                        Limiter::Gradient2(Box::new(Gradient2::new(Gradient2Config::default())))
                    }
                },
                window: window.map(|length| Window {
                    length,
                    ends: 0,
                    sum: 0,
                    samples: 0,
                }),
            },
            Gate::Pid { target } => GateState::Pid(Pid {
                target: *target as f64,
                share: 0.0,
                integral: 0.0,
                last_error: 0.0,
                next: PID_STEP,
                longest: 0,
                dice,
            }),
            _ => GateState::Stateless,
        };
        let queues = if config.order == Order::RoundRobin {
            tenants.max(1)
        } else {
            1
        };
        Self {
            gate,
            queues: (0..queues).map(|_| VecDeque::new()).collect(),
            turn: 0,
            waiting: 0,
            last_empty: 0,
            last_drop: None,
            mean_service: mean,
            workers: f64::from(workers),
            in_system: vec![0; tenants.max(1) as usize],
            total_in_system: 0,
            config,
        }
    }

    /// A job came; false: it is not let in.
    #[inline]
    pub fn offer(&mut self, job: Job, now: u64) -> bool {
        if self.waiting == 0 {
            self.last_empty = now;
        }
        if !self.lets_in(&job, now) {
            return false;
        }
        self.in_system[job.tenant as usize] += 1;
        self.total_in_system += 1;
        let queue = if self.queues.len() == 1 {
            0
        } else {
            job.tenant as usize
        };
        self.queues[queue].push_back(job);
        self.waiting += 1;
        true
    }

    fn lets_in(&mut self, job: &Job, now: u64) -> bool {
        let tenant = job.tenant as usize;
        match (&self.config.gate, &mut self.gate) {
            (Gate::Queue(bound), _) => self.waiting < *bound as usize,
            (Gate::TenantQueue(bound), _) => {
                let queue = if self.queues.len() == 1 { 0 } else { tenant };
                self.queues[queue].len() < *bound as usize
            }
            (Gate::TenantConcurrency(bound), _) => self.in_system[tenant] < *bound,
            (Gate::TenantRate { rate, burst }, GateState::Buckets(buckets)) => {
                let (tokens, at) = &mut buckets[tenant];
                *tokens = burst.min(*tokens + (now - *at) as f64 * rate / 1e9);
                *at = now;
                let admitted = *tokens >= 1.0;
                if admitted {
                    *tokens -= 1.0;
                }
                admitted
            }
            (Gate::LittlesLaw(share), _) => {
                let wait = (self.waiting as f64 + 1.0) * self.mean_service / self.workers;
                wait <= share * job.deadline.saturating_sub(now) as f64
            }
            (Gate::Limit { .. }, GateState::Limit { limiter, .. }) => {
                self.total_in_system < limiter.limit()
            }
            (Gate::Pid { .. }, GateState::Pid(pid)) => {
                pid.step(now);
                crate::law::unit(pid.dice.next_u64()) >= pid.share
            }
            _ => true,
        }
    }

    /// Whose turn it is; what is dropped on the way there is added to `dropped`.
    #[inline]
    pub fn next(&mut self, now: u64, dropped: &mut Vec<Job>) -> Option<Job> {
        let newest_first = match self.config.order {
            Order::Fifo | Order::RoundRobin => false,
            Order::Lifo => true,
            Order::AdaptiveLifo { interval } => {
                self.drop_stale(now, dropped);
                now - self.last_empty > interval
            }
            Order::LifoAfterDrop(after) => self.last_drop.is_some_and(|at| now - at <= after),
        };
        while self.waiting > 0 {
            let job = self.pick(newest_first)?;
            self.leaves_queue(&job, now);
            if !self.drops(&job, now) {
                return Some(job);
            }
            self.drop(job, now, dropped);
        }
        None
    }

    /// Drops those at the front whom nobody will serve any more.
    fn drop_stale(&mut self, now: u64, dropped: &mut Vec<Job>) {
        while let Some(job) = self.queues[0].front().copied() {
            if !self.drops(&job, now) {
                return;
            }
            self.queues[0].pop_front();
            self.leaves_queue(&job, now);
            self.drop(job, now, dropped);
        }
    }

    fn leaves_queue(&mut self, job: &Job, now: u64) {
        self.waiting -= 1;
        if let GateState::Pid(pid) = &mut self.gate {
            pid.longest = pid.longest.max(now - job.arrived);
        }
        if self.waiting == 0 {
            self.last_empty = now;
        }
    }

    fn drop(&mut self, job: Job, now: u64, dropped: &mut Vec<Job>) {
        self.last_drop = Some(now);
        self.leaves(&job);
        dropped.push(job);
    }

    fn pick(&mut self, newest_first: bool) -> Option<Job> {
        if self.config.order == Order::RoundRobin {
            let tenants = self.queues.len();
            let next = (0..tenants)
                .map(|step| (self.turn + step) % tenants)
                .find(|tenant| !self.queues[*tenant].is_empty())?;
            self.turn = next + 1;
            return self.queues[next].pop_front();
        }
        if newest_first {
            self.queues[0].pop_back()
        } else {
            self.queues[0].pop_front()
        }
    }

    fn drops(&self, job: &Job, now: u64) -> bool {
        let waited = now - job.arrived;
        match self.config.rule {
            Rule::None => false,
            Rule::Waited(longest) => waited >= longest,
            Rule::Margin(margin) => now.saturating_add(margin) >= job.deadline,
            Rule::ServiceTimes(times) => {
                let given = job.deadline.saturating_sub(job.arrived) as f64;
                let margin = (times * self.mean_service).min(0.9 * given);
                waited as f64 > given - margin
            }
            Rule::Codel { target, interval } => {
                let congested = now - self.last_empty > interval;
                waited > if congested { target } else { interval }
            }
            Rule::Clairvoyant => now.saturating_add(job.needs) > job.deadline,
        }
    }

    /// A job was served; the work alone took `took`.
    #[inline]
    pub fn served(&mut self, job: &Job, took: u64, now: u64) {
        let seen = self.total_in_system;
        self.leaves(job);
        self.mean_service += 0.01 * (took as f64 - self.mean_service);
        if let GateState::Limit { limiter, window } = &mut self.gate {
            let rtt = now - job.arrived;
            match window {
                None => limiter.on_sample(Duration::from_nanos(rtt), seen),
                Some(window) => window.add(rtt, seen, now, limiter),
            }
        }
    }

    /// A job left without having been served.
    pub fn leaves(&mut self, job: &Job) {
        self.in_system[job.tenant as usize] -= 1;
        self.total_in_system -= 1;
    }

    /// How many wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// The limit, if the gate has one.
    #[must_use]
    pub fn limit(&self) -> Option<u32> {
        match &self.gate {
            GateState::Limit { limiter, .. } => Some(limiter.limit()),
            _ => None,
        }
    }

    /// Everything that waits is lost.
    pub fn crash(&mut self, lost: &mut Vec<Job>) {
        for queue in &mut self.queues {
            lost.extend(queue.drain(..));
        }
        self.waiting = 0;
        self.in_system.fill(0);
        self.total_in_system = 0;
    }
}

impl Window {
    fn add(&mut self, rtt: u64, in_flight: u32, now: u64, limiter: &mut Limiter) {
        self.sum += rtt;
        self.samples += 1;
        if now < self.ends || self.samples < LEAST_SAMPLES {
            return;
        }
        limiter.on_sample(Duration::from_nanos(self.sum / self.samples), in_flight);
        (self.sum, self.samples) = (0, 0);
        self.ends = now + self.length;
    }
}

impl Pid {
    fn step(&mut self, now: u64) {
        if now < self.next {
            return;
        }
        self.next = now + PID_STEP;
        let error = (self.longest as f64 - self.target) / self.target;
        let error = error.clamp(-1.0, 4.0);
        self.longest = 0;
        let (proportional, integral, derivative) = PID_FACTORS;
        self.integral = (self.integral + integral * error).clamp(0.0, 1.0);
        let change = proportional * error + derivative * (error - self.last_error);
        self.last_error = error;
        self.share = (self.integral + change).clamp(0.0, 0.98);
    }
}
