use crate::facts::View;
use crate::facts::delay::Wait;
use crate::facts::loops::{Bound, LoopKind};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK102",
    name: "retry-without-bound",
    level: Level::Error,
    standing: Standing::Default,
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
and returned does not count as an end: others still go round. Supervisors that are tied to a stop
signal are fine. Where a context is at hand and only the sleep ignores it, EK103 says so instead.

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
        sink.report(finding);
    }
}
