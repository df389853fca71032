//! A fleet at work: one event after the other.
//!
//! ```text
//! client --request--> plan: stage by stage, leg by leg
//!                       leg  --call--> attempt --> replica --> (its own plan) --> answer
//! ```
//!
//! A *request* walks through the stages of a plan; each leg of a stage is one *call*, made by the rules of
//! its caller, in one or more *attempts*; each attempt reaches a *replica*, waits there, is worked on, and
//! may have a plan of its own to walk through, as a request at the next tier.
//!
//! Everything random follows from the seed by name: a client's dice from the group's name and its own
//! number, a call's from its client's, an attempt's work from its call's. So one more client moves nobody
//! else's dice, and the same request needs the same work whatever policy it runs under: comparisons share
//! their random numbers.

mod admitting;
mod answer;
mod behaviour;
mod call;
mod client;
mod fault;
mod replica;
mod request;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use evenkeel_core::entropy::Entropy;

use crate::comparison;
use crate::fleet::{Fleet, Leg, Stage};
use crate::law::Law;
use crate::measure::{Look, Measures, SECOND};
use crate::queue::Queue;
use crate::slab::Slab;
use behaviour::Behaviour;
use call::Call;
use client::Client;
use replica::{Attempt, Replica};
use request::Request;

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A client asks.
    Ask(u32),
    /// An attempt reaches its replica.
    Reach(u32),
    /// A replica has done its own work on an attempt.
    Worked(u32),
    /// An answer reaches its caller.
    Answer(u32),
    /// A timer of a call goes off.
    Wake(u32),
    /// A call is hedged, if its rules are not evenkeel's.
    Hedge(u32),
    /// A fault begins.
    Break(u32),
    /// A fault ends.
    Mend(u32),
    /// An attempt's turn at a server has come, or it waits no longer.
    Turn(u32),
    /// A second is over.
    Look,
}

impl Event {
    /// The event as a number, for the hash.
    #[inline]
    const fn code(self) -> u64 {
        let (kind, id) = match self {
            Self::Ask(id) => (1, id),
            Self::Reach(id) => (2, id),
            Self::Worked(id) => (3, id),
            Self::Answer(id) => (4, id),
            Self::Wake(id) => (5, id),
            Self::Hedge(id) => (6, id),
            Self::Break(id) => (7, id),
            Self::Mend(id) => (8, id),
            Self::Turn(id) => (9, id),
            Self::Look => (10, 0),
        };
        (kind << 32) | id as u64
    }
}

/// The seed of the `nth` part of something that has a seed. Mixed, not just added: two tries of two tiers
/// must not draw what two other tries of them drew.
#[inline]
const fn mixed(seed: u64, nth: u64) -> u64 {
    Entropy::new(seed ^ nth.wrapping_mul(0xD1B5_4A32_D192_ED03)).next_u64()
}

/// A leg as the world knows it: where the memory of its callers lies.
#[derive(Debug)]
struct Route {
    leg: Leg,
    /// The behaviour of the caller's first process; the others follow.
    behaviours: u32,
}

/// A plan as the world knows it.
type Plan = Vec<Vec<Route>>;

/// Tells the world that somebody's turn has come.
#[derive(Debug)]
struct Turn {
    of: Event,
    woken: Arc<Mutex<Vec<Event>>>,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.of);
    }
}

/// Processes whose breakers are looked at each second.
const SAMPLED: usize = 20;

/// Slots that several callers share.
#[derive(Debug)]
struct Pool {
    free: u32,
    /// Calls that wait, with the number of their place's use.
    waiting: VecDeque<(u32, u32)>,
}

/// A fleet at work.
#[derive(Debug)]
pub struct World<'f> {
    fleet: &'f Fleet,
    now: u64,
    queue: Queue<Event>,
    /// What happens at this very instant, before anything else does.
    soon: VecDeque<Event>,
    requests: Slab<Request>,
    calls: Slab<Call>,
    attempts: Slab<Attempt>,
    clients: Vec<Client>,
    /// The plans of the groups, then of the services.
    plans: Vec<Plan>,
    behaviours: Vec<Behaviour>,
    replicas: Vec<Replica>,
    /// The first replica of each service.
    first_replica: Vec<u32>,
    /// Whose turn it is in round robin, by service.
    turn: Vec<u32>,
    pools: Vec<Pool>,
    /// Laws that faults put in place, by fault.
    fault_laws: Vec<Option<Law>>,
    /// How far off the wall clocks are, by the service that is called.
    clock_error: Vec<i64>,
    /// Attempts that arrived since the last look, by service.
    arrived: Vec<u32>,
    dropped: Vec<comparison::server::Job>,
    /// Whose turn has come; their wakers add to it.
    woken: Arc<Mutex<Vec<Event>>>,
    somebody_waits: bool,
    measures: Measures,
}

impl<'f> World<'f> {
    /// The fleet at the beginning, with everything random following from `seed`.
    #[must_use]
    pub fn new(fleet: &'f Fleet, seed: u64) -> Self {
        let root = Entropy::new(seed);
        let (clients, tenants) = client::all(fleet, &root);
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            soon: VecDeque::new(),
            requests: Slab::default(),
            calls: Slab::default(),
            attempts: Slab::default(),
            clients,
            plans: Vec::new(),
            behaviours: Vec::new(),
            replicas: Vec::new(),
            first_replica: Vec::new(),
            turn: vec![0; fleet.services.len()],
            pools: fleet
                .pools
                .iter()
                .map(|size| Pool {
                    free: *size,
                    waiting: VecDeque::new(),
                })
                .collect(),
            fault_laws: vec![None; fleet.faults.len()],
            clock_error: vec![0; fleet.services.len()],
            arrived: vec![0; fleet.services.len()],
            dropped: Vec::new(),
            woken: Arc::default(),
            somebody_waits: false,
            measures: Measures::new(fleet, tenants),
            fleet,
        };
        for group in &fleet.groups {
            world.add_plan(&group.name, &group.plan, group.processes, &root);
        }
        for service in &fleet.services {
            let first = u32::try_from(world.replicas.len()).unwrap_or(u32::MAX);
            world.first_replica.push(first);
            for number in 0..service.replicas {
                let dice = root
                    .split(&service.name)
                    .split(&format!("replica {number}"));
                world.replicas.push(Replica::new(service, tenants, &dice));
            }
            world.add_plan(&service.name, &service.plan, service.replicas, &root);
        }
        for number in 0..u32::try_from(fleet.faults.len()).unwrap_or_default() {
            let fault = &fleet.faults[number as usize];
            world.queue.push(fault.from, Event::Break(number));
            world.queue.push(fault.to, Event::Mend(number));
        }
        for number in 0..u32::try_from(world.clients.len()).unwrap_or_default() {
            world.schedule_ask(number);
        }
        world.queue.push(SECOND, Event::Look);
        world
    }

    fn add_plan(&mut self, owner: &str, plan: &[Stage], processes: u32, root: &Entropy) {
        let mut stages = Plan::new();
        for (number, stage) in plan.iter().enumerate() {
            let mut legs = Vec::new();
            for (place, leg) in stage.iter().enumerate() {
                let behaviours = u32::try_from(self.behaviours.len()).unwrap_or(u32::MAX);
                let service = &self.fleet.services[leg.service].name;
                for process in 0..processes {
                    let name = format!("{owner} {process} calls {service} {number} {place}");
                    let behaviour = Behaviour::new(&leg.caller, &name, root.split(&name));
                    self.behaviours.push(behaviour);
                }
                legs.push(Route {
                    leg: leg.clone(),
                    behaviours,
                });
            }
            stages.push(legs);
        }
        self.plans.push(stages);
    }

    /// Runs to the end and answers what was measured.
    #[must_use]
    pub fn run(mut self) -> Measures {
        while self.step() {}
        self.measures
    }

    /// Runs until `until`, in nanoseconds; true if that is the end.
    pub fn run_until(&mut self, until: u64) -> bool {
        let ends = self.fleet.ends;
        while self.now < until && self.step() {}
        self.now >= ends || self.queue.is_empty()
    }

    /// What was measured so far.
    #[must_use]
    pub const fn measures(&self) -> &Measures {
        &self.measures
    }

    #[inline]
    fn step(&mut self) -> bool {
        let event = match self.soon.pop_front() {
            Some(event) => event,
            None => {
                let Some((at, event)) = self.queue.pop(self.fleet.ends) else {
                    return false;
                };
                self.now = at;
                event
            }
        };
        self.measures.happened(self.now, event.code());
        match event {
            Event::Ask(client) => self.ask(client),
            Event::Reach(attempt) => self.reach(attempt),
            Event::Worked(attempt) => self.worked(attempt),
            Event::Answer(attempt) => self.answered(attempt),
            Event::Wake(call) => self.wake(call),
            Event::Hedge(call) => self.hedge(call),
            Event::Break(fault) => self.fault_begins(fault),
            Event::Mend(fault) => self.fault_ends(fault),
            Event::Turn(attempt) => self.turn(attempt),
            Event::Look => self.look(),
        }
        self.wake_whose_turn_came();
        true
    }

    /// Polls whose turn has come, at a bulkhead or a server.
    #[inline]
    fn wake_whose_turn_came(&mut self) {
        if !self.somebody_waits {
            return;
        }
        // One reference is the world's: without others nobody waits any more, and whoever did until now is in
        // the list.
        self.somebody_waits = Arc::strong_count(&self.woken) > 1;
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        self.soon.extend(woken.drain(..));
    }

    /// What a queue wakes when the turn of `whom` has come.
    fn waker(&mut self, whom: Event) -> Waker {
        self.somebody_waits = true;
        Waker::from(Arc::new(Turn {
            of: whom,
            woken: Arc::clone(&self.woken),
        }))
    }

    /// Looks at everything that changes slowly, once a second.
    fn look(&mut self) {
        let second = usize::try_from(self.now / SECOND - 1).unwrap_or_default();
        for service in 0..self.fleet.services.len() {
            let replicas = self.replicas_of(service);
            let waiting: usize = self.replicas[replicas.clone()]
                .iter()
                .map(Replica::waiting)
                .sum();
            let (open, all) = self.breakers_of(service);
            let look = Look {
                waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
                arrived: core::mem::take(&mut self.arrived[service]),
                limit: self.replicas[replicas.start]
                    .limit()
                    .or_else(|| self.limit_of(service)),
                #[expect(clippy::cast_possible_truncation, reason = "a share")]
                open: (open as f64 / all.max(1) as f64) as f32,
            };
            if let Some(place) = self.measures.looks[service].get_mut(second) {
                *place = look;
            }
        }
        self.queue.push(self.now + SECOND, Event::Look);
    }

    fn replicas_of(&self, service: usize) -> core::ops::Range<usize> {
        let first = self.first_replica[service] as usize;
        first..first + self.fleet.services[service].replicas as usize
    }

    /// How many of the processes that call a service hold calls back, and of how many: a sample of the first.
    fn breakers_of(&self, service: usize) -> (usize, usize) {
        let (mut open, mut all) = (0, 0);
        for behaviour in self.callers_of(service).take(SAMPLED) {
            all += 1;
            open += usize::from(behaviour.is_open(self.now));
        }
        (open, all)
    }

    /// What the first process that calls a service has for an adaptive limit.
    fn limit_of(&self, service: usize) -> Option<u32> {
        self.callers_of(service).next()?.limit(self.now)
    }

    fn callers_of(&self, service: usize) -> impl Iterator<Item = &Behaviour> {
        let groups = self.fleet.groups.iter().map(|group| group.processes);
        let processes = groups.chain(self.fleet.services.iter().map(|service| service.replicas));
        let routes = self
            .plans
            .iter()
            .zip(processes)
            .flat_map(|(plan, processes)| {
                plan.iter().flatten().map(move |route| (route, processes))
            });
        routes
            .filter(move |(route, _)| route.leg.service == service)
            .flat_map(|(route, processes)| {
                let first = route.behaviours as usize;
                &self.behaviours[first..first + processes as usize]
            })
    }
}

#[cfg(test)]
mod tests;
