//! The scenarios that are shipped: each can be read, and gives what its file expects.
//!
//! Here a few cells of each with few seeds, so that it takes seconds; `evenkeel simulate FILE` runs the
//! whole.

#![expect(
    clippy::disallowed_methods,
    reason = "the test reads the files that are shipped"
)]
#![expect(clippy::unwrap_used, reason = "its helpers are tests, too")]

use std::path::{Path, PathBuf};

use evenkeel_sim::outcome;
use evenkeel_sim::scenario::{Choice, Scenario, Story};
use evenkeel_sim::world::World;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

fn read(name: &str) -> Scenario {
    let file = folder().join(name);
    let text = std::fs::read_to_string(&file).unwrap();
    Scenario::parse(&file.display().to_string(), &text).unwrap_or_else(|error| panic!("{error}"))
}

fn words(list: &str) -> Vec<String> {
    list.split(", ")
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Runs some cells of a scenario and insists on what it expects of them.
#[track_caller]
fn holds(name: &str, variants: &str, points: &str) {
    let scenario = read(name);
    let choice = Choice {
        compare: words(variants),
        points: words(points),
        ..Choice::default()
    };
    let cells = scenario
        .cells(&choice)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(
        cells.iter().any(|cell| !cell.expect.is_empty()),
        "something is expected"
    );
    let outcome = outcome::run(&scenario, &cells, &scenario.seeds, &mut |_| true).unwrap();
    assert!(outcome.holds, "{outcome}");
}

#[test]
fn every_scenario_that_is_shipped_can_be_read_with_all_its_variants() {
    let files = std::fs::read_dir(folder()).unwrap();
    let names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in names
        .iter()
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == "yaml"))
    {
        assert!(
            !read(name).cells(&Choice::default()).unwrap().is_empty(),
            "{name}"
        );
    }
    assert!(names.len() >= 15, "{names:?}");
}

#[test]
fn s1_contention_gives_what_the_published_simulator_gives() {
    let all = "none, exponential_no_jitter, equal_jitter, full_jitter, decorrelated, server_ticket";
    holds("contention.yaml", all, "50, 100");
}

#[test]
fn s2_overload_is_served_by_what_is_told_the_deadline_and_by_nothing_else() {
    let all = "no_control, static_queue_16, aimd_timeout_100ms, vegas_1s_window, \
               gradient2_1s_window, codel_adaptive_lifo_5_100, hybrid_deadline_k4_lifo100ms, evenkeel";
    let all = all.split_whitespace().collect::<Vec<_>>().join(" ");
    holds("overload.yaml", &all, "0.9x, 1.25x, 2x");
}

#[test]
fn s2_a_capacity_that_drops_is_used() {
    holds(
        "capacity-drop.yaml",
        "static_queue_16, codel_fifo_5_100, evenkeel",
        "",
    );
}

#[test]
fn s3_a_retry_storm_outlives_its_cause_unless_the_server_drops_what_is_late() {
    holds(
        "retry-storm.yaml",
        "no_retry, budget10_cap1, breaker, naive_3_server_deadline_drop",
        "stall",
    );
}

#[test]
fn s4_a_slow_dependency_takes_a_shared_pool_and_no_bulkheads() {
    let all = "shared100_no_timeout, bulkhead_timeout_200ms_fallback, \
               bulkhead_timeout_200ms_fallback_breaker, evenkeel";
    let all = all.split_whitespace().collect::<Vec<_>>().join(" ");
    holds("cascade.yaml", &all, "");
}

#[test]
fn s5_hedges_win_what_the_law_allows() {
    holds("hedging-exact.yaml", "", "");
    holds("hedging.yaml", "no_hedge, fixed_50ms_cancel", "rho 0.15");
}

#[test]
fn s6_retries_multiply_tier_by_tier() {
    holds("chain.yaml", "naive_3, budget10_3, budget10_deadline_3", "");
}

#[test]
fn s7_a_noisy_tenant_gets_its_share_where_queues_are_fair() {
    let all = "fifo_queue16, fair_queue_rr_deadline_drop, per_tenant_concurrency_4, evenkeel";
    holds("tenants.yaml", all, "1600");
}

#[test]
fn s8_a_peak_is_predicted_as_well_as_the_points_allow() {
    holds("usl.yaml", "", "");
}

#[test]
fn a_scenario_run_twice_is_the_same_to_the_event() {
    for (name, variant, point) in [
        ("overload.yaml", "evenkeel", "2x"),
        ("fleet-sharing.yaml", "evenkeel", "10 processes"),
        ("cascade.yaml", "evenkeel", ""),
        ("hedging.yaml", "evenkeel", "rho 0.02"),
        ("tenants.yaml", "evenkeel", "1600"),
    ] {
        let choice = Choice {
            compare: words(variant),
            points: words(point),
            ..Choice::default()
        };
        let cells = read(name).cells(&choice).unwrap();
        let Story::Fleet(fleet) = &cells[0].story else {
            panic!("{name} is a fleet")
        };
        let hash = || World::new(fleet, 1).run().hash;
        assert_eq!(hash(), hash(), "{name}");
    }
}

/// Written down once: any other build, on any machine, has to find it too.
#[test]
fn the_event_hash_is_that_of_every_other_build() {
    let choice = Choice {
        compare: words("hybrid_deadline_k4_lifo100ms"),
        points: words("2x"),
        ..Choice::default()
    };
    let cells = read("overload.yaml").cells(&choice).unwrap();
    let Story::Fleet(fleet) = &cells[0].story else {
        panic!("a fleet")
    };
    let hash = World::new(fleet, 42).run().hash;
    assert_eq!(hash, EVENTS_OF_OVERLOAD, "{hash:#018x}");
}

const EVENTS_OF_OVERLOAD: u64 = 0x89ff_2aaa_e4ab_6491;
