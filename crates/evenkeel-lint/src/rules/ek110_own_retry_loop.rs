use super::retries;
use crate::facts::View;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK110",
    name: "own-retry-loop",
    level: Level::Warning,
    standing: Standing::OptIn,
    summary: "a retry loop of one's own beside the project's shared library",
    page: r#"
A loop tries an operation again by hand, although the project has one library for that.

## Why it hurts
The shared library has the bound, the jitter, the metric and the budget; the loop beside it has what
its author thought of that day. Retries that do not share a budget multiply.

## Example
With `shared-retry = "internal/retry"` in `evenkeel-lint.toml` (or without it, for every own loop):
```go bad
package store

import "time"

func save(client *Client) error {
	for i := 0; i < 3; i++ {
		if err := client.Send(); err == nil {
			return nil
		}
		time.Sleep(jitter(i))
	}
	return errFailed
}
```
```go good
package store

import ("context"; "internal/retry")

func save(ctx context.Context, client *Client) error {
	return retry.Do(ctx, policy, client.Send)
}
```

## How it is found
Every retry loop (see EK101) outside of the path named by `shared-retry`.

## Known false alarms
The library's own loop, when it is not named in the configuration.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let shared = sink.spec.shared_retry.as_deref();
    if shared.is_some_and(|shared| view.path.contains(shared)) {
        return;
    }
    let instead = shared.map_or_else(
        || "the project's retry library".to_owned(),
        |s| format!("`{s}`"),
    );
    for (facts, operation) in retries(view) {
        if facts.delay.is_none() {
            continue;
        }
        let finding = Finding::at(
            view,
            facts.node,
            format!(
                "own retry loop around `{}` instead of {instead}",
                operation.path
            ),
        );
        let finding = Finding {
            place: crate::finding::head_place(view, facts.node),
            ..finding
        };
        sink.report(
            finding
                .label("tries again by hand")
                .related(view, operation.call, "what it retries")
                .help(format!("use {instead}")),
        );
    }
}
