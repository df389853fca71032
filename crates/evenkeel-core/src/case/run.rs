//! The core's own driver of a case: virtual time, one event after the other.

use super::{Case, Line, ScriptedAttempt, ScriptedCall, begun, progress, rejected, shown, stopped};
use crate::breaker::State;
use crate::call::{AttemptId, AttemptPermit, Call, CallHint, Next, Step};
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::time::Instant;

/// Runs a case on the core and answers what happened.
#[must_use]
pub fn run(case: &Case) -> Vec<Line> {
    let policy = Policy::new(case.policy.clone(), "case", 1);
    let mut stage = Stage {
        case,
        policy,
        now: Instant::ZERO,
        circuit: State::Closed,
        trace: Vec::new(),
    };
    let mut actors: Vec<_> = (0..)
        .zip(&case.calls)
        .map(|(at, call)| {
            let hint = CallHint {
                idempotent: call.idempotent,
                replayable: call.replayable,
                ..CallHint::new(case.seed_of(at))
            };
            Actor {
                script: call,
                hint,
                play: Play::Waits,
                bodies: Vec::new(),
            }
        })
        .collect();
    let mut shows = case.shows.clone();
    shows.sort_unstable();
    shows.reverse();
    loop {
        let due = actors
            .iter()
            .filter_map(Actor::due)
            .chain(shows.last().map(|show| show.at))
            .min();
        let Some(due) = due else { return stage.trace };
        stage.now = stage.now.max(due);
        // A slot that one call frees may be another's: go round until nobody moves.
        while actors.iter_mut().any(|actor| actor.act(&mut stage)) {}
        while shows.last().is_some_and(|show| show.at <= stage.now) {
            let Some(show) = shows.pop() else { break };
            let snapshot = stage.policy.snapshot(stage.now);
            let shown = match &show.operation {
                Some(operation) => progress(&snapshot, operation),
                None => shown(&snapshot),
            };
            stage.say("show", shown);
        }
    }
}

struct Stage<'a> {
    case: &'a Case,
    policy: Policy,
    now: Instant,
    circuit: State,
    trace: Vec<Line>,
}

impl Stage<'_> {
    fn say(&mut self, who: &str, what: String) {
        self.trace.push(Line {
            at: self.now,
            who: who.to_owned(),
            what,
        });
    }

    fn watch_circuit(&mut self) {
        let breaker = self.policy.snapshot(self.now).breaker;
        let state = breaker.map_or(State::Closed, |breaker| breaker.state);
        if state != self.circuit {
            self.circuit = state;
            self.say("circuit", state.as_str().to_owned());
        }
    }
}

struct Actor<'a> {
    script: &'a ScriptedCall,
    hint: CallHint,
    play: Play,
    /// Answers whose bodies are still to end.
    bodies: Vec<(Instant, AttemptPermit)>,
}

enum Play {
    Waits,
    Runs {
        call: Box<Call>,
        wake: Instant,
        attempts: Vec<Attempt>,
    },
    Over,
}

struct Attempt {
    permit: AttemptPermit,
    script: ScriptedAttempt,
    ends: Instant,
}

impl Actor<'_> {
    /// When something happens to this call next.
    fn due(&self) -> Option<Instant> {
        let bodies = self.bodies.iter().map(|(ends, _)| *ends);
        bodies.chain(self.call_due()).min()
    }

    fn call_due(&self) -> Option<Instant> {
        match &self.play {
            Play::Waits => Some(self.script.at),
            Play::Runs { wake, attempts, .. } => {
                let ends = attempts.iter().map(|attempt| attempt.ends);
                let dropped = self.script.dropped_at;
                ends.chain([*wake]).chain(dropped).min()
            }
            Play::Over => None,
        }
    }

    /// Does whatever is due; false if nothing was.
    fn act(&mut self, stage: &mut Stage<'_>) -> bool {
        let now = stage.now;
        if let Some(at) = self.bodies.iter().position(|(ends, _)| *ends <= now) {
            let (_, permit) = self.bodies.remove(at);
            permit.finish(now, Outcome::Success);
            stage.say(&self.script.name, "body ended".to_owned());
            return true;
        }
        match &mut self.play {
            Play::Waits if self.script.at <= now => {
                let deadline = self.script.deadline.map(|given| now + given);
                let hint = CallHint {
                    deadline,
                    ..self.hint
                };
                let policy = match self.script.operation.as_str() {
                    "" => stage.policy.clone(),
                    name => stage.policy.operation(name),
                };
                let call = Box::new(policy.begin(now, hint));
                self.play = Play::Runs {
                    call,
                    wake: now,
                    attempts: Vec::new(),
                };
                self.go_on(stage);
                true
            }
            Play::Waits | Play::Over => false,
            Play::Runs { attempts, .. } => {
                if let Some(at) = attempts.iter().position(|attempt| attempt.ends <= now) {
                    let ended = attempts.remove(at);
                    self.end_attempt(stage, ended);
                    return true;
                }
                if self.script.dropped_at.is_some_and(|at| at <= now) {
                    self.hang_up(stage, "dropped", false);
                    return true;
                }
                self.go_on(stage)
            }
        }
    }

    /// Polls until the call has to wait; false if it has to wait already.
    fn go_on(&mut self, stage: &mut Stage<'_>) -> bool {
        let mut moved = false;
        while let Play::Runs {
            call,
            wake,
            attempts,
        } = &mut self.play
        {
            let step = call.poll(stage.now);
            stage.watch_circuit();
            match step {
                Step::Attempt(permit) => {
                    let number = permit.id().number();
                    let endpoint = permit.endpoint().index();
                    let script = stage.case.attempt(self.script, number, endpoint);
                    let ends = match script {
                        ScriptedAttempt::Ends(after, _)
                        | ScriptedAttempt::Answers(after, _)
                        | ScriptedAttempt::Panics(after) => stage.now + after,
                        ScriptedAttempt::Hangs => Instant::MAX,
                    };
                    let several = stage.policy.config().endpoints.is_some();
                    let endpoint = several.then_some(endpoint);
                    stage.say(&self.script.name, begun(number, permit.kind(), endpoint));
                    attempts.push(Attempt {
                        permit,
                        script,
                        ends,
                    });
                }
                Step::AwaitSlot { until } | Step::WaitUntil(until) => {
                    *wake = until;
                    return moved;
                }
                Step::Abandon(id) => self.abandon(stage, id),
                Step::Reject(rejection) => {
                    self.over(stage, rejected(&rejection));
                }
                Step::GiveUp(reason) => self.over(stage, stopped(reason)),
                Step::TimedOut => self.hang_up(stage, "deadline exceeded", false),
            }
            moved = true;
        }
        moved
    }

    fn end_attempt(&mut self, stage: &mut Stage<'_>, ended: Attempt) {
        let Play::Runs { call, attempts, .. } = &mut self.play else {
            return;
        };
        let mut permit = ended.permit;
        let finished = match ended.script {
            ScriptedAttempt::Ends(_, finished) => finished,
            ScriptedAttempt::Answers(_, body) => {
                let next = call.on_answered(&mut permit, stage.now);
                self.bodies.push((stage.now + body, permit));
                stage.watch_circuit();
                return self.follow(stage, next);
            }
            ScriptedAttempt::Hangs | ScriptedAttempt::Panics(_) => {
                let panicked = Attempt { permit, ..ended };
                attempts.insert(0, panicked);
                return self.hang_up(stage, "panicked", true);
            }
        };
        if let Some(class) = finished.class {
            stage.say(
                &self.script.name,
                format!("attempt {} failed: {class}", permit.id()),
            );
        }
        let next = call.on_finished(permit, stage.now, finished);
        stage.watch_circuit();
        self.follow(stage, next);
    }

    fn abandon(&mut self, stage: &mut Stage<'_>, id: AttemptId) {
        let Play::Runs { call, attempts, .. } = &mut self.play else {
            return;
        };
        let Some(at) = attempts
            .iter()
            .position(|attempt| attempt.permit.id() == id)
        else {
            return;
        };
        let permit = attempts.remove(at).permit;
        stage.say(&self.script.name, format!("attempt {id} abandoned"));
        let next = call.on_abandoned(permit, stage.now);
        stage.watch_circuit();
        self.follow(stage, next);
    }

    fn follow(&mut self, stage: &mut Stage<'_>, next: Next) {
        match next {
            Next::Wait => {
                self.go_on(stage);
            }
            Next::Done => {
                self.lose_others(stage);
                self.over(stage, "ok".to_owned());
            }
            Next::Failed(reason) => self.over(stage, stopped(reason)),
        }
    }

    /// The call has its answer: what else is under way is dropped.
    fn lose_others(&mut self, stage: &mut Stage<'_>) {
        let Play::Runs { call, attempts, .. } = &mut self.play else {
            return;
        };
        for Attempt { permit, .. } in attempts.drain(..) {
            stage.say(
                &self.script.name,
                format!("attempt {} abandoned", permit.id()),
            );
            call.on_abandoned(permit, stage.now);
            stage.watch_circuit();
        }
    }

    /// Ends the call from outside: the attempts under way are dropped. With `panicked`, the first of them
    /// did.
    fn hang_up(&mut self, stage: &mut Stage<'_>, why: &str, panicked: bool) {
        let running = match &mut self.play {
            Play::Runs { attempts, .. } => core::mem::take(attempts),
            Play::Waits | Play::Over => Vec::new(),
        };
        for (at, Attempt { permit, .. }) in running.into_iter().enumerate() {
            stage.say(
                &self.script.name,
                format!("attempt {} abandoned", permit.id()),
            );
            permit.abandon(stage.now, panicked && at == 0);
            stage.watch_circuit();
        }
        self.over(stage, why.to_owned());
    }

    fn over(&mut self, stage: &mut Stage<'_>, how: String) {
        self.play = Play::Over;
        stage.say(&self.script.name, how);
    }
}
