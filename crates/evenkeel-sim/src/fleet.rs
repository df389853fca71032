//! A fleet as it is built: who calls whom, how often, how long things take, and what breaks when.
//!
//! Everything is resolved and valid here; [`crate::scenario`] is the form that people write.

use evenkeel_core::policy;

use crate::arrival::{Arrivals, LoadStep};
use crate::comparison::{client, server};
use crate::law::Law;

/// Services, the clients that call them, and what happens to both.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// What is called.
    pub services: Vec<Service>,
    /// Who calls from outside.
    pub groups: Vec<Group>,
    /// Shared pools of slots, by their size.
    pub pools: Vec<u32>,
    /// What breaks when.
    pub faults: Vec<Fault>,
    /// The stretches of time that are measured, by when a request came.
    pub windows: Vec<Window>,
    /// When the simulation ends, in nanoseconds.
    pub ends: u64,
}

/// Something that is called.
#[derive(Debug, Clone)]
pub struct Service {
    /// What reports call it.
    pub name: String,
    /// How many equal ones there are.
    pub replicas: u32,
    /// How many requests one replica works on at once; none: as many as come.
    pub workers: Option<u32>,
    /// How long a request keeps a worker busy.
    pub law: Law,
    /// How a replica is run.
    pub server: Server,
    /// How long a rejection keeps a worker busy, in nanoseconds.
    pub reject_cost: u64,
    /// Which replica is asked.
    pub balancer: Balancer,
    /// Requests that fail although nothing is broken.
    pub failure: Option<Failure>,
    /// What a request calls in turn, once its own work is done.
    pub plan: Vec<Stage>,
    /// How long a message travels, each way; none: no time at all.
    pub latency: Option<Law>,
    /// The share of messages that are lost on the way there.
    pub loss: f64,
    /// An attempt whose caller has left is taken out of the queue.
    pub notices_leaving: bool,
}

/// How a replica decides whom to serve.
#[derive(Debug, Clone, PartialEq)]
pub enum Server {
    /// As others do.
    Comparison(server::Config),
}

/// Which replica is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balancer {
    /// Any.
    Random,
    /// One after the other.
    RoundRobin,
    /// The one with less to do out of two.
    TwoChoices,
    /// Each tenant has two of its own; the one with less to do.
    ShuffleShard,
}

/// Requests that fail although nothing is broken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Failure {
    /// The share of the requests.
    pub share: f64,
    /// After how long they fail, in nanoseconds; none: they are never answered.
    pub after: Option<u64>,
}

/// Calls that are made at the same time.
pub type Stage = Vec<Leg>;

/// One call that a request makes.
#[derive(Debug, Clone)]
pub struct Leg {
    /// Which service, by its place.
    pub service: usize,
    /// By which rules.
    pub caller: Caller,
    /// Its failure leaves the request without something it can do without.
    pub optional: bool,
    /// The deadline goes on to the service, the tighter of the request's and the attempt's.
    pub sends_deadline: bool,
    /// It may be done twice.
    pub idempotent: bool,
}

/// By which rules a call is made.
#[derive(Debug, Clone)]
pub enum Caller {
    /// As others do.
    Comparison(client::Config),
    /// By a policy of evenkeel's, as the library and the proxy run it.
    Policy(Box<policy::Config>),
}

/// Clients that are alike.
#[derive(Debug, Clone)]
pub struct Group {
    /// What reports call it.
    pub name: String,
    /// How many.
    pub clients: u32,
    /// How many processes they run in; what a process knows of a service its clients share.
    pub processes: u32,
    /// When they ask.
    pub arrivals: Arrivals,
    /// When their rate changes.
    pub load: Vec<LoadStep>,
    /// An answer is of use within this, in nanoseconds.
    pub deadline: Option<u64>,
    /// They stop waiting then.
    pub gives_up: bool,
    /// Each client is a tenant of its own; otherwise the group is one.
    pub tenants: bool,
    /// What a request calls.
    pub plan: Vec<Stage>,
    /// Timers go off late by up to this, in nanoseconds.
    pub timer_slack: u64,
}

/// A stretch of time that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What reports call it.
    pub name: String,
    /// From when on, in nanoseconds.
    pub from: u64,
    /// Until when, in nanoseconds.
    pub to: u64,
}

/// Something that breaks, and is mended.
#[derive(Debug, Clone)]
pub struct Fault {
    /// When it breaks, in nanoseconds.
    pub from: u64,
    /// When it is mended, in nanoseconds.
    pub to: u64,
    /// The service, by its place.
    pub service: usize,
    /// The first so many of its replicas.
    pub replicas: u32,
    /// What happens.
    pub kind: FaultKind,
}

/// What breaks.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// Work takes this many times as long.
    Slow(f64),
    /// Work takes as long as this law says.
    Law(Law),
    /// Nothing is begun; what comes waits.
    Stall,
    /// Everything fails after this long, in nanoseconds.
    Error(u64),
    /// This many workers are left.
    Workers(u32),
    /// What was there is lost, and who comes is turned away at once.
    Crash,
    /// Messages are lost.
    Partition,
    /// The wall clock of everybody who calls the service is off by so much, in nanoseconds.
    Clock(i64),
}

impl Fleet {
    /// The share of a service's requests whose work alone takes no longer than `deadline`.
    #[must_use]
    pub fn fits(&self, service: usize, deadline: Option<u64>) -> f64 {
        match (self.services.get(service), deadline) {
            (Some(service), Some(deadline)) => 1.0 - service.law.longer_than(deadline as f64),
            _ => 1.0,
        }
    }

    /// Requests a second that a service can serve; none where nothing bounds it.
    #[must_use]
    pub fn capacity(&self, service: usize) -> Option<f64> {
        let service = self.services.get(service)?;
        let workers = f64::from(service.workers?) * f64::from(service.replicas);
        Some(workers / service.law.mean() * 1e9)
    }
}
