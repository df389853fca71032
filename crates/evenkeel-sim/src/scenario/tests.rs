use super::*;

const SHORT: &str = "
version: 1
title: a story
ends: 10s
services: { api: { workers: 2, work: { exponential: 10ms } } }
clients: { web: { arrivals: { poisson: 100 }, deadline: 1s, calls: [{ service: api }] } }
";

fn refused(text: &str) -> String {
    Scenario::parse("story.yaml", text)
        .expect_err("it cannot hold")
        .to_string()
}

#[test]
fn a_scenario_without_anything_that_varies_is_one_cell() {
    let scenario = Scenario::parse("story.yaml", SHORT).unwrap();
    let cells = scenario.cells(&Choice::default()).unwrap();
    assert_eq!(
        (cells.len(), scenario.seeds.as_slice()),
        (1, [1].as_slice())
    );
}

#[test]
fn variants_and_points_multiply_and_layers_take_away() {
    let text = format!(
        "{SHORT}sweep: [{{ name: half, set: {{ clients.web.arrivals.poisson: 50 }} }}, {{ name: all }}]
variants: {{ one: {{}}, two: {{ set: {{ services.api.workers: 4 }} }} }}
layers: {{ deadline: {{ set: {{ clients.web.deadline: ~ }} }} }}
"
    );
    let scenario = Scenario::parse("story.yaml", &text).unwrap();
    let workers = |cell: &Cell| match &cell.story {
        Story::Fleet(fleet) => (
            fleet.services[0].workers,
            fleet.groups[0].deadline.is_some(),
        ),
        _ => (None, false),
    };
    let all: Vec<_> = scenario
        .cells(&Choice::default())
        .unwrap()
        .iter()
        .map(workers)
        .collect();
    assert_eq!(
        all,
        [
            (Some(2), true),
            (Some(2), true),
            (Some(4), true),
            (Some(4), true)
        ]
    );
    let choice = Choice {
        compare: vec!["two".to_owned()],
        points: vec!["half".to_owned()],
        without: vec!["deadline".to_owned()],
        set: vec![("services.api.workers".to_owned(), "8".to_owned())],
        ..Choice::default()
    };
    let chosen: Vec<_> = scenario
        .cells(&choice)
        .unwrap()
        .iter()
        .map(workers)
        .collect();
    assert_eq!(chosen, [(Some(8), false)]);
}

#[test]
fn an_unknown_name_is_told_with_its_line_and_what_was_probably_meant() {
    let told = refused(&SHORT.replace("service: api", "service: apo"));
    assert!(
        told.contains("story.yaml:6") && told.contains("did you mean `api`?"),
        "{told}"
    );
    let told = refused(&SHORT.replace("workers: 2", "wrokers: 2"));
    assert!(told.contains("did you mean `workers`?"), "{told}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = SHORT
        .replace("poisson: 100", "poisson: -1")
        .replace("exponential: 10ms", "pareto: { least: 5ms }");
    let told = refused(&text);
    assert!(
        told.contains("out of range") && told.contains("`alpha` is missing"),
        "{told}"
    );
}

#[test]
fn what_a_variant_breaks_is_found_before_anything_runs() {
    let text = format!("{SHORT}variants: {{ broken: {{ set: {{ services.api.work: {{}} }} }} }}\n");
    assert!(refused(&text).contains("a law is one of its kinds"));
    let text = format!("{SHORT}expect: {{ web.all.goodput: {{ at_leest: 3 }} }}\n");
    assert!(refused(&text).contains("did you mean `at_least`?"));
}

#[test]
fn a_policy_is_written_as_in_the_policy_file() {
    let text = SHORT.replace(
        "calls: [{ service: api }]",
        "calls: [{ service: api, policy: api }]",
    ) + "policy: { version: 1, service: web, dependencies: { api: { deadline: 1s, retry: {} } } }\n";
    let scenario = Scenario::parse("story.yaml", &text).unwrap();
    let cells = scenario.cells(&Choice::default()).unwrap();
    let Story::Fleet(fleet) = &cells[0].story else {
        panic!("a fleet")
    };
    let crate::fleet::Caller::Policy(config) = &fleet.groups[0].plan[0][0].caller else {
        panic!("by a policy")
    };
    assert_eq!(config.retry.as_ref().unwrap().max_attempts.get(), 3);
    assert!(
        refused(&text.replace("policy: api }", "policy: apu }")).contains("did you mean `api`?")
    );
}
