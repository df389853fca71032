//! Random operations, against a circuit that is kept in plain lists.

use super::*;
use proptest::prelude::*;

const SLICE: u64 = 1_000;
const OPEN: u64 = 1_000;
const MAX_OPEN: u64 = 4_000;
const LEASE: u64 = 300;
const SPACING: u64 = 20;
const SLOW: u64 = 50;
const MOST_IN_A_ROW: u32 = 4;

#[derive(Debug, Clone)]
enum Move {
    Admit,
    Finish(usize, Outcome),
    Mode(Mode),
}

fn moves() -> impl Strategy<Value = Vec<(u64, Move)>> {
    let outcome = prop_oneof![
        5 => Just(Outcome::Success),
        4 => Just(Outcome::Failure),
        1 => Just(Outcome::Overload),
        1 => Just(Outcome::Ignored),
    ];
    let one = prop_oneof![
        40 => Just(Move::Admit),
        40 => (any::<usize>(), outcome).prop_map(|(at, outcome)| Move::Finish(at, outcome)),
        1 => prop::sample::select(Mode::ALL.to_vec()).prop_map(Move::Mode),
    ];
    let wait = prop_oneof![8 => 0..30_u64, 2 => 30..400_u64, 1 => 400..3_000_u64];
    proptest::collection::vec((wait, one), 1..250)
}

fn config() -> Config {
    Config {
        rate: Some(FailureRate {
            min_calls: 6,
            min_observed: Duration::from_millis(500),
            ..FailureRate::default()
        }),
        slow: Some(SlowRate::new(SlowerThan::Fixed(Duration::from_millis(
            SLOW,
        )))),
        consecutive: Some(MOST_IN_A_ROW),
        open: OpenInterval {
            initial: Duration::from_millis(OPEN),
            max: Duration::from_millis(MAX_OPEN),
            jitter: Ratio::ZERO,
        },
        probes: Probes {
            concurrent: 2,
            spacing: Duration::from_millis(SPACING),
            successes: 3,
            tolerated_failures: 1,
            lease: Duration::from_millis(LEASE),
        },
        ramp: Duration::ZERO,
        mode: Mode::Automatic,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Closed,
    Open { since: u64 },
    HalfOpen { last_probe: u64 },
    Forced,
    Disabled,
}

/// A permit of the reference: who issued it, and whether it is a probe.
#[derive(Debug, Clone, Copy)]
struct Issued {
    id: u64,
    generation: u64,
    probe: bool,
    counted: bool,
    at: u64,
}

struct Reference {
    seen: Seen,
    generation: u64,
    reopens: u32,
    in_a_row: u32,
    closed_at: u64,
    /// When, whether it was bad, whether it was slow.
    calls: Vec<(u64, bool, bool)>,
    /// Probes under way, and until when they may take.
    probes: Vec<(u64, u64)>,
    successes: u32,
    failures: u32,
    observes: bool,
    entered: [u64; 3],
    issued: u64,
}

impl Reference {
    fn enter(&mut self, seen: Seen, now: u64) {
        let before = self.state();
        self.seen = seen;
        self.generation += 1;
        self.in_a_row = 0;
        self.probes.clear();
        (self.successes, self.failures) = (0, 0);
        if seen == Seen::Closed {
            self.closed_at = self.closed_at.max(now);
        }
        if before != self.state() {
            self.entered[self.state() as usize] += 1;
        }
    }

    fn state(&self) -> State {
        match self.seen {
            Seen::Closed | Seen::Disabled => State::Closed,
            Seen::Open { .. } | Seen::Forced => State::Open,
            Seen::HalfOpen { .. } => State::HalfOpen,
        }
    }

    fn issue(&mut self, now: u64, probe: bool, counted: bool) -> Issued {
        self.issued += 1;
        if probe {
            self.probes.push((self.issued, now + LEASE));
        }
        Issued {
            id: self.issued,
            generation: self.generation,
            probe,
            counted,
            at: now,
        }
    }

    fn admit(&mut self, now: u64) -> Option<Issued> {
        match self.seen {
            Seen::Closed => return Some(self.issue(now, false, true)),
            Seen::Disabled => return Some(self.issue(now, false, false)),
            Seen::Forced => {}
            Seen::Open { since } => {
                let interval = (OPEN << self.reopens).min(MAX_OPEN);
                if now - since >= interval {
                    let reopens = self.reopens;
                    self.enter(Seen::HalfOpen { last_probe: now }, now);
                    self.reopens = reopens;
                    return Some(self.issue(now, true, true));
                }
            }
            Seen::HalfOpen { last_probe } => {
                if let Some(at) = self.probes.iter().position(|(_, until)| *until <= now) {
                    self.probes.remove(at);
                    self.judge_probe(now, Outcome::Overload);
                    return self.admit(now);
                }
                if now - last_probe >= SPACING && self.probes.len() < 2 {
                    self.seen = Seen::HalfOpen { last_probe: now };
                    return Some(self.issue(now, true, true));
                }
            }
        }
        self.observes.then(|| self.issue(now, false, false))
    }

    fn judge_probe(&mut self, now: u64, outcome: Outcome) {
        self.successes += u32::from(outcome == Outcome::Success);
        self.failures += u32::from(outcome.is_bad());
        if self.failures > 1 {
            let reopens = (self.reopens + 1).min(15);
            self.enter(Seen::Open { since: now }, now);
            self.reopens = reopens;
        } else if self.successes >= 3 {
            self.enter(Seen::Closed, now);
            self.reopens = 0;
        }
    }

    fn finish(&mut self, permit: Issued, now: u64, outcome: Outcome) {
        if permit.generation != self.generation || !permit.counted {
            return;
        }
        let slow = now - permit.at >= SLOW;
        if permit.probe {
            let Some(at) = self.probes.iter().position(|(id, _)| *id == permit.id) else {
                return; // its lease was revoked
            };
            self.probes.remove(at);
            let outcome = match outcome {
                Outcome::Success if slow => Outcome::Overload,
                other => other,
            };
            return self.judge_probe(now, outcome);
        }
        if outcome == Outcome::Ignored {
            return;
        }
        self.calls.push((now, outcome.is_bad(), slow));
        self.in_a_row = if outcome.is_bad() {
            self.in_a_row + 1
        } else {
            0
        };
        if (outcome.is_bad() || slow) && self.is_too_much(now) {
            self.enter(Seen::Open { since: now }, now);
            self.reopens = 0;
        }
    }

    fn is_too_much(&self, now: u64) -> bool {
        if self.in_a_row >= MOST_IN_A_ROW {
            return true;
        }
        let counts =
            |when: &u64| now / SLICE - when / SLICE < 10 && when / SLICE * SLICE >= self.closed_at;
        let calls: Vec<_> = self
            .calls
            .iter()
            .filter(|(when, _, _)| counts(when))
            .collect();
        let Some((oldest, _, _)) = calls.first() else {
            return false;
        };
        if calls.len() < 6 || now - oldest / SLICE * SLICE < 500 {
            return false;
        }
        let bad = calls.iter().filter(|(_, bad, _)| *bad).count();
        let slow = calls.iter().filter(|(_, _, slow)| *slow).count();
        bad * 2 >= calls.len() || slow * 5 >= calls.len() * 4
    }

    fn set_mode(&mut self, mode: Mode, now: u64) {
        self.observes = mode == Mode::ObserveOnly;
        let next = match (mode, self.seen) {
            (Mode::ForcedOpen, _) => Seen::Forced,
            (Mode::Disabled, _) => Seen::Disabled,
            (_, Seen::Forced | Seen::Disabled) => Seen::Closed,
            _ => return,
        };
        if next != self.seen {
            self.enter(next, now);
            self.reopens = 0;
        }
    }
}

proptest! {
    /// Whoever is admitted or refused, probes or not, is so by the reference too, and so is every change of
    /// state.
    #[test]
    fn the_circuit_moves_as_its_plain_description_does(moves in moves()) {
        let mut bench = Bench::new(config());
        let mut reference = Reference {
            seen: Seen::Closed,
            generation: 0,
            reopens: 0,
            in_a_row: 0,
            closed_at: 0,
            calls: Vec::new(),
            probes: Vec::new(),
            successes: 0,
            failures: 0,
            observes: false,
            entered: [0; 3],
            issued: 0,
        };
        let (mut now, mut permits) = (0, Vec::<(Permit, Issued)>::new());
        for (wait, step) in moves {
            now += wait;
            match step {
                Move::Admit => {
                    let (real, issued) = (bench.admit(now), reference.admit(now));
                    prop_assert_eq!(real.is_ok(), issued.is_some(), "at {} ms", now);
                    if let (Ok(permit), Some(issued)) = (real, issued) {
                        prop_assert_eq!(permit.is_probe(), issued.probe);
                        permits.push((permit, issued));
                    }
                }
                Move::Finish(which, outcome) if !permits.is_empty() => {
                    let (permit, issued) = permits.swap_remove(which % permits.len());
                    permit.finish(at(now), outcome);
                    reference.finish(issued, now, outcome);
                }
                Move::Finish(..) => {}
                Move::Mode(mode) => {
                    bench.breaker.set_mode(mode, at(now));
                    reference.set_mode(mode, now);
                }
            }
            let shown = bench.breaker.snapshot(at(now));
            prop_assert_eq!(shown.state, reference.state(), "at {} ms", now);
            prop_assert_eq!(shown.entered, reference.entered);
            prop_assert_eq!(usize::from(shown.probes), reference.probes.len());
            if reference.seen == Seen::Closed {
                prop_assert_eq!(shown.consecutive, reference.in_a_row);
            }
        }
    }
}
