//! The core's own driver of a case: virtual time, one event after the other.

use super::{Case, Line, ScriptedAttempt, ScriptedCall, rejected, shown, stopped};
use crate::breaker::State;
use crate::call::{AttemptPermit, Call, CallHint, Next, Step};
use crate::outcome::Finished;
use crate::policy::Policy;
use crate::time::Instant;

/// Runs a case on the core and answers what happened.
#[must_use]
pub fn run(case: &Case) -> Vec<Line> {
    let policy = Policy::new(case.policy.clone(), "case", 1);
    let mut stage = Stage {
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
            .chain(shows.last().copied())
            .min();
        let Some(due) = due else { return stage.trace };
        stage.now = stage.now.max(due);
        // A slot that one call frees may be another's: go round until nobody moves.
        while actors.iter_mut().any(|actor| actor.act(&mut stage)) {}
        while shows.last().is_some_and(|show| *show <= stage.now) {
            shows.pop();
            let shown = shown(&stage.policy.snapshot(stage.now));
            stage.say("show", shown);
        }
    }
}

struct Stage {
    policy: Policy,
    now: Instant,
    circuit: State,
    trace: Vec<Line>,
}

impl Stage {
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
}

enum Play {
    Waits,
    Runs {
        call: Box<Call>,
        wake: Instant,
        attempt: Option<Attempt>,
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
        match &self.play {
            Play::Waits => Some(self.script.at),
            Play::Runs { wake, attempt, .. } => {
                let ends = attempt
                    .as_ref()
                    .map_or(Instant::MAX, |attempt| attempt.ends);
                Some(
                    (*wake)
                        .min(ends)
                        .min(self.script.dropped_at.unwrap_or(Instant::MAX)),
                )
            }
            Play::Over => None,
        }
    }

    /// Does whatever is due; false if nothing was.
    fn act(&mut self, stage: &mut Stage) -> bool {
        let now = stage.now;
        match &mut self.play {
            Play::Waits if self.script.at <= now => {
                let deadline = self.script.deadline.map(|given| now + given);
                let hint = CallHint {
                    deadline,
                    ..self.hint
                };
                let call = Box::new(stage.policy.begin(now, hint));
                self.play = Play::Runs {
                    call,
                    wake: now,
                    attempt: None,
                };
                self.go_on(stage);
                true
            }
            Play::Waits | Play::Over => false,
            Play::Runs { attempt, .. } => {
                if attempt.as_ref().is_some_and(|attempt| attempt.ends <= now) {
                    self.end_attempt(stage);
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
    fn go_on(&mut self, stage: &mut Stage) -> bool {
        let mut moved = false;
        while let Play::Runs {
            call,
            wake,
            attempt,
        } = &mut self.play
        {
            let step = call.poll(stage.now);
            stage.watch_circuit();
            match step {
                Step::Attempt(permit) => {
                    let number = permit.id().number();
                    let script = self.script.attempt(number);
                    let ends = match script {
                        ScriptedAttempt::Ends(after, _) | ScriptedAttempt::Panics(after) => {
                            stage.now + after
                        }
                        ScriptedAttempt::Hangs => Instant::MAX,
                    };
                    stage.say(&self.script.name, format!("attempt {number}"));
                    *attempt = Some(Attempt {
                        permit,
                        script,
                        ends,
                    });
                }
                Step::AwaitSlot { until } | Step::WaitUntil(until) => {
                    *wake = until;
                    return moved;
                }
                Step::Abandon(_) => {
                    if let Some(Attempt { permit, .. }) = attempt.take() {
                        self.abandoned(stage, permit);
                    }
                }
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

    fn end_attempt(&mut self, stage: &mut Stage) {
        let Play::Runs { call, attempt, .. } = &mut self.play else {
            return;
        };
        let Some(Attempt { permit, script, .. }) = attempt.take() else {
            return;
        };
        let ScriptedAttempt::Ends(_, finished) = script else {
            *attempt = Some(Attempt {
                permit,
                script,
                ends: Instant::MAX,
            });
            return self.hang_up(stage, "panicked", true);
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

    fn abandoned(&mut self, stage: &mut Stage, permit: AttemptPermit) {
        stage.say(
            &self.script.name,
            format!("attempt {} abandoned", permit.id()),
        );
        let Play::Runs { call, .. } = &mut self.play else {
            return;
        };
        let next = call.on_finished(permit, stage.now, Finished::timed_out());
        stage.watch_circuit();
        self.follow(stage, next);
    }

    fn follow(&mut self, stage: &mut Stage, next: Next) {
        match next {
            Next::Wait => {
                self.go_on(stage);
            }
            Next::Done => self.over(stage, "ok".to_owned()),
            Next::Failed(reason) => self.over(stage, stopped(reason)),
        }
    }

    /// Ends the call from outside: its attempt, if one runs, is dropped.
    fn hang_up(&mut self, stage: &mut Stage, why: &str, unwinding: bool) {
        let running = match &mut self.play {
            Play::Runs { attempt, .. } => attempt.take(),
            Play::Waits | Play::Over => None,
        };
        if let Some(Attempt { permit, .. }) = running {
            stage.say(
                &self.script.name,
                format!("attempt {} abandoned", permit.id()),
            );
            permit.abandon(stage.now, unwinding);
            stage.watch_circuit();
        }
        self.over(stage, why.to_owned());
    }

    fn over(&mut self, stage: &mut Stage, how: String) {
        self.play = Play::Over;
        stage.say(&self.script.name, how);
    }
}
