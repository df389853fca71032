use super::*;
use proptest::prelude::*;

const ONE: Stripe = Stripe(0);

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn progress() -> Progress {
    Progress::new(Config::default(), 2)
}

/// A call each `every` milliseconds, of so many attempts each, that ends as `succeeded` says.
fn calls(
    progress: &Progress,
    millis: core::ops::Range<u64>,
    every: u64,
    attempts: u64,
    succeeded: impl Fn(u64) -> bool,
) {
    let step = usize::try_from(every).unwrap();
    for (number, now) in (0..).zip(millis.step_by(step)) {
        let mut run = progress.begin(at(now), ONE);
        for _ in 0..attempts {
            run.on_attempt(at(now));
        }
        run.finish(at(now), succeeded(number));
    }
}

fn verdict(progress: &Progress, millis: u64) -> Verdict {
    progress.snapshot(at(millis)).verdict
}

#[test]
fn what_began_is_what_ended_and_what_runs() {
    let progress = progress();
    let runs: Vec<_> = (0..10).map(|_| progress.begin(at(0), ONE)).collect();
    assert_eq!(progress.snapshot(at(0)).in_flight, 10);
    for (number, run) in runs.into_iter().enumerate() {
        match number % 3 {
            0 => run.finish(at(1), true),
            1 => run.finish(at(1), false),
            _ => drop(run),
        }
    }
    let seen = progress.snapshot(at(1));
    assert_eq!((seen.succeeded, seen.failed, seen.abandoned), (4, 3, 3));
    assert_eq!((seen.begun, seen.in_flight), (10, 0));
}

#[test]
fn an_operation_that_nobody_asks_for_is_healthy() {
    let progress = progress();
    assert_eq!(verdict(&progress, 0), Verdict::Healthy);
    calls(&progress, 0..60_000, 10, 1, |_| true);
    assert_eq!(verdict(&progress, 60_000), Verdict::Healthy);
    assert_eq!(verdict(&progress, 4_000_000), Verdict::Healthy);
}

#[test]
fn many_attempts_for_each_success_are_suspect() {
    let progress = progress();
    calls(&progress, 0..10_000, 100, 10, |_| true);
    assert_eq!(
        verdict(&progress, 9_999),
        Verdict::Healthy,
        "ten are bearable"
    );
    calls(&progress, 20_000..30_000, 100, 11, |_| true);
    assert_eq!(verdict(&progress, 29_999), Verdict::LivelockSuspect);
}

#[test]
fn calls_that_wait_while_none_ends_are_a_stall() {
    let progress = progress();
    calls(&progress, 0..10_000, 100, 1, |_| true);
    let mut hung = progress.begin(at(10_000), ONE);
    hung.on_attempt(at(10_000));
    hung.on_pending();
    assert_eq!(
        verdict(&progress, 39_000),
        Verdict::Healthy,
        "not for long enough"
    );
    let seen = progress.snapshot(at(41_000));
    assert_eq!(seen.verdict, Verdict::Stalled);
    assert_eq!(seen.oldest, Some(Duration::from_secs(31)));
    assert_eq!(seen.since_success, Some(Duration::from_millis(31_100)));
    drop(hung);
    assert_eq!(verdict(&progress, 41_000), Verdict::Healthy);
}

#[test]
fn one_slow_call_among_many_that_end_is_no_stall() {
    let progress = progress();
    let mut slow = progress.begin(at(0), ONE);
    slow.on_pending();
    calls(&progress, 0..60_000, 100, 1, |_| true);
    assert_eq!(verdict(&progress, 60_000), Verdict::Healthy);
}

#[test]
fn where_most_calls_fail_the_operation_is_degraded() {
    let progress = progress();
    calls(&progress, 0..10_000, 100, 1, |number| number % 3 == 0);
    assert_eq!(verdict(&progress, 9_999), Verdict::Degraded);
}

#[test]
fn less_done_than_usual_while_calls_wait_is_degraded_and_not_learned() {
    let progress = progress();
    calls(&progress, 0..120_000, 10, 1, |_| true);
    let usual = progress.snapshot(at(120_000)).usual;
    assert!(
        usual.unwrap().abs_diff(100_000) < 1_000,
        "a hundred a second: {usual:?}"
    );
    let mut waits = progress.begin(at(120_000), ONE);
    waits.on_pending();
    calls(&progress, 120_000..180_000, 100, 1, |_| true);
    let seen = progress.snapshot(at(180_000));
    assert_eq!(
        (seen.verdict, seen.per_thousand_seconds),
        (Verdict::Degraded, 10_000)
    );
    // The window in which the change fell still counts as well.
    assert!(seen.usual.unwrap() > 90_000, "{seen:?}");
    drop(waits);
    assert_eq!(
        verdict(&progress, 180_000),
        Verdict::Healthy,
        "less is asked for: no fault"
    );
}

#[test]
fn only_so_many_ages_are_kept_and_every_call_is_counted() {
    let progress = Progress::new(Config::default(), 1);
    let mut runs: Vec<_> = (0..100)
        .map(|number| progress.begin(at(number), ONE))
        .collect();
    runs.iter_mut().for_each(Run::on_pending);
    let seen = progress.snapshot(at(1_000));
    assert_eq!(
        (seen.in_flight, seen.oldest),
        (100, Some(Duration::from_secs(1)))
    );
    drop(runs);
    assert_eq!(progress.snapshot(at(1_000)).oldest, None);
}

proptest! {
    #[test]
    fn nothing_is_lost_under_any_order_of_ends(
        moves in proptest::collection::vec((0..5_u8, any::<usize>(), 0..3_000_u64), 1..200),
    ) {
        let progress = progress();
        let (mut now, mut runs): (u64, Vec<(u64, bool, Run)>) = (0, Vec::new());
        for (what, which, step) in moves {
            now += step;
            let place = which.checked_rem(runs.len());
            match (what, place) {
                (0, _) | (_, None) => {
                    let stripe = Stripe(u32::try_from(which % 7).unwrap());
                    runs.push((now, false, progress.begin(at(now), stripe)));
                }
                (1, Some(place)) => {
                    runs[place].2.on_pending();
                    runs[place].1 = true;
                }
                (2, Some(place)) => runs.swap_remove(place).2.finish(at(now), true),
                (3, Some(place)) => runs.swap_remove(place).2.finish(at(now), false),
                (_, Some(place)) => drop(runs.swap_remove(place)),
            }
            let seen = progress.snapshot(at(now));
            prop_assert_eq!(seen.begun, seen.succeeded + seen.failed + seen.abandoned + seen.in_flight);
            prop_assert_eq!(seen.in_flight, runs.len() as u64);
            let oldest = runs.iter().filter(|(_, waits, _)| *waits).map(|(began, _, _)| *began).min();
            prop_assert_eq!(seen.oldest, oldest.map(|began| Duration::from_millis(now - began)));
        }
    }
}
