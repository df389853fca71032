use super::intent::{goes_on_by_design, stays_in_process, waits_for_a_state};
use crate::facts::delay::Wait;
use crate::facts::loops::{Bound, LoopKind};
use crate::facts::{Traits, View};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK102",
    name: "retry-without-bound",
    level: Level::Error,
    standing: Standing::Preview,
    summary: "a loop tries again for ever: no count, no clock, no way to stop it",
    page: r#"
A loop tries an operation again until it succeeds, and nothing else ends it.

## Why it hurts
A failure that does not pass — a wrong address, a revoked credential, a bug — turns into a task that
never ends. It holds what it holds (a connection, a lock, a request), it keeps the dependency under
load, and it cannot be shut down: the process has to be killed.

## Example
```go bad
package store

import "time"

func connect(address string) *Conn {
	for {
		conn, err := dial(address)
		if err == nil {
			return conn
		}
		time.Sleep(time.Second)
	}
}
```
```go good
package store

import ("context"; "time")

func connect(ctx context.Context, address string) (*Conn, error) {
	for {
		conn, err := dial(address)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
```
```rust bad
async fn connect(address: &str) -> Connection {
    loop {
        match Connection::connect(address).await {
            Ok(connection) => return connection,
            Err(error) => warn!(%error, "cannot connect"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
```
```rust good
async fn connect(address: &str, token: &CancellationToken) -> Option<Connection> {
    loop {
        match Connection::connect(address).await {
            Ok(connection) => return Some(connection),
            Err(error) => warn!(%error, "cannot connect"),
        }
        tokio::select! {
            _ = token.cancelled() => return None,
            _ = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
```

## How it is found
The loop's paths are followed: failure waits and leads to the next turn. No count, no comparison of a counter
or a clock, no context, token, channel or flag is seen that would end it. An error that is told apart
and returned does not count as an end: others still go round. Passed over: loops that another
condition ends; what stays in the
process (a full channel, a parser, waits below 100 ms); supervisors that are tied to a stop signal; Rust functions whose future a caller in
the crate races in `select!`, under a timeout or until cancelled; and loops whose author says that they
never give up, in the function's name or a comment. Where a context is at hand and only the sleep ignores it, EK103 says so instead.

## Known false alarms
An operation that itself gives up for good, by ending the process.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for facts in &view.loops {
        if facts.kind != LoopKind::Retry || facts.bound != Bound::None {
            continue;
        }
        let Some(operation) = &facts.operation else {
            continue;
        };
        let plain_sleep = facts
            .delay
            .as_ref()
            .is_some_and(|(site, _)| site.wait == Wait::Plain);
        if facts.context.is_some() && plain_sleep {
            continue;
        }
        // A loop that does not wait is a state machine or a channel's far end more often than a retry.
        if facts
            .delay
            .as_ref()
            .is_none_or(|(site, _)| site.wait == Wait::Tick)
        {
            continue;
        }
        if facts.ends_otherwise
            || goes_on_by_design(view, facts.node)
            || waits_for_a_state(view, facts)
            || takes_delays(view, facts.node)
            || stays_in_process(facts)
            || is_raced(view, facts.node)
        {
            continue;
        }
        let finding = Finding::at(view, facts.node, String::new());
        let finding = Finding {
            place: crate::finding::head_place(view, facts.node),
            ..finding
        };
        let finding = Finding {
            message: format!(
                "`{}` is tried again until it succeeds; no count, clock or stop signal found",
                operation.path
            ),
            ..finding
        }
        .label("nothing but success ends this loop")
        .related(view, operation.call, "what it retries");
        let finding = match &facts.delay {
            Some((site, _)) => finding.related(view, site.call, "where it waits"),
            None => finding,
        };
        let finding = finding.help(
            "count the attempts, compare a clock, or end on a context, token or closed channel",
        );
        let name = operation.name.clone();
        let function = view
            .function_summary(facts.node)
            .map_or_else(String::new, |s| s.name.clone());
        sink.report_if(finding, move |index, package, _| {
            !index.is_raced(package, &function)
                && index.has(package, &name, Traits::STOPS) != Some(true)
        });
    }
}

/// `while let Some(delay) = backoff.next()`: the delays end.
fn takes_delays(view: &View<'_>, node: NodeId) -> bool {
    view.tree.child(node, Role::Condition).is_some_and(|c| {
        view.tree.kind(c) == Kind::LetCondition && view.tree.text_of(c).contains("Some(")
    })
}

/// Whether the loop stands inside what is dropped when something else is done first:
/// `timeout(limit, async { loop { … } })`, an arm of `select!`.
fn is_raced(view: &View<'_>, node: NodeId) -> bool {
    let tree = view.tree;
    tree.ancestors(node).any(|a| {
        tree.kind(a) == Kind::Call
            && matches!(
                tree.callee_name(a),
                "timeout" | "timeout_at" | "run_until_cancelled" | "select" | "race" | "abortable"
            )
            || tree.kind(a) == Kind::Arm
                && tree.kind(tree.parent(a)) == Kind::Select
                && tree.language == Language::Rust
                && tree
                    .roles(a, Role::Pattern)
                    .any(|pattern| tree.within(node, pattern))
    })
}
