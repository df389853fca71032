//! Calls: one leg of a request, by the rules of whoever makes it.
//!
//! Two kinds of rules. A [`Policy`](evenkeel_core::policy::Policy) of evenkeel's hands out the machine that production runs, and this
//! module is its driver: it polls, sends, abandons and sets timers, and decides nothing. The comparison
//! clients have no machine, so their retry loop is written out here.

use evenkeel_core::call::{AttemptId, AttemptPermit, Call as Machine, CallHint, Next, Step};
use evenkeel_core::entropy::Entropy;
use evenkeel_core::time::Instant;

use super::answer::Answer;
use super::behaviour::Behaviour;
use super::request::NEVER;
use super::{Event, World};
use crate::comparison::client::{Admits, Client};
use crate::law::unit;
use crate::queue::Timer;

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) request: u32,
    pub(super) stage: u32,
    pub(super) leg: u32,
    /// How often the place of this call was used before: who waits for it elsewhere remembers it.
    use_of_place: u32,
    behaviour: u32,
    pub(super) seed: u64,
    pub(super) attempts: u32,
    pub(super) last_replica: Option<u32>,
    state: Progress,
    timer: Timer,
    timer_at: u64,
    hedge_timer: Timer,
    live: Vec<Live>,
}

/// How far a call has come.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "places of calls are used again, and a machine on the heap would cost an allocation a call"
)]
enum Progress {
    Over,
    /// By a policy of evenkeel's.
    Policy(Machine),
    /// By a comparison client.
    Comparison(Phase),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Attempts are in flight.
    Runs,
    /// Waits for a slot of its pool.
    Queues,
    /// Waits before a retry.
    BacksOff,
}

/// An attempt in flight.
#[derive(Debug)]
struct Live {
    attempt: u32,
    permit: Option<AttemptPermit>,
}

impl World<'_> {
    /// Makes the call of a leg.
    pub(super) fn begin_call(&mut self, request: u32, leg: u32) {
        let stage = self.stage_of(request);
        let owner = &self.requests[request];
        let route = &self.plans[owner.plan as usize][stage][leg as usize];
        let behaviour = route.behaviours + owner.process;
        let place = ((stage as u64) << 20 | u64::from(leg)) + 1;
        let seed = super::mixed(owner.seed, place);
        let deadline = owner.deadline;
        let state = match &self.behaviours[behaviour as usize] {
            Behaviour::Comparison(_) => Progress::Comparison(Phase::Runs),
            Behaviour::Policy(policy) => {
                let mut hint = CallHint::new(seed);
                hint.idempotent = route.leg.idempotent;
                hint.deadline = (deadline < NEVER).then(|| Instant::from_nanos(deadline));
                Progress::Policy(policy.begin(Instant::from_nanos(self.now), hint))
            }
        };
        let by_policy = matches!(state, Progress::Policy(_));
        let id = self.calls.put_with(|used: Option<&mut Call>| {
            let (use_of_place, live) = used.map_or((0, Vec::new()), |used| {
                (
                    used.use_of_place.wrapping_add(1),
                    core::mem::take(&mut used.live),
                )
            });
            Call {
                request,
                stage: u32::try_from(stage).unwrap_or(u32::MAX),
                leg,
                use_of_place,
                behaviour,
                seed,
                attempts: 0,
                last_replica: None,
                state,
                timer: Timer::NONE,
                timer_at: NEVER,
                hedge_timer: Timer::NONE,
                live,
            }
        });
        if by_policy {
            self.drive(id);
        } else {
            self.comparison(behaviour).on_call();
            self.try_once(id, false);
        }
    }

    /// Does what the call's machine says until it has to wait.
    fn drive(&mut self, id: u32) {
        loop {
            let now = Instant::from_nanos(self.now);
            let call = &mut self.calls[id];
            let Progress::Policy(machine) = &mut call.state else {
                return;
            };
            match machine.poll(now) {
                Step::Attempt(permit) => {
                    let until = permit.due().as_nanos();
                    let is_hedge = !call.live.is_empty();
                    self.start_attempt(id, Some(permit), is_hedge, until);
                }
                Step::WaitUntil(at) => return self.set_timer(id, at.as_nanos()),
                Step::AwaitSlot { until } => {
                    let waker = self.waker(Event::Wake(id));
                    let Progress::Policy(machine) = &mut self.calls[id].state else {
                        return;
                    };
                    machine.wake_by(&waker);
                    return self.set_timer(id, until.as_nanos());
                }
                Step::Abandon(attempt) => {
                    if !self.abandon(id, attempt) {
                        return;
                    }
                }
                Step::Reject(_) | Step::GiveUp(_) | Step::TimedOut => {
                    return self.end_call(id, false);
                }
            }
        }
    }

    /// Drops an attempt that outlived its timeout; false if the call is over.
    fn abandon(&mut self, id: u32, attempt: AttemptId) -> bool {
        let call = &mut self.calls[id];
        let has = |live: &Live| live.permit.as_ref().is_some_and(|one| one.id() == attempt);
        let Some(place) = call.live.iter().position(has) else {
            return false;
        };
        let live = call.live.remove(place);
        self.leave(live.attempt);
        let now = Instant::from_nanos(self.now);
        let Progress::Policy(machine) = &mut self.calls[id].state else {
            return false;
        };
        let next = live.permit.map(|permit| machine.on_abandoned(permit, now));
        self.follow(id, next)
    }

    /// Goes on as the machine says; false if the call is over.
    fn follow(&mut self, id: u32, next: Option<Next>) -> bool {
        match next {
            Some(Next::Wait) => return true,
            Some(Next::Done) => self.end_call(id, true),
            Some(Next::Failed(_)) | None => self.end_call(id, false),
        }
        false
    }

    /// An attempt of the call was answered.
    pub(super) fn attempt_ended(&mut self, id: u32, attempt: u32, answer: Answer) {
        let sent = self.attempts[attempt].sent;
        let call = &mut self.calls[id];
        let Some(place) = call.live.iter().position(|live| live.attempt == attempt) else {
            return;
        };
        let live = call.live.remove(place);
        if let Progress::Policy(machine) = &mut call.state {
            let now = Instant::from_nanos(self.now);
            let finished = answer.finished();
            let next = live
                .permit
                .map(|permit| machine.on_finished(permit, now, finished));
            if self.follow(id, next) {
                self.drive(id);
            }
            return;
        }
        let behaviour = call.behaviour;
        let hedged = !call.live.is_empty();
        self.release_slot(id);
        let (now, took) = (self.clock(behaviour, id), self.now - sent);
        if answer == Answer::Success {
            self.comparison(behaviour).on_success(now, took);
            self.end_call(id, true);
        } else {
            self.comparison(behaviour).on_failure(now);
            if !hedged {
                self.retry_or_fail(id);
            }
        }
    }

    /// A timer of the call went off, or its turn came.
    pub(super) fn wake(&mut self, id: u32) {
        let call = &mut self.calls[id];
        if call.timer_at <= self.now {
            call.timer_at = NEVER;
        }
        match call.state {
            Progress::Over => {}
            Progress::Policy(_) => self.drive(id),
            Progress::Comparison(Phase::BacksOff) => self.try_once(id, false),
            // Its request is given up.
            Progress::Comparison(Phase::Queues) => self.end_call(id, false),
            Progress::Comparison(Phase::Runs) => self.timed_out(id),
        }
    }

    /// The attempts of a comparison client took too long.
    fn timed_out(&mut self, id: u32) {
        let behaviour = self.calls[id].behaviour;
        let gives_up = self.requests[self.calls[id].request].deadline <= self.now;
        while let Some(live) = self.calls[id].live.pop() {
            self.leave(live.attempt);
            self.release_slot(id);
        }
        let now = self.clock(behaviour, id);
        self.comparison(behaviour).on_failure(now);
        if gives_up {
            self.end_call(id, false);
        } else {
            self.retry_or_fail(id);
        }
    }

    /// Makes an attempt by the rules of a comparison client.
    fn try_once(&mut self, id: u32, is_hedge: bool) {
        let behaviour = self.calls[id].behaviour;
        let now = self.clock(behaviour, id);
        let client = self.comparison(behaviour);
        let admits = if is_hedge {
            Admits::Yes
        } else {
            client.admits(now)
        };
        let (timeout, pool) = (client.config.timeout, client.config.pool);
        let deadline = self.requests[self.calls[id].request].deadline;
        match admits {
            Admits::Yes if self.now < deadline => {}
            Admits::HeldBack if self.now < deadline => {
                self.calls[id].attempts += 1;
                return self.retry_or_fail(id);
            }
            _ => return self.end_call(id, false),
        }
        if let Some(pool) = pool {
            let slots = &mut self.pools[pool.pool];
            if slots.free == 0 {
                if !pool.waits {
                    return self.end_call(id, false);
                }
                let call = &mut self.calls[id];
                slots.waiting.push_back((id, call.use_of_place));
                call.state = Progress::Comparison(Phase::Queues);
                return self.set_timer(id, deadline);
            }
            slots.free -= 1;
        }
        self.start_comparison(id, is_hedge, timeout, deadline);
    }

    fn start_comparison(&mut self, id: u32, is_hedge: bool, timeout: Option<u64>, deadline: u64) {
        self.calls[id].state = Progress::Comparison(Phase::Runs);
        // Who does not send its deadline on does not know of it while an attempt runs.
        let bound = if self.sends_deadline(id) {
            deadline
        } else {
            NEVER
        };
        let until = timeout.map_or(bound, |timeout| bound.min(self.now + timeout));
        if !is_hedge {
            // Without a timeout nobody looks at the clock while an attempt runs.
            self.set_timer(id, if timeout.is_some() { until } else { NEVER });
            let (behaviour, now) = (self.calls[id].behaviour, self.now);
            if let Some(after) = self.comparison(behaviour).hedge_delay(now) {
                let timer = self.queue.push_timer(now + after, Event::Hedge(id));
                self.calls[id].hedge_timer = timer;
            }
        }
        self.start_attempt(id, None, is_hedge, until);
    }

    fn sends_deadline(&self, id: u32) -> bool {
        let call = &self.calls[id];
        let plan = self.requests[call.request].plan as usize;
        self.plans[plan][call.stage as usize][call.leg as usize]
            .leg
            .sends_deadline
    }

    /// A comparison client's call is hedged, if it pays for it.
    pub(super) fn hedge(&mut self, id: u32) {
        self.calls[id].hedge_timer = Timer::NONE;
        if !matches!(self.calls[id].state, Progress::Comparison(Phase::Runs)) {
            return;
        }
        let behaviour = self.calls[id].behaviour;
        if self.comparison(behaviour).pays_for_hedge() {
            self.try_once(id, true);
        }
    }

    fn retry_or_fail(&mut self, id: u32) {
        let (behaviour, attempts) = (self.calls[id].behaviour, self.calls[id].attempts);
        let client = self.comparison(behaviour);
        if attempts > client.config.retries || !client.pays_for_retry() {
            return self.end_call(id, false);
        }
        let delay = client.delay(attempts);
        if delay == 0 {
            return self.try_once(id, false);
        }
        self.calls[id].state = Progress::Comparison(Phase::BacksOff);
        let at = self.now + delay;
        self.set_timer(id, at);
    }

    fn start_attempt(
        &mut self,
        id: u32,
        permit: Option<AttemptPermit>,
        is_hedge: bool,
        until: u64,
    ) {
        self.calls[id].attempts += 1;
        let owner = &self.requests[self.calls[id].request];
        if let super::request::Caller::Client(_) = owner.caller {
            self.measures
                .attempted(owner.plan as usize, self.now, is_hedge);
        }
        // The attempt must be known before it is sent: its answer may be near.
        let place = self.calls[id].live.len();
        self.calls[id].live.push(Live {
            attempt: u32::MAX,
            permit,
        });
        let attempt = self.send(id, until);
        self.calls[id].live[place].attempt = attempt;
    }

    /// Ends a call: whatever it still holds is given back.
    fn end_call(&mut self, id: u32, succeeded: bool) {
        let now = Instant::from_nanos(self.now);
        while let Some(live) = self.calls[id].live.pop() {
            self.leave(live.attempt);
            match (live.permit, &mut self.calls[id].state) {
                (Some(permit), Progress::Policy(machine)) if succeeded => {
                    machine.on_abandoned(permit, now);
                }
                (Some(permit), _) => {
                    permit.abandon(now, false);
                }
                (None, _) => self.release_slot(id),
            }
        }
        let call = &mut self.calls[id];
        call.state = Progress::Over;
        let (request, leg) = (call.request, call.leg);
        let (timer, hedge) = (call.timer, call.hedge_timer);
        self.queue.cancel(timer);
        self.queue.cancel(hedge);
        self.calls.give_back(id);
        self.call_ended(request, leg, succeeded);
    }

    /// Gives a slot of the call's pool to who waits for it longest.
    fn release_slot(&mut self, id: u32) {
        let behaviour = self.calls[id].behaviour;
        let Some(pool) = self.comparison(behaviour).config.pool else {
            return;
        };
        loop {
            let slots = &mut self.pools[pool.pool];
            let Some((next, use_of_place)) = slots.waiting.pop_front() else {
                slots.free += 1;
                return;
            };
            let waiting = &self.calls[next];
            let still = waiting.use_of_place == use_of_place
                && matches!(waiting.state, Progress::Comparison(Phase::Queues));
            if still {
                let (behaviour, request) = (waiting.behaviour, waiting.request);
                let deadline = self.requests[request].deadline;
                let timeout = self.comparison(behaviour).config.timeout;
                return self.start_comparison(next, false, timeout, deadline);
            }
        }
    }

    fn set_timer(&mut self, id: u32, at: u64) {
        let call = &mut self.calls[id];
        if call.timer_at == at {
            return;
        }
        self.queue.cancel(call.timer);
        call.timer = Timer::NONE;
        call.timer_at = at;
        if at >= self.fleet.ends {
            return;
        }
        let slack = self.requests[call.request].timer_slack;
        let late = if slack == 0 {
            0
        } else {
            let mut dice = Entropy::new(call.seed ^ at).split("slack");
            crate::law::whole(unit(dice.next_u64()) * slack as f64)
        };
        call.timer = self.queue.push_timer(at + late, Event::Wake(id));
    }

    fn comparison(&mut self, behaviour: u32) -> &mut Client {
        match &mut self.behaviours[behaviour as usize] {
            Behaviour::Comparison(client) => client,
            Behaviour::Policy(_) => unreachable!("a comparison client's call has one"),
        }
    }

    /// The time as the client's breaker has it, which may look at a wall clock.
    fn clock(&self, behaviour: u32, id: u32) -> u64 {
        let Behaviour::Comparison(client) = &self.behaviours[behaviour as usize] else {
            return self.now;
        };
        if !client
            .config
            .breaker
            .is_some_and(|breaker| breaker.wall_clock)
        {
            return self.now;
        }
        let call = &self.calls[id];
        let plan = self.requests[call.request].plan as usize;
        let leg = &self.plans[plan][call.stage as usize][call.leg as usize].leg;
        // Wall clocks count from long ago, so that an hour back is not before their beginning.
        let epoch = 1_000_000_000_000_000;
        (self.now + epoch).saturating_add_signed(self.clock_error[leg.service])
    }
}
