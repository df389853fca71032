use crate::facts::View;
use crate::facts::delay::Wait;
use crate::facts::loops::{Bound, LoopKind};
use crate::finding::{Edit, Finding, Fix, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::{Language, Setting};
use crate::syntax::{Kind, NodeId, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK103",
    name: "retry-sleep-ignores-context",
    level: Level::Warning,
    standing: Standing::Default,
    summary: "a retry sleeps although the context it was given may have ended",
    page: r#"
A loop that tries again sleeps with a plain sleep while a context or token is at hand.

## Why it hurts
The caller has left or the service shuts down, and the loop sleeps on: shutdown takes as long as the
longest back-off, and work goes on for someone who no longer waits for it.

## Example
```go bad
package store

import ("context"; "time")

func load(ctx context.Context, client *Client) error {
	for i := 0; i < 10; i++ {
		if err := client.Call(ctx); err == nil {
			return nil
		}
		time.Sleep(5 * time.Second)
	}
	return errFailed
}
```
```go good
package store

import ("context"; "math/rand/v2"; "time")

func load(ctx context.Context, client *Client) error {
	for i := 0; i < 10; i++ {
		if err := client.Call(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(5 * time.Second)):
		}
	}
	return errFailed
}
```
```rust bad
async fn load(client: &Client, token: CancellationToken) -> Result<(), Error> {
    for _ in 0..10 {
        if client.call().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    Err(Error::GaveUp)
}
```
```rust good
async fn load(client: &Client, token: CancellationToken) -> Result<(), Error> {
    for _ in 0..10 {
        if client.call().await.is_ok() {
            return Ok(());
        }
        tokio::select! {
            _ = token.cancelled() => return Err(Error::Cancelled),
            _ = tokio::time::sleep(jittered()) => {}
        }
    }
    Err(Error::GaveUp)
}
```

## How it is found
A retry or poll loop (see EK101) in a function with a live `context.Context`, `*http.Request`, stream
or `CancellationToken`, whose delay is a plain sleep and not an arm of a select. Sleeps below 100 ms
are passed over, and so are those below a second in loops that look at the context each turn.

## Fix
Unsafe: a select on the context's end replaces the sleep, where the function returns an error or
nothing.

## Known false alarms
In Rust, a future that is dropped as a whole when its token ends.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    if view.setting == Setting::Command {
        return;
    }
    for facts in &view.loops {
        // A ticker that ends with what it writes to, and the like, is no retry: some turn has to use
        // the context, or the turns have to be counted.
        let is_counted = matches!(facts.bound, Bound::Counted | Bound::Compared);
        let uses_context = facts.operation.as_ref().is_some_and(|op| op.takes_context);
        let applies = match facts.kind {
            LoopKind::Retry | LoopKind::Reconnect => true,
            LoopKind::Poll => is_counted || uses_context,
            LoopKind::Periodic => is_counted && uses_context,
        };
        if !applies {
            continue;
        }
        let (Some(context), Some((site, delay))) = (&facts.context, &facts.delay) else {
            continue;
        };
        if site.wait != Wait::Plain || facts.attempts.is_some_and(|n| n <= 2) {
            continue;
        }
        if delay
            .constant_ms
            .is_some_and(|ms| ms < 100 || ms < 1000 && facts.bound == Bound::Stopped)
        {
            continue;
        }
        if view.tree.language == Language::Rust && facts.bound == Bound::Stopped {
            continue;
        }
        let what = facts.operation.as_ref().map_or_else(
            || "the loop".to_owned(),
            |op| format!("the retry of `{}`", op.path),
        );
        let slept = delay.constant_ms.map_or_else(
            || format!("`{}`", delay.text),
            super::ek101_retry_without_jitter::duration,
        );
        let mut finding = Finding::at(
            view,
            site.call,
            format!("{what} sleeps {slept} without looking at `{context}`"),
        )
        .label(format!("sleeps on after `{context}` has ended"))
        .related(view, facts.node, "the loop that tries again")
        .help(match view.tree.language {
            Language::Go => format!("wait in a select beside `<-{context}.Done()`"),
            Language::Rust => format!("wait in `tokio::select!` beside `{context}.cancelled()`"),
        });
        finding.fix = fix(view, site.call, context);
        sink.report(finding);
    }
}

/// `time.Sleep(d)` as a statement becomes a select.
fn fix(view: &View<'_>, call: NodeId, context: &str) -> Option<Fix> {
    let tree = view.tree;
    if tree.language != Language::Go
        || view.called(call) != "time.Sleep"
        || tree.kind(tree.parent(call)) != Kind::Block
    {
        return None;
    }
    let body = tree.enclosing_body(call)?;
    let mut results = tree.roles(body, Role::Result);
    let leave = match (results.next(), results.next()) {
        (None, _) => "return".to_owned(),
        (Some(only), None) if tree.text_of(only) == "error" => format!("return {context}.Err()"),
        _ => return None,
    };
    let duration = tree.text_of(tree.arguments(call).next()?);
    let node = tree.get(call);
    let line_start = tree.text[..node.start as usize]
        .rfind('\n')
        .map_or(0, |n| n + 1);
    let indent: String = tree.text[line_start..node.start as usize]
        .chars()
        .take_while(|c| c.is_whitespace())
        .collect();
    let sleep = tree.callee(call).map_or("time.Sleep", |c| tree.text_of(c));
    let after = sleep.replace("Sleep", "After");
    Some(Fix {
        title: format!("wait for `{context}` too"),
        changes_behaviour: true,
        edits: vec![Edit {
            bytes: node.start as usize..node.end as usize,
            line: view.lines.position(node.start).0,
            replacement: format!(
                "select {{\n{indent}case <-{context}.Done():\n{indent}\t{leave}\n{indent}case <-{after}({duration}):\n{indent}}}"
            ),
        }],
    })
}
