use super::compare_and_swap::{self, Swap};
use crate::facts::View;
use crate::facts::words::has_any;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::syntax::Kind;

pub(super) const RULE: Rule = Rule {
    code: "EK201",
    name: "spin-compare-and-swap",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a lock made of a compare-and-swap loop that never yields",
    page: r#"
A loop swaps a constant for another until it succeeds, and neither yields, sleeps, parks nor gives up.

## Why it hurts
This is a lock, held by whoever wrote the second constant. Everyone who waits for it burns a core, the
holder may be descheduled meanwhile, and from outside the service looks busy while nothing gets done.

## Example
```go bad
package store

import "sync/atomic"

func (s *Store) lock() {
	for !atomic.CompareAndSwapInt32(&s.state, 0, 1) {
	}
}
```
```go good
package store

import "sync"

func (s *Store) lock() {
	s.mutex.Lock()
}
```
```rust bad
fn lock(&self) {
    while self.held.compare_exchange(false, true, Acquire, Relaxed).is_err() {}
}
```
```rust good
fn add(&self, n: u64) {
    let mut seen = self.total.load(Relaxed);
    while let Err(now) = self.total.compare_exchange_weak(seen, seen + n, Relaxed, Relaxed) {
        seen = now;
    }
}
```

## How it is found
The expected value is a constant (0, false, an upper-case name), so the loop waits for somebody rather
than recomputing; and no yield, sleep, park or comparison of a counter is seen in it. Plain
load-compute-swap loops are never reported.

## Known false alarms
A spin of a few instructions in a runtime or a kernel, where nothing can be parked.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    for Swap {
        call,
        loop_node,
        expected,
    } in compare_and_swap::in_loops(view)
    {
        if !compare_and_swap::is_constant(view, expected) || view.is_test(call) {
            continue;
        }
        let text = tree.text_of(loop_node);
        let yields = has_any(
            text,
            &[
                "gosched",
                "yield",
                "sleep",
                "park",
                "spin",
                "backoff",
                "wait",
                "<-",
                ".await",
                "snooze",
                "procyield",
                "attempt",
                "retries",
                "tries",
                "recv",
                "lock()",
            ],
        );
        if yields
            || tree
                .subtree(loop_node)
                .any(|id| tree.kind(id) == Kind::Select)
        {
            continue;
        }
        if crate::facts::loops::goes_over_data(view, loop_node) {
            continue;
        }
        if !compare_and_swap::failure_repeats(view, call, loop_node) {
            continue;
        }
        let what = tree.callee(call).map_or("", |c| tree.text_of(c));
        sink.report(
            Finding::at(
                view,
                call,
                format!(
                    "`{}` spins until another thread lets go; the loop neither yields nor parks",
                    crate::facts::brief(what)
                ),
            )
            .label("waits by burning a core")
            .related(view, loop_node, "the loop")
            .help("use a mutex, which parks; or yield and count the attempts"),
        );
    }
}
