//! Requests: what a client, or a service on behalf of one, has to get done.

use super::World;
use crate::measure::Ending;

/// A request on its way through its plan.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) plan: u32,
    stage: u32,
    /// Calls of this stage that have not ended.
    pending: u32,
    failed: bool,
    degraded: bool,
    /// Which of the processes that walk through this plan.
    pub(super) process: u32,
    pub(super) caller: Caller,
    begun: u64,
    /// When whoever walks through the plan stops; `u64::MAX`: never.
    pub(super) deadline: u64,
    /// When the answer is of no use to the client at the root.
    pub(super) expires: u64,
    pub(super) seed: u64,
    pub(super) tenant: u32,
    pub(super) timer_slack: u64,
}

/// Whom a request is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller {
    /// A client.
    Client(u32),
    /// An attempt that a replica works on.
    Attempt(u32),
}

/// Beyond any instant of a simulation.
pub(super) const NEVER: u64 = u64::MAX;

impl World<'_> {
    /// A client asks for the plan of its group.
    pub(super) fn begin_request(
        &mut self,
        client: u32,
        (group, place, tenant): (u32, u32, u32),
        seed: u64,
    ) {
        let spec = &self.fleet.groups[group as usize];
        let expires = spec.deadline.map_or(NEVER, |given| self.now + given);
        self.measures.came(group as usize, tenant, self.now);
        let request = Request {
            plan: group,
            stage: 0,
            pending: 0,
            failed: false,
            degraded: false,
            process: place % spec.processes,
            caller: Caller::Client(client),
            begun: self.now,
            deadline: if spec.gives_up { expires } else { NEVER },
            expires,
            seed,
            tenant,
            timer_slack: spec.timer_slack,
        };
        let request = self.requests.put(request);
        self.advance(request);
    }

    /// A replica walks through the plan of its service for an attempt.
    pub(super) fn begin_inner_request(&mut self, attempt: u32, service: u32, process: u32) {
        let plan = u32::try_from(self.fleet.groups.len()).unwrap_or_default() + service;
        let served = &self.attempts[attempt];
        let request = Request {
            plan,
            stage: 0,
            pending: 0,
            failed: false,
            degraded: false,
            process,
            caller: Caller::Attempt(attempt),
            begun: self.now,
            deadline: served.deadline,
            expires: served.expires,
            seed: served.seed ^ 0xA076_1D64_78BD_642F,
            tenant: served.tenant,
            timer_slack: 0,
        };
        let request = self.requests.put(request);
        self.advance(request);
    }

    /// Makes the calls of the next stage, or ends the request.
    fn advance(&mut self, id: u32) {
        let request = &mut self.requests[id];
        let (plan, stage) = (request.plan as usize, request.stage as usize);
        let Some(legs) = self.plans[plan].get(stage).map(Vec::len) else {
            return self.end_request(id);
        };
        request.pending = u32::try_from(legs).unwrap_or(u32::MAX);
        for leg in 0..u32::try_from(legs).unwrap_or_default() {
            self.begin_call(id, leg);
        }
    }

    /// The stage that a request is in.
    pub(super) fn stage_of(&self, id: u32) -> usize {
        self.requests[id].stage as usize
    }

    /// A call of the request ended.
    pub(super) fn call_ended(&mut self, id: u32, leg: u32, succeeded: bool) {
        let request = &mut self.requests[id];
        if !succeeded {
            let route = &self.plans[request.plan as usize][request.stage as usize][leg as usize];
            request.degraded |= route.leg.optional;
            request.failed |= !route.leg.optional;
        }
        request.pending -= 1;
        if request.pending > 0 {
            return;
        }
        if request.failed {
            return self.end_request(id);
        }
        request.stage += 1;
        self.advance(id);
    }

    fn end_request(&mut self, id: u32) {
        let request = &self.requests[id];
        let (failed, degraded) = (request.failed, request.degraded);
        match request.caller {
            Caller::Client(client) => {
                let ending = if failed {
                    Ending::Failed
                } else if self.now > request.expires {
                    Ending::Late
                } else if degraded {
                    Ending::Degraded
                } else {
                    Ending::Good
                };
                let (group, tenant) = (request.plan as usize, request.tenant);
                self.measures
                    .ended(group, tenant, (request.begun, self.now), ending);
                self.requests.give_back(id);
                self.client_is_done(client);
            }
            Caller::Attempt(attempt) => {
                self.requests.give_back(id);
                self.inner_request_ended(attempt, !failed);
            }
        }
    }
}
