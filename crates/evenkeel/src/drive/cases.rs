//! Every case of `cases/`, driven by tokio under paused time, decides as the core does.
//!
//! Calls of one case run as tasks of their own, so the order of what happens to *different* calls at one
//! instant is the runtime's. Each call's own story must be the same, to the timer's tick: tokio rounds
//! timers up to the next millisecond.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_core::breaker::State;
use evenkeel_core::case::{self, Case, Line, ScriptedAttempt, ScriptedCall};
use evenkeel_core::outcome::{Finished, Outcome};

use super::{Drive, Ended, How, Plan};
use crate::{Attempt, Clock, Dependency, OpenAttempt};
use evenkeel_core::call::CallHint;

/// A timer fires up to this much late; each wait of a call may add as much.
const TICK: Duration = Duration::from_millis(1);

#[test]
fn tokio_decides_every_case_as_the_core_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let (mut ran, mut differences) = (0, String::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        let case = Case::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let trace = drive(&case);
        differences += &compare(&file, &stories(&case::run(&case)), &stories(&trace));
        ran += 1;
    }
    assert!(differences.is_empty(), "{differences}");
    assert!(ran >= 120, "{ran} cases were run");
}

/// Where the two differ.
fn compare(file: &Path, core: &Stories, tokio: &Stories) -> String {
    let mut differences = String::new();
    let both: BTreeSet<_> = core.keys().chain(tokio.keys()).collect();
    for who in both {
        let (core, tokio) = (core.get(who), tokio.get(who));
        let is_same = core.zip(tokio).is_some_and(|(core, tokio)| {
            core.len() == tokio.len()
                && (1..)
                    .zip(core.iter().zip(tokio))
                    .all(|(nth, (core, tokio))| {
                        let late = tokio.at.since(core.at);
                        same_words(&core.what, &tokio.what)
                            && core.at.since(tokio.at) <= TICK
                            && late <= TICK * nth
                    })
        });
        let show = |story: Option<&Vec<Line>>| {
            story
                .into_iter()
                .flatten()
                .map(|line| format!("    {line}\n"))
                .collect::<String>()
        };
        if !is_same {
            let (name, core, tokio) = (file.display(), show(core), show(tokio));
            differences += &format!("{name}\n  core:\n{core}  tokio:\n{tokio}");
        }
    }
    differences
}

/// The same up to a retry-after, which shrinks as timers lag.
fn same_words(core: &str, tokio: &str) -> bool {
    let words = |text: &str| text.split(", retry after").next().map(str::to_owned);
    words(core) == words(tokio)
}

type Stories = BTreeMap<String, Vec<Line>>;

fn stories(trace: &[Line]) -> Stories {
    let mut stories = Stories::new();
    for line in trace {
        stories
            .entry(line.who.clone())
            .or_default()
            .push(line.clone());
    }
    stories
}

/// Runs a case on a paused runtime and answers what happened.
fn drive(case: &Case) -> Vec<Line> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    runtime.block_on(tasks.run_until(play(case.clone())))
}

async fn play(case: Case) -> Vec<Line> {
    let clock = Clock::runtime();
    let dependency = Dependency::with_clock("cases", "case", case.policy.clone(), clock.clone());
    let stage = Stage::new(dependency, Rc::new(case.clone()));
    let mut tasks = Vec::new();
    for (index, script) in case.calls.iter().cloned().enumerate() {
        let (stage, seed) = (stage.clone(), case.seed_of(index));
        tasks.push(tokio::task::spawn_local(play_call(stage, script, seed)));
    }
    for show in case.shows.iter().cloned() {
        let stage = stage.clone();
        tasks.push(tokio::task::spawn_local(async move {
            tokio::time::sleep_until(stage.dependency.0.clock.timer(show.at)).await;
            // After whatever else happens at this instant.
            tokio::task::yield_now().await;
            let snapshot = stage.dependency.snapshot();
            let shown = match &show.operation {
                Some(operation) => case::progress(&snapshot, operation),
                None => case::shown(&snapshot),
            };
            stage.say("show", shown);
        }));
    }
    for task in tasks {
        let _ = task.await;
    }
    stage.trace.take()
}

#[derive(Clone)]
struct Stage {
    case: Rc<Case>,
    dependency: Dependency,
    circuit: Rc<RefCell<State>>,
    trace: Rc<RefCell<Vec<Line>>>,
}

impl Stage {
    fn new(dependency: Dependency, case: Rc<Case>) -> Self {
        let circuit = Rc::new(RefCell::new(State::Closed));
        Self {
            case,
            dependency,
            circuit,
            trace: Rc::default(),
        }
    }

    fn say(&self, who: &str, what: impl Into<String>) {
        let at = self.dependency.0.clock.now();
        let breaker = self.dependency.snapshot().breaker;
        let state = breaker.map_or(State::Closed, |breaker| breaker.state);
        if self.circuit.replace(state) != state {
            let what = state.as_str().to_owned();
            self.trace.borrow_mut().push(Line {
                at,
                who: "circuit".to_owned(),
                what,
            });
        }
        self.trace.borrow_mut().push(Line {
            at,
            who: who.to_owned(),
            what: what.into(),
        });
    }
}

async fn play_call(stage: Stage, script: ScriptedCall, seed: u64) {
    let clock = stage.dependency.0.clock.clone();
    tokio::time::sleep_until(clock.timer(script.at)).await;
    let mut hint = CallHint::new(seed);
    (hint.idempotent, hint.replayable) = (script.idempotent, script.replayable);
    let plan = Plan {
        hint,
        within: script.deadline,
        stays_open: answers_have_bodies(&script),
    };
    let attempts = |attempt: Attempt| {
        let number = attempt.number();
        let several = stage.case.policy.endpoints.is_some();
        let at = attempt.endpoint().index();
        let begun = case::begun(number, attempt.kind(), several.then_some(at));
        stage.say(&script.name, begun);
        let told = Told {
            stage: stage.clone(),
            who: script.name.clone(),
            number,
            over: false,
        };
        perform(told, stage.case.attempt(&script, number, at))
    };
    let dependency = match script.operation.as_str() {
        "" => stage.dependency.clone(),
        name => stage.dependency.operation(name),
    };
    let judge = |ended: &(Finished, Option<Duration>)| ended.0;
    let call = Drive::new(&dependency.0, plan, attempts, judge);
    let hang_up = async {
        match script.dropped_at {
            Some(at) => tokio::time::sleep_until(clock.timer(at)).await,
            None => std::future::pending().await,
        }
    };
    let panicked = Panicked {
        stage: stage.clone(),
        who: script.name.clone(),
    };
    let ended = tokio::select! {
        biased;
        ended = call => Some(ended),
        () = hang_up => None,
    };
    std::mem::forget(panicked);
    let (how, permit) = match ended {
        None => (None, None),
        Some(Ended { how, permit, .. }) => (Some(how), permit),
    };
    let (how, body) = match how {
        None => ("dropped".to_owned(), None),
        Some(How::Answered((_, body))) => ("ok".to_owned(), body),
        Some(How::Failed(_, reason)) => (case::stopped(reason), None),
        Some(How::Rejected(rejection)) => (case::rejected(&rejection), None),
        Some(How::DeadlineExceeded) => ("deadline exceeded".to_owned(), None),
    };
    stage.say(&script.name, how);
    if let (Some(permit), Some(body)) = (permit, body) {
        let open = OpenAttempt::new(dependency, permit);
        tokio::time::sleep(body).await;
        open.finish(Outcome::Success);
        stage.say(&script.name, "body ended");
    }
}

fn answers_have_bodies(script: &ScriptedCall) -> bool {
    let mut attempts = script.attempts.iter();
    attempts.any(|attempt| matches!(attempt, ScriptedAttempt::Answers(..)))
}

/// Does what the script says; answers how it ended, and how long its body takes if it has one.
async fn perform(mut told: Told, script: ScriptedAttempt) -> (Finished, Option<Duration>) {
    match script {
        ScriptedAttempt::Answers(after, body) => {
            tokio::time::sleep(after).await;
            told.over = true;
            (Finished::success(), Some(body))
        }
        ScriptedAttempt::Hangs => std::future::pending().await,
        ScriptedAttempt::Panics(after) => {
            tokio::time::sleep(after).await;
            panic!("as the case says");
        }
        ScriptedAttempt::Ends(after, finished) => {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            told.over = true;
            if let Some(class) = finished.class {
                told.stage.say(
                    &told.who,
                    format!("attempt {} failed: {class}", told.number),
                );
            }
            (finished, None)
        }
    }
}

/// Tells of an attempt that was dropped before its end.
struct Told {
    stage: Stage,
    who: String,
    number: u32,
    over: bool,
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.over {
            self.stage
                .say(&self.who, format!("attempt {} abandoned", self.number));
        }
    }
}

/// Tells of a call whose code panicked.
struct Panicked {
    stage: Stage,
    who: String,
}

impl Drop for Panicked {
    fn drop(&mut self) {
        self.stage.say(&self.who, "panicked");
    }
}
