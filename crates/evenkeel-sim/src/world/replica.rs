//! Where attempts arrive, wait, are worked on and are answered.

use evenkeel_core::entropy::Entropy;

use super::admitting::Admitting;
use super::answer::Answer;
use super::{Event, World};
use crate::comparison::server::{self, Job};
use crate::fleet::{Balancer, Failure, Server, Service};
use crate::law::unit;

/// An attempt, from its sending until nobody needs to know of it.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The call it belongs to, if that still waits for it.
    pub(super) call: Option<u32>,
    pub(super) service: u32,
    pub(super) replica: u32,
    pub(super) seed: u64,
    pub(super) sent: u64,
    arrived: u64,
    began: u64,
    /// When whoever works on it stops; `u64::MAX`: never.
    pub(super) deadline: u64,
    pub(super) expires: u64,
    pub(super) tenant: u32,
    pub(super) stage: Stage,
    answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Travels,
    Waits,
    IsServed,
    Answered,
    /// It will never be answered; nothing refers to it but its call.
    Lost,
}

/// One of the equal ones of a service.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) line: Line,
    workers: u32,
    all_workers: u32,
    busy: u32,
    /// Attempts sent here and not answered, for the balancers.
    pub(super) outstanding: u32,
    /// What rejections cost and nobody has paid for yet, in nanoseconds of work.
    pub(super) debt: u64,
    pub(super) slow: Option<f64>,
    /// The fault whose law holds.
    pub(super) law: Option<u32>,
    /// Nothing is begun before this.
    pub(super) stalled_until: u64,
    /// Everything fails after this long.
    pub(super) error: Option<u64>,
    pub(super) down: bool,
    pub(super) cut_off: bool,
}

/// Who waits.
#[derive(Debug)]
pub(super) enum Line {
    Comparison(Box<server::Server>),
    Admission(Box<Admitting>),
    /// Nobody ever does: there are as many workers as needed.
    None,
}

impl Replica {
    pub(super) fn new(service: &Service, tenants: u32, dice: &Entropy) -> Self {
        let workers = service.workers.unwrap_or(u32::MAX);
        let line = match &service.server {
            Server::Admission(config) => {
                Line::Admission(Box::new(Admitting::new((**config).clone(), &service.name)))
            }
            Server::Comparison(_) if workers == u32::MAX => Line::None,
            Server::Comparison(config) => {
                let (mean, dice) = (service.law.mean(), dice.split("server"));
                let queue = server::Server::new(config.clone(), workers, tenants, mean, dice);
                Line::Comparison(Box::new(queue))
            }
        };
        Self {
            line,
            workers,
            all_workers: workers,
            busy: 0,
            outstanding: 0,
            debt: 0,
            slow: None,
            law: None,
            stalled_until: 0,
            error: None,
            down: false,
            cut_off: false,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        match &self.line {
            Line::Comparison(queue) => queue.waiting(),
            Line::Admission(admitting) => admitting.waiting(),
            Line::None => 0,
        }
    }

    pub(super) fn limit(&self) -> Option<u32> {
        match &self.line {
            Line::Comparison(queue) => queue.limit(),
            Line::Admission(_) | Line::None => None,
        }
    }

    /// This many workers are left; none: all of them.
    pub(super) fn set_workers(&mut self, left: Option<u32>, now: u64) {
        self.workers = left.unwrap_or(self.all_workers).min(self.all_workers);
        if let Line::Admission(admitting) = &self.line {
            admitting.resize(self.workers, now);
        }
    }
}

impl World<'_> {
    /// Sends an attempt on its way to a replica; answers its number.
    pub(super) fn send(&mut self, call: u32, until: u64) -> u32 {
        let slot = &self.calls[call];
        let request = &self.requests[slot.request];
        let route = &self.plans[request.plan as usize][slot.stage as usize][slot.leg as usize];
        let service = route.leg.service;
        let deadline = if route.leg.sends_deadline {
            request.deadline.min(until).min(request.expires)
        } else {
            u64::MAX
        };
        let number = u64::from(slot.attempts);
        let seed = super::mixed(slot.seed, number);
        let (expires, tenant) = (request.expires, request.tenant);
        let avoid = slot.last_replica;
        let replica = self.choose(service, seed, tenant, avoid);
        let id = self.attempts.put(Attempt {
            call: Some(call),
            service: u32::try_from(service).unwrap_or(u32::MAX),
            replica,
            seed,
            sent: self.now,
            arrived: self.now,
            began: self.now,
            deadline,
            expires,
            tenant,
            stage: Stage::Travels,
            answer: Answer::Error,
        });
        self.calls[call].last_replica = Some(replica);
        self.replicas[replica as usize].outstanding += 1;
        let spec = &self.fleet.services[service];
        let lost = self.replicas[replica as usize].cut_off
            || spec.loss > 0.0 && unit(Entropy::new(seed).split("loss").next_u64()) < spec.loss;
        if lost {
            self.attempts[id].stage = Stage::Lost;
        } else if let Some(latency) = &spec.latency {
            let after = latency.draw(&mut Entropy::new(seed).split("there"));
            self.queue.push(self.now + after, Event::Reach(id));
        } else {
            self.reach(id);
        }
        id
    }

    fn choose(&mut self, service: usize, seed: u64, tenant: u32, avoid: Option<u32>) -> u32 {
        let spec = &self.fleet.services[service];
        let (first, count) = (self.first_replica[service], spec.replicas);
        if count == 1 {
            return first;
        }
        let mut dice = Entropy::new(seed).split("balancer");
        // Another attempt of the same call goes elsewhere.
        let others = u64::from(count) - u64::from(avoid.is_some());
        let mut any = || {
            let drawn = u32::try_from(dice.between(0, others - 1)).unwrap_or_default();
            let skips = avoid.is_some_and(|avoid| first + drawn >= avoid);
            first + drawn + u32::from(skips)
        };
        match spec.balancer {
            Balancer::Random => any(),
            Balancer::RoundRobin => {
                self.turn[service] = (self.turn[service] + 1) % count;
                first + self.turn[service]
            }
            Balancer::TwoChoices => {
                let (one, other) = (any(), any());
                self.less_to_do(one, other)
            }
            Balancer::ShuffleShard => {
                let mut shard = Entropy::new(u64::from(tenant)).split("shard");
                let one = shard.between(0, u64::from(count) - 1);
                let other = (one + 1 + shard.between(0, u64::from(count) - 2)) % u64::from(count);
                let place = |drawn: u64| first + u32::try_from(drawn).unwrap_or_default();
                self.less_to_do(place(one), place(other))
            }
        }
    }

    fn less_to_do(&self, one: u32, other: u32) -> u32 {
        let load = |replica: u32| self.replicas[replica as usize].outstanding;
        if load(other) < load(one) { other } else { one }
    }

    /// An attempt arrived.
    pub(super) fn reach(&mut self, id: u32) {
        let attempt = &mut self.attempts[id];
        attempt.arrived = self.now;
        let (service, place) = (attempt.service as usize, attempt.replica);
        let stale = u64::from(self.now > attempt.expires);
        self.arrived[service] += 1;
        self.measures.work(service, self.now, |work| {
            work.arrived += 1;
            work.stale += stale;
        });
        let replica = &mut self.replicas[place as usize];
        if replica.down {
            return self.answer_soon(id, Answer::NotSent);
        }
        if let Some(after) = replica.error {
            attempt.answer = Answer::Error;
            attempt.stage = Stage::Answered;
            self.queue.push(self.now + after, Event::Answer(id));
            return;
        }
        let spec = &self.fleet.services[service];
        attempt.stage = Stage::Waits;
        let queue = match &mut replica.line {
            Line::Comparison(queue) => queue,
            Line::Admission(_) => return self.ask_admission(id),
            Line::None => {
                let wait = replica.stalled_until.saturating_sub(self.now);
                return self.begin_work(id, wait);
            }
        };
        let needs = match &spec.server {
            Server::Comparison(config) if config.rule == server::Rule::Clairvoyant => {
                spec.law.draw(&mut Entropy::new(attempt.seed).split("work"))
            }
            _ => 0,
        };
        let deadline = attempt.deadline;
        let (arrived, tenant) = (self.now, attempt.tenant);
        let job = Job {
            attempt: id,
            arrived,
            deadline,
            tenant,
            needs,
        };
        if !queue.offer(job, self.now) {
            return self.reject(id);
        }
        let waiting = queue.waiting() as u64;
        let longest = &mut self.measures.longest_queue[service];
        *longest = waiting.max(*longest);
        self.dispatch(place);
    }

    pub(super) fn reject(&mut self, id: u32) {
        let attempt = &self.attempts[id];
        let (service, place) = (attempt.service as usize, attempt.replica as usize);
        self.replicas[place].debt += self.fleet.services[service].reject_cost;
        self.measures
            .work(service, self.now, |work| work.rejected += 1);
        self.answer_soon(id, Answer::Rejected);
    }

    /// Gives free workers something to do.
    pub(super) fn dispatch(&mut self, place: u32) {
        loop {
            let replica = &mut self.replicas[place as usize];
            if replica.busy >= replica.workers || self.now < replica.stalled_until || replica.down {
                return;
            }
            let Line::Comparison(queue) = &mut replica.line else {
                return;
            };
            let mut dropped = core::mem::take(&mut self.dropped);
            let next = queue.next(self.now, &mut dropped);
            for job in dropped.drain(..) {
                if self.attempts[job.attempt].call.is_none() {
                    self.forget(job.attempt);
                } else {
                    self.reject(job.attempt);
                }
            }
            self.dropped = dropped;
            let Some(job) = next else { return };
            if self.attempts[job.attempt].stage == Stage::Lost {
                // Taken out of the queue by its caller.
                let replica = &mut self.replicas[place as usize];
                if let Line::Comparison(queue) = &mut replica.line {
                    queue.leaves(&job);
                }
                self.forget(job.attempt);
                continue;
            }
            let replica = &mut self.replicas[place as usize];
            replica.busy += 1;
            let debt = core::mem::take(&mut replica.debt);
            self.begin_work(job.attempt, debt);
        }
    }

    pub(super) fn begin_work(&mut self, id: u32, debt: u64) {
        let attempt = &mut self.attempts[id];
        attempt.stage = Stage::IsServed;
        attempt.began = self.now;
        let service = attempt.service as usize;
        let spec = &self.fleet.services[service];
        let replica = &self.replicas[attempt.replica as usize];
        let mut dice = Entropy::new(attempt.seed).split("work");
        let faulty = replica
            .law
            .and_then(|fault| self.fault_laws[fault as usize].as_ref());
        let mut takes = faulty.unwrap_or(&spec.law).draw(&mut dice);
        attempt.answer = Answer::Success;
        let fails = |failure: &Failure| unit(dice.next_u64()) < failure.share;
        if let Some(failure) = spec.failure.filter(fails) {
            let Some(after) = failure.after else {
                attempt.stage = Stage::Lost;
                return;
            };
            attempt.answer = Answer::Error;
            takes = after;
        }
        if let Some(factor) = replica.slow {
            takes = crate::law::whole(takes as f64 * factor);
        }
        self.measures
            .work(service, self.now, |work| work.busy += takes);
        self.queue.push(self.now + takes + debt, Event::Worked(id));
    }

    /// The replica's own work on an attempt is done.
    pub(super) fn worked(&mut self, id: u32) {
        let attempt = &self.attempts[id];
        if attempt.stage == Stage::Lost {
            // Its replica crashed meanwhile.
            return self.forget(id);
        }
        let service = attempt.service as usize;
        if attempt.answer == Answer::Success && !self.fleet.services[service].plan.is_empty() {
            let (service, place) = (attempt.service, attempt.replica);
            let process = place - self.first_replica[service as usize];
            return self.begin_inner_request(id, service, process);
        }
        self.served(id);
    }

    /// The request that a replica made for an attempt has ended.
    pub(super) fn inner_request_ended(&mut self, id: u32, succeeded: bool) {
        if self.attempts[id].stage == Stage::Lost {
            return self.forget(id);
        }
        if !succeeded {
            self.attempts[id].answer = Answer::Error;
        }
        self.served(id);
    }

    fn served(&mut self, id: u32) {
        let attempt = &mut self.attempts[id];
        attempt.stage = Stage::Answered;
        let (service, place) = (attempt.service as usize, attempt.replica);
        let zombie = u64::from(attempt.call.is_none());
        let succeeded = attempt.answer == Answer::Success;
        self.measures.work(service, self.now, |work| {
            work.served += 1;
            work.zombies += zombie;
        });
        let replica = &mut self.replicas[place as usize];
        if let Line::Comparison(queue) = &mut replica.line {
            replica.busy -= 1;
            let job = Job {
                attempt: id,
                arrived: attempt.arrived,
                deadline: attempt.deadline,
                tenant: attempt.tenant,
                needs: 0,
            };
            queue.served(&job, self.now - attempt.began, self.now);
        } else if let Line::Admission(admitting) = &mut replica.line {
            admitting.served(id, self.now, succeeded);
        }
        if let Some(latency) = &self.fleet.services[service].latency {
            let after = latency.draw(&mut Entropy::new(attempt.seed).split("back"));
            self.queue.push(self.now + after, Event::Answer(id));
        } else {
            self.answered(id);
        }
        self.dispatch(place);
    }

    /// Answers without work, but not from within what the caller is doing.
    fn answer_soon(&mut self, id: u32, answer: Answer) {
        let attempt = &mut self.attempts[id];
        attempt.answer = answer;
        attempt.stage = Stage::Answered;
        self.soon.push_back(Event::Answer(id));
    }

    /// An answer arrived.
    pub(super) fn answered(&mut self, id: u32) {
        let attempt = &self.attempts[id];
        let (answer, call) = (attempt.answer, attempt.call);
        if let Some(call) = call {
            self.attempt_ended(call, id, answer);
        }
        self.forget(id);
    }

    /// The caller no longer waits for an attempt.
    pub(super) fn leave(&mut self, id: u32) {
        let attempt = &mut self.attempts[id];
        let cancels = self.fleet.services[attempt.service as usize].notices_leaving;
        attempt.call = None;
        match attempt.stage {
            // Nothing else refers to it.
            Stage::Lost => self.forget(id),
            Stage::Waits if cancels => {
                attempt.stage = Stage::Lost;
                self.leave_admission(id);
            }
            _ => {}
        }
    }

    pub(super) fn forget(&mut self, id: u32) {
        let attempt = &mut self.attempts[id];
        attempt.stage = Stage::Answered;
        let replica = attempt.replica;
        self.replicas[replica as usize].outstanding -= 1;
        self.attempts.give_back(id);
    }

    /// A replica goes down: what waits there, and what it works on, is lost.
    pub(super) fn crash(&mut self, place: u32) {
        let replica = &mut self.replicas[place as usize];
        replica.down = true;
        replica.busy = 0;
        let mut lost = Vec::new();
        if let Line::Comparison(queue) = &mut replica.line {
            queue.crash(&mut lost);
        }
        let turned_away = match &mut replica.line {
            Line::Admission(admitting) => admitting.crash(),
            _ => Vec::new(),
        };
        for (id, timer) in turned_away {
            self.queue.cancel(timer);
            self.answer_soon(id, Answer::NotSent);
        }
        for job in lost {
            if self.attempts[job.attempt].call.is_none() {
                self.forget(job.attempt);
            } else {
                self.answer_soon(job.attempt, Answer::NotSent);
            }
        }
        for id in 0..self.attempts.places() {
            let attempt = &mut self.attempts[id];
            if attempt.replica != place || attempt.stage != Stage::IsServed {
                continue;
            }
            // Its work still ends, somewhere, and then nothing comes of it.
            attempt.stage = Stage::Lost;
            if let Some(call) = attempt.call.take() {
                self.attempt_ended(call, id, Answer::Reset);
            }
        }
    }
}
