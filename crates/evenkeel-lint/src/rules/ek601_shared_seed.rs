use crate::facts::View;
use crate::facts::words::has_any;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, NodeId};

pub(super) const RULE: Rule = Rule {
    code: "EK601",
    name: "shared-seed",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "randomness that spreads a load is seeded alike in every process",
    page: r#"
A generator whose numbers spread delays or load is seeded with a literal, or with the time in seconds.

## Why it hurts
Every replica draws the same numbers, or all that start in the same second do, as they do after a
deployment. The jitter is there and the clients still come in step.

## Example
```go bad
package store

import ("math/rand"; "time")

var source = rand.New(rand.NewSource(time.Now().Unix()))

func jitter(delay time.Duration) time.Duration {
	return time.Duration(source.Int63n(int64(delay)))
}
```
```go good
package store

import ("math/rand/v2"; "time")

func jitter(delay time.Duration) time.Duration {
	return rand.N(delay)
}
```
```rust bad
fn jitter(delay: Duration) -> Duration {
    let mut random = StdRng::seed_from_u64(42);
    random.random_range(Duration::ZERO..delay)
}
```
```rust good
fn jitter(delay: Duration) -> Duration {
    rand::rng().random_range(Duration::ZERO..delay)
}
```

## How it is found
A seed that is a literal, or the time in whole seconds, in a function or file that speaks of delays,
jitter, back-off or spreading. Tests, simulations and hash seeds are passed over.

## Known false alarms
A sequence that is meant to be the same everywhere.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if !has_any(tree.text, &["seed", "newsource", "newpcg"]) {
        return;
    }
    for call in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Call && !view.is_test(id)) {
        let path = view.called(call);
        let seeds = match tree.language {
            Language::Go => matches!(
                path.as_str(),
                "math/rand.Seed" | "math/rand.NewSource" | "math/rand/v2.NewPCG"
            ),
            Language::Rust => tree.callee_name(call) == "seed_from_u64",
        };
        if !seeds {
            continue;
        }
        let Some(seed) = tree.arguments(call).next() else {
            continue;
        };
        let Some(why) = shared(view, seed) else {
            continue;
        };
        let scope = view.scope(call);
        let about = if scope == 0 {
            tree.text
        } else {
            tree.text_of(scope)
        };
        if !has_any(
            about,
            &["jitter", "delay", "backoff", "sleep", "spread", "stagger"],
        ) || has_any(
            about,
            &["determin", "reproduc", "simulat", "hashseed", "hash_seed"],
        ) {
            continue;
        }
        sink.report(
            Finding::at(
                view,
                call,
                format!("every process that {why} draws the same numbers"),
            )
            .label("the spread is in step with all others")
            .help(
                "leave the seed to the system, or mix in what differs: host, process, nanoseconds",
            ),
        );
    }
}

fn shared(view: &View<'_>, seed: NodeId) -> Option<&'static str> {
    let tree = view.tree;
    let inner = tree.strip(seed);
    if tree.kind(inner) == Kind::Number {
        return Some("is seeded with this literal");
    }
    if tree.kind(inner) == Kind::Call
        && matches!(
            tree.callee_name(inner),
            "Unix" | "Second" | "Nanosecond" | "as_secs"
        )
    {
        return Some("starts in the same second");
    }
    None
}
