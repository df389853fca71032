use crate::facts::words::{BOUND, STOP, has_any, has_word};
use crate::facts::{View, compact, delay};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::syntax::{Kind, NodeId, Op, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK203",
    name: "try-lock-poll",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a lock is polled with try-lock in a loop",
    page: r#"
A loop tries the same lock again and again instead of waiting for it.

## Why it hurts
A poller has no place in the queue: it wins by luck, and under load it may never win. With a fixed
pause all pollers wake together; without one they burn cores that the holder needs to finish.

## Example
```go bad
package store

import "time"

func (s *Store) update() {
	for !s.mutex.TryLock() {
		time.Sleep(time.Millisecond)
	}
	defer s.mutex.Unlock()
	s.version++
}
```
```go good
package store

func (s *Store) update() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.version++
}
```
```rust bad
fn update(&self) {
    loop {
        if let Ok(mut state) = self.state.try_lock() {
            state.version += 1;
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
```
```rust good
fn update(&self) {
    for shard in &self.shards {
        if let Ok(mut state) = shard.try_lock() {
            state.version += 1;
            return;
        }
    }
}
```

## How it is found
`TryLock`, `try_lock` and their relatives in a loop, on a receiver that is not bound by the loop, where
success leaves the loop and failure goes round. A loop with a count or clock and a varying pause is
passed over, as is one that does other work when the lock is taken.

## Known false alarms
Locks of other processes behind a name that does not say so.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    for call in 0..tree.len() {
        if tree.kind(call) != Kind::Call || view.is_test(call) {
            continue;
        }
        if !matches!(
            tree.callee_name(call),
            "TryLock" | "TryRLock" | "try_lock" | "try_write" | "try_read"
        ) {
            continue;
        }
        let (Some(loop_node), Some(receiver)) = (tree.enclosing_loop(call), tree.receiver(call))
        else {
            continue;
        };
        let lock = compact(tree.text_of(receiver));
        if bound_by_loop(view, loop_node, &lock) || !repeats(view, call, loop_node) {
            continue;
        }
        let text = tree.text_of(loop_node);
        let fixed = tree
            .subtree(loop_node)
            .filter(|&id| tree.kind(id) == Kind::Call)
            .filter_map(|id| delay::site(view, id))
            .any(|site| {
                site.duration
                    .is_some_and(|d| delay::milliseconds(view, d, 0).is_some())
            });
        if has_any(text, &["<-"]) {
            continue;
        }
        let bounded = has_any(
            text,
            &[
                "attempt", "retries", "tries", "deadline", "elapsed", "timeout", "done()",
            ],
        ) || crate::facts::flow::condition(view, loop_node).is_some_and(|c| {
            !tree.within(call, c)
                && has_any(tree.text_of(c), BOUND)
                && has_any(tree.text_of(c), STOP)
        });
        // Other processes' locks cannot be waited for within a bound.
        let is_file = has_word(&lock, &["file", "flock", "lockfile", "fd", "filelock"]);
        if bounded && (!fixed || is_file) {
            continue;
        }
        let how = if fixed {
            "with a fixed pause"
        } else {
            "without a bound"
        };
        sink.report(
            Finding::at(
                view,
                call,
                format!("`{lock}` is polled {how}: a poller has no place in the queue"),
            )
            .label("tried again and again")
            .related(view, loop_node, "the loop")
            .help("wait for the lock, within a bound if need be, or give up when it is taken"),
        );
    }
}

fn bound_by_loop(view: &View<'_>, loop_node: NodeId, lock: &str) -> bool {
    let tree = view.tree;
    let first: String = lock
        .trim_start_matches(['&', '*', '('])
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    tree.subtree(loop_node).any(|id| match tree.kind(id) {
        Kind::Range | Kind::Loop => tree
            .children(id)
            .filter(|&c| matches!(tree.get(c).role, Role::Left | Role::Pattern))
            .any(|c| {
                tree.text_of(c)
                    .split(|ch: char| !(ch.is_alphanumeric() || ch == '_'))
                    .any(|w| w == first)
            }),
        Kind::Let => crate::facts::targets(tree, id)
            .any(|t| tree.text_of(t).trim_start_matches("mut ") == first),
        _ => false,
    })
}

/// Whether taking the lock leaves the loop and failing to does nothing but wait.
fn repeats(view: &View<'_>, call: NodeId, loop_node: NodeId) -> bool {
    let tree = view.tree;
    if let Some(condition) = crate::facts::flow::condition(view, loop_node)
        && tree.within(call, condition)
    {
        return tree.get(condition).op == Op::Not
            || tree.text_of(condition).contains("Err(")
            || tree.text_of(condition).contains("is_err")
            || tree.text_of(condition).contains("is_none");
    }
    for ancestor in tree.ancestors(call) {
        if ancestor == loop_node {
            return false;
        }
        if matches!(tree.kind(ancestor), Kind::If | Kind::Switch) {
            let leaves = tree
                .subtree(ancestor)
                .any(|n| matches!(tree.kind(n), Kind::Return | Kind::Break));
            return leaves;
        }
    }
    false
}
