use std::cell::RefCell;

use super::*;

fn measured(points: &[(u32, f64, f64)]) -> Vec<Measurement> {
    points
        .iter()
        .map(|(actors, attempts, successes)| Measurement {
            actors: *actors,
            attempts: *attempts,
            successes: *successes,
        })
        .collect()
}

/// A lock held for 5 ms and 45 ms of other work: 200/s and no more, reached with ten actors.
fn behind_a_lock(actors: u32) -> Measurement {
    let done = (f64::from(actors) / 0.050).min(1.0 / 0.005);
    Measurement {
        actors,
        attempts: done,
        successes: done,
    }
}

/// Compare-and-swap with a long window: whoever is first wins, all others start again.
fn one_of_all_wins(actors: u32) -> Measurement {
    Measurement {
        actors,
        attempts: 300.0 * f64::from(actors),
        successes: 300.0,
    }
}

fn halved(of: impl Fn(u32) -> Measurement, actors: u32) -> Scaling {
    judge(&[of(actors), of(actors / 2), of(actors)], None)
}

#[test]
fn a_saturated_lock_keeps_its_throughput_and_is_contention() {
    let scaling = halved(behind_a_lock, 40);
    assert_eq!(scaling.verdict, Some(Verdict::Contention), "{scaling:?}");
}

#[test]
fn a_livelock_in_which_one_always_wins_keeps_its_throughput_too_and_is_told_by_its_attempts() {
    let scaling = halved(one_of_all_wins, 16);
    assert_eq!(scaling.verdict, Some(Verdict::Livelock), "{scaling:?}");
}

#[test]
fn a_livelock_that_gets_more_done_by_fewer_is_one() {
    let points = measured(&[(24, 90_000.0, 3.0), (12, 80_000.0, 400.0)]);
    assert_eq!(judge(&points, None).verdict, Some(Verdict::Livelock));
    let standstill = measured(&[(24, 90_000.0, 0.0), (12, 80_000.0, 400.0)]);
    assert_eq!(judge(&standstill, None).verdict, Some(Verdict::Livelock));
}

#[test]
fn actors_that_share_nothing_are_well() {
    let free = |actors| Measurement {
        actors,
        attempts: 10.0 * f64::from(actors),
        successes: 10.0 * f64::from(actors),
    };
    assert_eq!(halved(free, 32).verdict, Some(Verdict::Healthy));
    assert_eq!(
        halved(behind_a_lock, 8).verdict,
        Some(Verdict::Healthy),
        "below saturation a lock costs nothing"
    );
}

#[test]
fn a_dependency_that_fails_for_one_as_for_many_is_no_livelock() {
    let points = measured(&[(20, 2_000.0, 100.0), (10, 1_000.0, 50.0)]);
    assert_eq!(judge(&points, None).verdict, None);
    let down = measured(&[(20, 2_000.0, 0.0), (10, 1_000.0, 0.0)]);
    let scaling = judge(&down, None);
    assert_eq!(scaling.verdict, None);
    assert!(scaling.evidence.last().unwrap().contains("halve again"));
}

#[test]
fn the_critical_section_alone_says_whether_it_is_this_lock() {
    let points = [behind_a_lock(40), behind_a_lock(20)];
    let this = judge(&points, Some(Duration::from_millis(5)));
    assert_eq!(this.verdict, Some(Verdict::Contention));
    let another = judge(&points, Some(Duration::from_micros(100)));
    assert_eq!(another.verdict, None, "{another:?}");
}

#[test]
fn what_changed_meanwhile_spoils_the_experiment() {
    let points = measured(&[(40, 200.0, 200.0), (20, 200.0, 200.0), (40, 90.0, 90.0)]);
    let scaling = judge(&points, None);
    assert_eq!(scaling.verdict, None);
    assert!(scaling.evidence.last().unwrap().contains("repeat it"));
}

#[test]
fn too_little_to_compare_says_what_to_do() {
    assert_eq!(judge(&[], None).verdict, None);
    assert_eq!(judge(&[behind_a_lock(8)], None).verdict, None);
    assert_eq!(
        judge(&measured(&[(8, 0.0, 0.0), (4, 0.0, 0.0)]), None).verdict,
        None
    );
}

#[test]
fn the_law_is_found_again_in_the_points_it_made() {
    let law = Law {
        alone: 100.0,
        contention: 0.05,
        coherency: 0.002,
    };
    let points: Vec<Measurement> = [1_u32, 2, 4, 8, 16, 32]
        .into_iter()
        .map(|actors| {
            let n = f64::from(actors);
            let done =
                law.alone * n / (1.0 + law.contention * (n - 1.0) + law.coherency * n * (n - 1.0));
            Measurement {
                actors,
                attempts: done,
                successes: done,
            }
        })
        .collect();
    let found = Law::through(&points).unwrap();
    assert!((found.alone - 100.0).abs() < 1e-6, "{found:?}");
    assert!((found.contention - 0.05).abs() < 1e-6, "{found:?}");
    assert!((found.coherency - 0.002).abs() < 1e-6, "{found:?}");
    assert!((found.peak().unwrap() - 21.8).abs() < 0.1);
    assert_eq!(Law::through(&points[..3]), None);
}

#[test]
fn the_law_of_independent_actors_has_no_peak() {
    let points: Vec<_> = [1, 2, 4, 8]
        .map(|n| (n, 7.0 * f64::from(n), 7.0 * f64::from(n)))
        .into();
    let found = Law::through(&measured(&points)).unwrap();
    assert!((found.alone - 7.0).abs() < 1e-6);
    assert!(found.contention < 1e-6);
    assert_eq!(found.peak(), None);
}

#[test]
fn the_first_number_of_actors_is_put_back_even_after_an_error() {
    let set = RefCell::new(Vec::new());
    let remember = |actors| -> Result<(), &str> {
        set.borrow_mut().push(actors);
        Ok(())
    };
    let whole = experiment(&[8, 4, 8], remember, |actors| Ok(behind_a_lock(actors)));
    assert_eq!(whole.unwrap().len(), 3);
    assert_eq!(set.take(), [4, 8]);
    let broken = experiment(&[8, 4, 2], remember, |actors| {
        if actors == 2 {
            Err("gone")
        } else {
            Ok(behind_a_lock(actors))
        }
    });
    assert_eq!(broken, Err("gone"));
    assert_eq!(set.take(), [4, 2, 8]);
}

#[test]
fn code_under_contention_is_counted_on_every_thread() {
    let points = contend(&[1, 3], Duration::from_millis(5), |tally| {
        tally.attempt();
        tally.attempt();
        tally.success();
    });
    assert_eq!(
        points.iter().map(|point| point.actors).collect::<Vec<_>>(),
        [1, 3]
    );
    for point in points {
        assert!(point.successes > 0.0);
        assert!(
            (point.attempts_per_success() - 2.0).abs() < 0.1,
            "{point:?}"
        );
    }
}

#[test]
fn a_panic_in_one_actor_ends_the_others_and_is_passed_on() {
    let outcome = std::panic::catch_unwind(|| {
        contend(&[4], Duration::from_secs(600), |_| panic!("on purpose"))
    });
    assert!(outcome.is_err());
}
