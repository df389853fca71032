//! Who waits for a worker, who is next, and who has waited in vain.
//!
//! In order of importance, from the outside in: the [class](crate::criticality) decides, save that one turn
//! in a hundred goes to the least class but batch; within it the tenant that was served least for its
//! weight; within its requests the [`plan`]. Shares of tenants are kept by start tags in virtual time,
//! which is what deficit round robin comes to when its rounds are made infinitely fine: no rounds to turn,
//! and no tenant waits for the quantum of another. A request costs what it declares, or a mean service; when it
//! ends, its tenant's tag is put right by what it took, within bounds.
//!
//! The queue is bounded by what it could ever serve: the window, two rounds of the workers, and what a wave that passes
//! needs. Who does not fit is refused at once, while there is time to ask somewhere else, and it is never the newcomer but the
//! oldest request of the tenant with the longest queue for its weight, in the least class.
//!
//! Sources: windows and floor are our own ([`plan`]); start-time fair queueing is Goyal, Vin and Cheng (1996).

mod flow;
pub(crate) mod law;
pub(crate) mod plan;

use core::task::Waker;
use std::collections::{BTreeMap, BTreeSet};

use flow::Flow;
use plan::Plan;

use crate::criticality::Criticality;
use crate::time::Instant;

/// One turn in this many goes to the least class that is not batch.
const FLOOR_TURN: u64 = 100;

/// Tenants whose turn is remembered although none of their requests waits.
const IDLE_FLOWS: usize = 1024;

/// A tenant that had nothing waiting comes before the others with this many requests: it may make up in a burst for
/// what it did not use.
const CREDIT: u64 = 16;

/// What a tenant took too little or too much is put right up to this many nanoseconds of worker time.
const CORRECTION_MAX: u64 = 1_000_000_000;

/// A place in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WaiterId(u64);

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    pub(crate) class: Criticality,
    pub(crate) tenant: u64,
    pub(crate) weight: u32,
    pub(crate) group: u8,
    /// Nanoseconds of a worker.
    pub(crate) cost: u64,
    pub(crate) waker: Option<Waker>,
}

/// Everybody who waits.
#[derive(Debug)]
pub(crate) struct Queue {
    waiters: BTreeMap<WaiterId, Waiter>,
    classes: [Class; Criticality::ALL.len()],
    plan: Plan,
    last: u64,
    turns: u64,
}

#[derive(Debug, Default)]
struct Class {
    flows: BTreeMap<u64, Flow>,
    /// Tenants with requests that wait, by tag.
    turn: BTreeSet<(u64, u64)>,
    /// Tenants without, that were begun ahead of the others.
    idle: BTreeSet<(u64, u64)>,
    /// The tag of who was begun last.
    virtual_time: u64,
    /// By how much a tenant that had nothing waiting comes before it.
    credit: u64,
    waiting: usize,
    /// The weights of the tenants in turn, together.
    weight: u64,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            waiters: BTreeMap::new(),
            classes: core::array::from_fn(|_| Class::default()),
            plan: Plan::UNKNOWN,
            last: 0,
            turns: 0,
        }
    }

    pub(crate) fn set_plan(&mut self, plan: Plan) {
        self.plan = plan;
    }

    pub(crate) const fn plan(&self) -> Plan {
        self.plan
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Since when who has waited longest waits.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.waiters.first_key_value().map(|(_, first)| first.since)
    }

    pub(crate) fn push(&mut self, waiter: Waiter) -> WaiterId {
        self.last += 1;
        let id = WaiterId(self.last);
        let class = &mut self.classes[waiter.class.index()];
        class.push(id, &waiter);
        self.waiters.insert(id, waiter);
        id
    }

    pub(crate) fn get_mut(&mut self, id: WaiterId) -> Option<&mut Waiter> {
        self.waiters.get_mut(&id)
    }

    /// Takes a waiter out who has not been begun.
    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        self.classes[waiter.class.index()].remove(id, &waiter);
        Some(waiter)
    }

    /// Whoever waits beyond what could be served: refuse them, one by one, until there is none.
    pub(crate) fn pop_excess(&mut self) -> Option<(WaiterId, Waiter)> {
        if self.waiters.len() <= self.plan.waiting {
            return None;
        }
        let class = self.classes.iter_mut().find(|class| class.waiting > 0)?;
        let longest = class.longest()?;
        let flow = class.flows.get_mut(&longest)?;
        flow.exceeds = true;
        let id = flow.oldest()?;
        self.remove(id).map(|waiter| (id, waiter))
    }

    /// Who is next among those whose group may use a worker; or who is no longer worth one, if that is who it would
    /// be.
    pub(crate) fn pop(&mut self, now: Instant, admits: impl Fn(u8) -> bool) -> Option<Next> {
        let class = self.class_in_turn(&admits)?;
        let waiters = &self.waiters;
        let deadline_of = |id| {
            let waiter: Option<&Waiter> = waiters.get(&id);
            waiter.map_or(Instant::MAX, |waiter| waiter.deadline)
        };
        let (id, alone) = self.classes[class].first(self.plan.window, &admits, deadline_of)?;
        let waiter = self.waiters.get(&id)?;
        let floor = if alone {
            self.plan.lenient
        } else {
            self.plan.floor
        };
        let in_time = waiter.deadline.nanos_since(now) > floor;
        if in_time {
            self.turns += 1;
            self.classes[class].begin(waiter);
        }
        let waiter = self.remove(id)?;
        Some(if in_time {
            Next::Begin(id, waiter)
        } else {
            Next::TooLate(id, waiter)
        })
    }

    /// Puts right what a request took against what it was thought to cost, in nanoseconds of a worker.
    pub(crate) fn correct(&mut self, class: Criticality, tenant: u64, thought: u64, took: u64) {
        self.classes[class.index()].correct(tenant, thought, took);
    }

    fn class_in_turn(&self, admits: impl Fn(u8) -> bool) -> Option<usize> {
        let waiting = |class: &usize| self.classes[*class].in_turn(&admits).is_some();
        let highest = (0..self.classes.len()).rev().find(waiting)?;
        if self.turns % FLOOR_TURN == FLOOR_TURN - 1 {
            let least = (Criticality::Low.index()..=highest).find(waiting);
            return least.or(Some(highest));
        }
        Some(highest)
    }
}

/// What [`Queue::pop`] found.
#[derive(Debug)]
pub(crate) enum Next {
    /// Give this one a worker.
    Begin(WaiterId, Waiter),
    /// Refuse this one.
    TooLate(WaiterId, Waiter),
}

impl Class {
    fn push(&mut self, id: WaiterId, waiter: &Waiter) {
        self.credit = CREDIT.saturating_mul(waiter.cost) / u64::from(waiter.weight.max(1));
        let earliest = self.virtual_time.saturating_sub(self.credit);
        let flow = self.flows.entry(waiter.tenant);
        let flow = flow.or_insert_with(|| Flow::new(earliest));
        if flow.len() == 0 {
            self.idle.remove(&(flow.tag, waiter.tenant));
            flow.tag = flow.tag.max(earliest);
            flow.weight = waiter.weight.max(1);
            flow.exceeds = false;
            flow.group = waiter.group;
            self.weight += u64::from(flow.weight);
            self.turn.insert((flow.tag, waiter.tenant));
        }
        flow.push(id, waiter.deadline);
        self.waiting += 1;
    }

    fn remove(&mut self, id: WaiterId, waiter: &Waiter) {
        let Some(flow) = self.flows.get_mut(&waiter.tenant) else {
            return;
        };
        flow.remove(id, waiter.deadline);
        self.waiting -= 1;
        if flow.len() == 0 {
            self.turn.remove(&(flow.tag, waiter.tenant));
            self.weight -= u64::from(flow.weight);
            self.idle.insert((flow.tag, waiter.tenant));
            self.forget_idle();
        }
    }

    /// The tenant whose turn it is.
    fn in_turn(&self, admits: impl Fn(u8) -> bool) -> Option<u64> {
        let tenants = self.turn.iter().map(|(_, tenant)| *tenant);
        let admitted = |tenant: &u64| {
            self.flows
                .get(tenant)
                .is_some_and(|flow| admits(flow.group))
        };
        tenants.into_iter().find(admitted)
    }

    /// Of the tenant in turn, whose turn it is; and whether it keeps within its share while others do not.
    fn first(
        &mut self,
        window: usize,
        admits: impl Fn(u8) -> bool,
        deadline_of: impl Fn(WaiterId) -> Instant,
    ) -> Option<(WaiterId, bool)> {
        let tenant = self.in_turn(admits)?;
        let flow = self.flows.get_mut(&tenant)?;
        let weight = u64::from(flow.weight);
        let modest = !flow.exceeds && self.weight > weight;
        // Each tenant has its part of the window, and one place at least. One that was not found to have more
        // waiting than its share is served in order: the excess is not its own.
        let part = if modest {
            usize::MAX
        } else {
            let part = window as u64 * weight / self.weight.max(1);
            usize::try_from(part).unwrap_or(usize::MAX).max(1)
        };
        flow.resize(part, deadline_of);
        flow.first().map(|first| (first, modest))
    }

    /// The tenant with the longest queue for its weight.
    fn longest(&self) -> Option<u64> {
        let waiting = |tenant: &u64| {
            let flow = self.flows.get(tenant)?;
            Some((*tenant, flow.len() as u64, u64::from(flow.weight)))
        };
        let waiting = self.turn.iter().filter_map(|(_, tenant)| waiting(tenant));
        let longest = waiting.reduce(|longest, other| {
            let is_longer = other.1 * longest.2 > longest.1 * other.2;
            if is_longer { other } else { longest }
        });
        longest.map(|(tenant, ..)| tenant)
    }

    fn begin(&mut self, waiter: &Waiter) {
        let tag = self.flows.get(&waiter.tenant).map_or(0, |flow| flow.tag);
        self.virtual_time = self.virtual_time.max(tag);
        let cost = waiter.cost / u64::from(waiter.weight.max(1));
        self.move_tag(waiter.tenant, |tag| tag.saturating_add(cost));
    }

    fn correct(&mut self, tenant: u64, thought: u64, took: u64) {
        let least = self.virtual_time.saturating_sub(self.credit);
        let weight = self.flows.get(&tenant).map_or(1, |flow| flow.weight.max(1));
        let (more, less) = (took.saturating_sub(thought), thought.saturating_sub(took));
        let bounded = |nanos: u64| nanos.min(CORRECTION_MAX) / u64::from(weight);
        self.move_tag(tenant, |tag| {
            let most = least.saturating_add(CORRECTION_MAX).max(tag);
            let added = tag.saturating_add(bounded(more)).min(most);
            added.saturating_sub(bounded(less)).max(least)
        });
    }

    fn move_tag(&mut self, tenant: u64, to: impl FnOnce(u64) -> u64) {
        let Some(flow) = self.flows.get_mut(&tenant) else {
            return;
        };
        let set = if flow.len() == 0 {
            &mut self.idle
        } else {
            &mut self.turn
        };
        set.remove(&(flow.tag, tenant));
        flow.tag = to(flow.tag);
        set.insert((flow.tag, tenant));
    }

    /// Tenants whom time has caught up with are as good as new; beyond the bound, time catches up.
    fn forget_idle(&mut self) {
        while let Some(&(tag, tenant)) = self.idle.first() {
            let caught_up = tag.saturating_add(self.credit) <= self.virtual_time;
            if !caught_up && self.idle.len() <= IDLE_FLOWS {
                return;
            }
            self.virtual_time = self.virtual_time.max(tag);
            self.idle.remove(&(tag, tenant));
            self.flows.remove(&tenant);
        }
    }
}

#[cfg(test)]
#[cfg(not(evenkeel_loom))]
mod tests;
