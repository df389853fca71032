use super::outcome::Outcome;
use super::*;

fn verdict(outcome: &Outcome, name: &str) -> Verdict {
    let mut thresholds = outcome.thresholds.iter();
    thresholds
        .find(|one| one.name == name)
        .unwrap_or_else(|| panic!("{name}"))
        .verdict
}

/// The usual drill with one run changed.
fn with(side: Side, change: impl FnOnce(&mut Run)) -> Outcome {
    let mut runs = vec![fixture::unprotected(), fixture::protected()];
    let run = runs.iter_mut().find(|run| run.side == side).unwrap();
    change(run);
    Outcome::of(fixture::story(), runs)
}

fn fault(run: &mut Run) -> &mut PhaseSummary {
    run.phases
        .iter_mut()
        .find(|summary| summary.phase == Phase::Fault)
        .unwrap()
}

#[test]
fn the_usual_drill_passes_and_reads_like_this() {
    let outcome = fixture::outcome();
    assert!(outcome.passed);
    insta::assert_snapshot!(outcome.to_string());
}

#[test]
fn an_unprotected_run_that_does_not_collapse_fails_the_drill_and_says_so() {
    let outcome = with(Side::Unprotected, |run| fault(run).success_share = 0.10);
    assert_eq!(verdict(&outcome, "unprotected_collapses"), Verdict::Fail);
    assert!(!outcome.passed);
    let text = outcome.to_string();
    assert!(
        text.contains("it did not collapse, so this drill proves nothing"),
        "{text}"
    );
    assert!(text.contains("FAILED"), "{text}");
}

type Change = fn(&mut Run);

#[test]
fn each_threshold_fails_alone_when_its_figure_is_passed() {
    let cases: [(&str, Side, Change); 9] = [
        ("protected_success", Side::Protected, |run| {
            fault(run).success_share = 0.9989;
        }),
        ("protected_no_5xx", Side::Protected, |run| {
            run.seconds[20].counts.server_errors = 1;
        }),
        ("protected_p99", Side::Protected, |run| {
            fault(run).summary.corrected.p99_ms = 80.1;
        }),
        ("protected_recovery", Side::Protected, |run| {
            run.recovery = Recovery::Recovered { seconds: 11 };
        }),
        ("protected_slow_calls", Side::Protected, |run| {
            run.slow_calls.as_mut().unwrap().mean_per_s = 5.01;
        }),
        ("unprotected_steady_before", Side::Unprotected, |run| {
            run.phases[1].success_share = 0.98;
        }),
        ("protected_steady_before", Side::Protected, |run| {
            run.phases[1].summary.corrected.p99_ms = 50.1;
        }),
        ("protected_fault_took_effect", Side::Protected, |run| {
            run.slow_calls.as_mut().unwrap().total = 0;
        }),
        ("protected_generator_pace", Side::Protected, |run| {
            run.pace.kept = false;
        }),
    ];
    for (name, side, change) in cases {
        let outcome = with(side, change);
        let failed: Vec<&str> = outcome
            .thresholds
            .iter()
            .filter(|one| one.verdict == Verdict::Fail)
            .map(|one| one.name)
            .collect();
        assert_eq!(failed, [name]);
        assert!(!outcome.passed, "{name}");
    }
}

#[test]
fn a_recovery_is_judged_as_soon_as_what_was_seen_decides_it_and_no_sooner() {
    let not_judged = |seconds, held| Recovery::NotJudged { seconds, held };
    let cases = [
        (Recovery::Recovered { seconds: 7 }, Verdict::Pass),
        (Recovery::Recovered { seconds: 10 }, Verdict::Pass),
        (Recovery::Recovered { seconds: 11 }, Verdict::Fail),
        (not_judged(2, 3), Verdict::NotJudged),
        (not_judged(10, 7), Verdict::NotJudged),
        // Even if it holds from here on, it came too late.
        (not_judged(11, 6), Verdict::Fail),
        (Recovery::NotSeen { watched: 3 }, Verdict::NotJudged),
        (Recovery::NotSeen { watched: 10 }, Verdict::NotJudged),
        (Recovery::NotSeen { watched: 17 }, Verdict::Fail),
        (Recovery::NotSeen { watched: 20 }, Verdict::Fail),
    ];
    for (recovery, expected) in cases {
        let outcome = with(Side::Protected, |run| run.recovery = recovery);
        assert_eq!(
            verdict(&outcome, "protected_recovery"),
            expected,
            "{recovery:?}"
        );
        assert_eq!(outcome.verdict(), Some(expected));
        assert_eq!(outcome.passed, expected == Verdict::Pass);
    }
}

#[test]
fn a_drill_too_short_to_judge_says_so_and_names_the_length_that_can() {
    let outcome = with(Side::Protected, |run| {
        run.recovery = Recovery::NotSeen { watched: 3 };
    });
    let told = "not back in the 3 s watched: too short to tell, which takes --duration 66s";
    for page in [outcome.to_string(), outcome.html().unwrap()] {
        assert!(page.contains(told), "{page}");
        assert!(page.contains("NOT JUDGED") && !page.contains("FAILED"));
    }
}

#[test]
fn a_drill_that_failed_is_not_excused_by_what_could_not_be_judged() {
    let outcome = with(Side::Protected, |run| {
        run.recovery = Recovery::NotSeen { watched: 3 };
        fault(run).success_share = 0.5;
    });
    assert_eq!(outcome.verdict(), Some(Verdict::Fail));
    assert!(outcome.to_string().contains("FAILED"));
}

#[test]
fn a_failure_on_a_busy_machine_is_doubted_aloud_and_no_other_is() {
    let busy = with(Side::Protected, |run| {
        run.pace.kept = false;
    });
    assert!(busy.to_string().contains("The machine was too busy"));
    assert!(busy.html().unwrap().contains("The machine was too busy"));
    let failed = with(Side::Protected, |run| {
        fault(run).success_share = 0.5;
    });
    assert!(!failed.passed);
    assert_eq!(failed.doubt(), None);
}

#[test]
fn a_drill_that_was_broken_off_judges_nothing_and_says_so() {
    let mut run = fixture::unprotected();
    run.complete = false;
    let outcome = Outcome::of(fixture::story(), vec![run]);
    assert!(!outcome.complete && !outcome.passed && outcome.thresholds.is_empty());
    assert!(outcome.to_string().starts_with("PARTIAL"));
    assert!(outcome.html().unwrap().contains("PARTIAL"));
    let begun = Outcome::of(fixture::story(), vec![Run::not_begun(Side::Unprotected)]);
    assert!(begun.html().unwrap().contains("PARTIAL"));
}

#[test]
fn the_page_needs_nothing_else() {
    let html = fixture::outcome().html().unwrap();
    let html = html.replace("http://www.w3.org/2000/svg", "");
    for foreign in [
        "<script", "<link", "src=", "url(", "http://", "https://", "@import",
    ] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert!(html.contains("prefers-color-scheme: dark"));
    assert!(html.contains("PASSED") && !html.contains("FAILED"));
}

#[test]
fn a_text_from_outside_cannot_become_markup() {
    let outcome = with(Side::Protected, |run| {
        run.policy = Some("service: </pre><script>alert(1)</script>".to_owned());
    });
    assert!(!outcome.html().unwrap().contains("<script>"));
}

#[test]
fn the_page_of_the_usual_drill_is_this_one() {
    insta::assert_snapshot!(fixture::outcome().html().unwrap());
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a person says by it that a change is meant"
)]
fn the_json_is_what_its_schema_says() {
    let schema = schemars::schema_for!(Outcome);
    let schema = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../schemas/drill-cascade.schema.json"
    );
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, &schema).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        committed, schema,
        "schemas/drill-cascade.schema.json is out of date: run this test with UPDATE_SCHEMAS=1"
    );
    let json = serde_json::to_value(fixture::outcome()).unwrap();
    assert_eq!(json["schema_version"], SCHEMA_VERSION);
}

#[test]
fn a_second_that_has_not_ended_shows_a_bound_instead_of_a_percentile() {
    let mut seen = fixture::unprotected().seconds[0];
    let line = |seen| {
        let phase = Phase::Fault;
        let breaker = Some(Breaker::Open);
        Progress::Second {
            second: 5,
            phase,
            seen,
            pool_in_use: 100,
            breaker,
        }
        .to_string()
    };
    assert_eq!(
        line(seen),
        "   5 s  fault    offered 100  good 100  degraded   0  p99    21 ms  pool 100/100  breaker open"
    );
    seen.counts.full = 0;
    assert!(line(seen).contains("p99 >1000 ms"), "{}", line(seen));
}
