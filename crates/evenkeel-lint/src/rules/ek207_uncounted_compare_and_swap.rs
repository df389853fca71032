use super::compare_and_swap::{self, Swap};
use crate::facts::View;
use crate::facts::words::has_any;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK207",
    name: "uncounted-compare-and-swap",
    level: Level::Note,
    standing: Standing::OptIn,
    summary: "a compare-and-swap loop counts no attempts, so contention cannot be seen",
    page: r#"
A compare-and-swap loop goes round until it wins and counts nothing.

## Why it hurts
Most such loops are fine, which is why this rule is off. Where one is hot, its attempts per success
are the only number that tells useful work from livelock: processor time looks the same.

## Example
```go bad
package store

func (s *Store) add(n int64) {
	for {
		old := s.total.Load()
		if s.total.CompareAndSwap(old, old+n) {
			return
		}
	}
}
```
```go good
package store

func (s *Store) add(n int64) {
	for attempts := 1; ; attempts++ {
		old := s.total.Load()
		if s.total.CompareAndSwap(old, old+n) {
			s.attempts.Observe(attempts)
			return
		}
	}
}
```

## How it is found
A loop around a compare-and-swap in which nothing is counted.

## Known false alarms
Most: see above.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for Swap {
        call, loop_node, ..
    } in compare_and_swap::in_loops(view)
    {
        if view.is_test(call) || !compare_and_swap::failure_repeats(view, call, loop_node) {
            continue;
        }
        if has_any(
            view.tree.text_of(loop_node),
            &[
                "attempt", "tries", "retries", "count", "spins", "metric", "backoff",
            ],
        ) {
            continue;
        }
        sink.report(
            Finding::at(
                view,
                call,
                "this compare-and-swap loop counts no attempts".to_owned(),
            )
            .label("contention here cannot be seen")
            .related(view, loop_node, "the loop")
            .help("count attempts per success, or take a sharded counter"),
        );
    }
}
