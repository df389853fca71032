//! The example policies: they load, they show what there is, and what is said about defaults is so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_core::{
    backoff, breaker, budget, bulkhead, endpoint, hedge, limiter, progress, rate, ratio::Ratio,
    throttle,
};
use evenkeel_policy::explain::{Origin, Setting};
use evenkeel_policy::{Loaded, Look};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

fn load(name: &str) -> Loaded {
    evenkeel_policy::load(&folder().join(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_example_policy_is_valid_and_gives_no_warning() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let loaded = load(entry.unwrap().file_name().to_str().unwrap());
        assert!(
            loaded.warnings.is_empty(),
            "{}",
            loaded.render_warnings(Look::Plain)
        );
        seen += 1;
    }
    assert!(seen >= 3, "only {seen} example policies");
}

#[test]
fn the_policy_with_all_settings_has_all_settings() {
    let schema: Value = serde_json::from_str(&evenkeel_policy::schema::policy()).unwrap();
    let text = fs::read_to_string(folder().join("all-settings.yaml")).unwrap();
    let mut keys = Vec::new();
    collect_properties(&schema, &mut keys);
    assert!(
        keys.len() > 60,
        "the schema has only {} settings",
        keys.len()
    );
    for key in keys {
        assert!(
            text.contains(&format!("{key}:")),
            "policies/all-settings.yaml lacks `{key}`"
        );
    }
}

fn collect_properties(schema: &Value, into: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        into.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(map) => map
            .values()
            .for_each(|value| collect_properties(value, into)),
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect_properties(value, into)),
        _ => {}
    }
}

#[test]
fn what_the_policy_with_all_settings_writes_are_the_defaults_of_the_core() {
    let loaded = load("all-settings.yaml");
    let search = &loaded.policy.dependencies["search"];
    assert_eq!(search.breaker, Some(breaker::Config::default()));
    let retry = search.retry.as_ref().unwrap();
    assert_eq!(retry.budget, Some(budget::Config::default()));
    let default = backoff::Config::default();
    assert_eq!(
        (retry.backoff.initial, retry.backoff.max),
        (default.initial, default.max)
    );
    assert_eq!(retry.backoff.growth, default.growth);
    assert_eq!(
        retry.throttled.jitter,
        backoff::Jitter::Proportional(Ratio::from_permille(500))
    );
    assert_eq!(search.hedge, Some(hedge::Config::default()));
    assert_eq!(search.throttle, Some(throttle::Config::default()));
    assert_eq!(search.progress, progress::Config::default());
    let rate = rate::Config::per_second(1000.try_into().unwrap());
    assert_eq!(search.rate, Some(rate));
    let mut own = limiter::own::OwnConfig::default();
    own.max_healthy_rtt = Some(Duration::from_millis(400));
    let limiter = limiter::Config::new(limiter::Algorithm::Own(own));
    assert_eq!(search.limiter, Some(limiter));
    let ledger = &loaded.policy.dependencies["ledger"];
    let endpoints = endpoint::Config::new(3.try_into().unwrap());
    assert_eq!(ledger.endpoints, Some(endpoints));
    let limit = 50.try_into().unwrap();
    assert_eq!(search.bulkhead, Some(bulkhead::Config::new(limit)));
    let classic = &loaded.policy.dependencies["classic"];
    assert_eq!(classic.breaker, Some(breaker::Config::classic()));
    assert_eq!(
        loaded.policy.proxy.unwrap().bounds,
        evenkeel_policy::proxy::Bounds::default()
    );
}

#[test]
fn every_value_is_explained_by_its_line_or_as_a_default() {
    let loaded = load("all-settings.yaml");
    let origin = |path: &str| {
        let found = loaded
            .settings
            .iter()
            .find(|setting| setting.path.to_string() == path);
        found
            .unwrap_or_else(|| panic!("{path} is not explained"))
            .origin
    };
    let text = fs::read_to_string(folder().join("all-settings.yaml")).unwrap();
    let line = |needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    assert_eq!(
        origin("dependencies.search.breaker.ramp"),
        Origin::Written {
            line: line("ramp: 2s")
        }
    );
    assert_eq!(
        origin("dependencies.classic.breaker.consecutive"),
        Origin::Preset("classic")
    );
    assert_eq!(origin("dependencies.classic.retry"), Origin::Default(None));
    let unexplained = |setting: &&Setting| {
        let path = setting.path.to_string();
        let whole = path.starts_with("dependencies.search") || path.starts_with("proxy.bounds");
        // Not for a dependency that the proxy calls.
        let not_here = path == "dependencies.search.endpoints";
        whole && !not_here && !matches!(setting.origin, Origin::Written { .. })
    };
    assert_eq!(loaded.settings.iter().find(unexplained), None);
}

/// What stands in the schema, and so in every editor, about the setting at `path`.
fn description<'a>(schema: &'a Value, path: &str) -> Option<&'a str> {
    let resolve = |mut node: &'a Value| {
        while let Some(reference) = node.get("$ref").and_then(Value::as_str) {
            node = schema.pointer(reference.strip_prefix('#')?)?;
        }
        Some(node)
    };
    let mut node = schema;
    let mut said = None;
    for key in path.replace("[0]", ".0").split('.') {
        let inside = resolve(node)?;
        let choices = inside.get("anyOf").and_then(Value::as_array);
        let first = choices
            .and_then(|choices| choices.first())
            .map_or(Some(inside), resolve)?;
        node = match first
            .get("properties")
            .and_then(|properties| properties.get(key))
        {
            Some(property) => property,
            None if key == "0" => first.get("items")?,
            None => first.get("additionalProperties")?,
        };
        said = node.get("description").and_then(Value::as_str);
    }
    said
}

#[test]
fn the_defaults_in_the_descriptions_are_the_defaults() {
    let text = "
version: 1
service: shop
dependencies:
  a:
    retry: { backoff: { jitter: full } }
    breaker: {}
    bulkhead: { limit: 9 }
    rate: { limit: 9 }
    throttle: {}
    hedge: {}
    limiter: {}
  b:
    deadline: 1s
    endpoints: { count: 2 }
proxy:
  upstreams: { a: { url: http://127.0.0.1:1 } }
  routes: [{ upstream: a, fallback: { last_good: {} } }]
";
    let schema: Value = serde_json::from_str(&evenkeel_policy::schema::policy()).unwrap();
    let loaded = evenkeel_policy::parse("x", text).unwrap_or_else(|error| panic!("{error}"));
    let mut compared = 0;
    for setting in &loaded.settings {
        let path = setting.path.to_string();
        let numeric = setting
            .value
            .starts_with(|first: char| first.is_ascii_digit());
        // Whose defaults depend on their neighbours say so in words.
        let in_words = path.contains("throttled") || path.ends_with("bulkhead.queue");
        if setting.origin != Origin::Default(None) || !numeric || in_words {
            continue;
        }
        let said = description(&schema, &path).unwrap_or_else(|| panic!("{path} is not described"));
        let default = format!("Default {}", setting.value);
        let told = said
            .split_once(&default)
            .is_some_and(|(_, rest)| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()));
        assert!(
            told,
            "{path} is {} by default, and described as: {said}",
            setting.value
        );
        compared += 1;
    }
    assert!(compared > 70, "only {compared} defaults were compared");
}

#[test]
fn a_dependency_behind_the_proxy_is_retried_once_by_default_and_another_twice() {
    let text = "
version: 1
service: shop
dependencies:
  behind: { deadline: 1s, attempt_timeout: 100ms, retry: {} }
  direct: { deadline: 1s, attempt_timeout: 100ms, retry: {} }
proxy:
  upstreams: { u: { url: http://127.0.0.1:1, dependency: behind } }
  routes: [{ upstream: u }]
";
    let policy = evenkeel_policy::parse("x", text).unwrap().policy;
    let attempts = |name: &str| {
        policy.dependencies[name]
            .retry
            .as_ref()
            .unwrap()
            .max_attempts
            .get()
    };
    assert_eq!((attempts("behind"), attempts("direct")), (2, 3));
}

#[test]
fn a_drain_waits_for_the_longest_deadline_unless_it_is_told_otherwise() {
    let text = "
version: 1
service: shop
dependencies:
  quick: { deadline: 1s }
  slow: { deadline: 40s }
proxy:
  upstreams: { quick: { url: http://127.0.0.1:1 }, slow: { url: http://127.0.0.1:2 } }
  routes:
    - { upstream: quick }
    - { upstream: slow, match: { path_prefix: /slow }, deadline: 35s }
";
    let timeout = |text: &str| {
        let loaded = evenkeel_policy::parse("x", text).unwrap();
        assert!(loaded.warnings.is_empty());
        loaded.policy.proxy.unwrap().drain.timeout.as_secs()
    };
    assert_eq!(timeout(text), 36, "the route's own, and a second");
    assert_eq!(timeout(&text.replace(", deadline: 35s", "")), 41);
    let written = text.replace("proxy:\n", "proxy:\n  drain: { timeout: 35s }\n");
    assert_eq!(timeout(&written), 35);
}

#[test]
fn aliases_and_merges_repeat_what_they_name() {
    let text = "
version: 1
service: shop
dependencies:
  a: &usual { deadline: 1s, breaker: { preset: classic } }
  b: *usual
  c: { <<: *usual, deadline: 2s }
";
    let dependencies = evenkeel_policy::parse("x", text)
        .unwrap()
        .policy
        .dependencies;
    assert_eq!(dependencies["a"], dependencies["b"]);
    assert_eq!(dependencies["c"].breaker, dependencies["a"].breaker);
    assert_eq!(dependencies["c"].deadline.as_secs(), 2);
}

#[test]
fn routes_of_different_precision_may_stand_in_any_order() {
    let text = "
version: 1
service: shop
dependencies: { d: { deadline: 1s } }
proxy:
  upstreams: { d: { url: http://127.0.0.1:1 } }
  routes:
    - { name: all, upstream: d }
    - { name: gets, upstream: d, match: { methods: [GET] } }
    - { name: cart, upstream: d, match: { path_prefix: /cart } }
    - { name: cart-writes, upstream: d, match: { path_prefix: /cart, methods: [PUT] } }
    - { name: below, upstream: d, match: { host: '*.shop.example' } }
    - { name: host, upstream: d, match: { host: SHOP.example } }
    - { name: after-gets, upstream: d, match: { host: shop.example, methods: [GET] } }
    - { name: before-none, upstream: d, match: { path_prefix: /x, methods: [GET] } }
    - { name: none, upstream: d, match: { path_prefix: /x } }
";
    let loaded = evenkeel_policy::parse("x", text).unwrap_or_else(|error| panic!("{error}"));
    let routes = loaded.policy.proxy.unwrap().routes;
    let hosts: Vec<_> = routes
        .iter()
        .filter_map(|route| route.host.as_deref())
        .collect();
    assert_eq!(hosts, ["*.shop.example", "shop.example", "shop.example"]);
}
