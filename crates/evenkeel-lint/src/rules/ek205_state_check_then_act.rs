use crate::facts::words::has_any;
use crate::facts::{View, compact};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::syntax::{Kind, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK205",
    name: "state-check-then-act",
    level: Level::Warning,
    standing: Standing::OptIn,
    summary: "an atomic state is loaded, tested and stored in separate steps",
    page: r#"
A state is loaded atomically, tested, and stored atomically; nothing makes the three one step.

## Why it hurts
Every thread that loads before the first one stores passes the same test. Two workers start, two
probes go out, a connection is closed twice. The race detector is silent: each step is atomic.

## Example
```go bad
package store

func (b *Breaker) allow() bool {
	if b.state.Load() == halfOpen {
		b.state.Store(probing)
		return true
	}
	return false
}
```
```go good
package store

func (b *Breaker) allow() bool {
	return b.state.CompareAndSwap(halfOpen, probing)
}
```
```rust bad
fn allow(&self) -> bool {
    if self.state.load(Acquire) == HALF_OPEN {
        self.state.store(PROBING, Release);
        return true;
    }
    false
}
```
```rust good
fn allow(&self) -> bool {
    self.state.compare_exchange(HALF_OPEN, PROBING, AcqRel, Relaxed).is_ok()
}
```

## How it is found
The condition of an `if` loads an atomic, its branch stores to the same one, and neither a
compare-and-swap nor a lock is seen in the function.

## Known false alarms
An atomic that only one thread ever writes.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    for id in 0..tree.len() {
        if tree.kind(id) != Kind::If || view.is_test(id) {
            continue;
        }
        let Some(condition) = tree.child(id, Role::Condition) else {
            continue;
        };
        let Some((load, loaded)) = atomic(view, condition, &["Load", "load"]) else {
            continue;
        };
        let store = tree.roles(id, Role::Then).find_map(|then| {
            atomic(view, then, &["Store", "store"]).filter(|(_, path)| *path == loaded)
        });
        let Some((store, _)) = store else { continue };
        let function = tree.text_of(view.scope(id));
        if has_any(
            function,
            &[
                "compareandswap",
                "compare_exchange",
                ".lock()",
                "fetch_",
                ".swap(",
            ],
        ) {
            continue;
        }
        sink.report(
            Finding::at(view, store, format!("`{loaded}` is loaded, tested and stored in three steps that others can come between"))
                .label("others have passed the same test")
                .related(view, load, "loaded and tested here")
                .help("use one compare-and-swap"),
        );
    }
}

fn atomic(
    view: &View<'_>,
    within: crate::syntax::NodeId,
    names: &[&str],
) -> Option<(crate::syntax::NodeId, String)> {
    let tree = view.tree;
    tree.subtree(within).find_map(|id| {
        if tree.kind(id) != Kind::Call {
            return None;
        }
        let name = tree.callee_name(id);
        if names.contains(&name) {
            let path = compact(tree.text_of(tree.receiver(id)?));
            // Rust: an atomic takes an ordering; Go: `atomic.LoadInt32(&s.state)`.
            if path == "atomic" {
                return None;
            }
            let is_atomic = tree.language == crate::source::Language::Go
                || tree.arguments(id).any(|a| {
                    has_any(
                        tree.text_of(a),
                        &["acquire", "relaxed", "seqcst", "release", "ordering"],
                    )
                });
            return is_atomic.then_some((id, path));
        }
        let path = view.called(id);
        let function = path.strip_prefix("sync/atomic.")?;
        let wanted = names.iter().any(|n| function.starts_with(n));
        let first = tree.arguments(id).next()?;
        wanted.then(|| (id, compact(tree.text_of(first).trim_start_matches('&'))))
    })
}
