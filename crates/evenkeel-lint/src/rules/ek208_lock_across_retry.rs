use crate::facts::View;
use crate::facts::loops::LoopKind;
use crate::facts::words::has_any;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK208",
    name: "lock-across-retry",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a lock guard lives across a retry loop: everyone waits for the back-off",
    page: r#"
A lock is taken, and a loop that retries and waits runs while its guard is held.

## Why it hurts
While one task sleeps between its attempts, every other task waits for the lock. One slow dependency
stops all work that only wanted to look at the state.

## Example
```rust bad
async fn refresh(&self) -> Result<(), Error> {
    let mut token = self.token.lock().await;
    for attempt in 0..5 {
        if let Ok(fresh) = self.client.request_token().await {
            *token = fresh;
            return Ok(());
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```
```rust good
async fn refresh(&self) -> Result<(), Error> {
    for attempt in 0..5 {
        if let Ok(fresh) = self.client.request_token().await {
            *self.token.lock().await = fresh;
            return Ok(());
        }
        tokio::time::sleep(jittered(attempt)).await;
    }
    Err(Error::GaveUp)
}
```

## How it is found
Rust: a `let` binds the guard of `lock()`, `write()` or `read()`; later in the same block, before a
`drop` of it, stands a retry or poll loop that waits.

## Known false alarms
A lock whose purpose is that only one task retries.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Rust {
        return;
    }
    for facts in view.loops.iter().filter(|l| l.kind != LoopKind::Periodic) {
        let Some((site, _)) = &facts.delay else {
            continue;
        };
        let parent = tree.parent(facts.node);
        for binding in tree.children(parent).take_while(|&c| c < facts.node) {
            let Some((lock, guard)) = guard(view, binding) else {
                continue;
            };
            let dropped = (tree.end(binding)..tree.end(facts.node)).any(|id| {
                tree.kind(id) == Kind::Call
                    && tree.callee_name(id) == "drop"
                    && tree.arguments(id).any(|a| tree.text_of(a) == guard)
            });
            if dropped || guard == "_" {
                continue;
            }
            sink.report(
                Finding::at(view, lock, format!("the guard `{guard}` is held while the loop below waits between its attempts"))
                    .label("taken here")
                    .related(view, facts.node, "the loop that tries again")
                    .related(view, site.call, "where it waits")
                    .help("take the lock when there is something to write, and not before"),
            );
        }
    }
}

fn guard<'t>(view: &View<'t>, binding: NodeId) -> Option<(NodeId, &'t str)> {
    let tree = view.tree;
    if tree.kind(binding) != Kind::Let {
        return None;
    }
    let value = tree.strip(tree.child(binding, Role::Value)?);
    let is_lock = |id: NodeId| {
        tree.kind(id) == Kind::Call
            && matches!(tree.callee_name(id), "lock" | "write")
            && tree.arguments(id).next().is_none()
    };
    let lock = if is_lock(value) {
        value
    } else if tree.kind(value) == Kind::Call
        && matches!(tree.callee_name(value), "unwrap" | "expect")
    {
        tree.strip(tree.receiver(value)?)
    } else {
        return None;
    };
    if !is_lock(lock) || has_any(tree.text_of(lock), &["stdout", "stderr", "stdin"]) {
        return None;
    }
    let name = tree
        .text_of(tree.child(binding, Role::Pattern)?)
        .trim_start_matches("mut ");
    Some((lock, name))
}
