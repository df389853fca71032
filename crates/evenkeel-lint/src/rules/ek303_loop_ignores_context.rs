use crate::facts::View;
use crate::facts::loops::{LoopKind, live_context};
use crate::facts::words::{STOP, has_any, has_word};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};

pub(super) const RULE: Rule = Rule {
    code: "EK303",
    name: "loop-ignores-context",
    level: Level::Warning,
    standing: Standing::OptIn,
    summary: "a loop that waits never looks at the context it was given",
    page: r#"
A loop sleeps or ticks for as long as it lives, and the context of its function is not mentioned in it.

## Why it hurts
The loop outlives the request or the service that started it: a leak that grows with every start.

## Example
```go bad
package store

import ("context"; "time")

func (s *Store) refresh(ctx context.Context) {
	for {
		s.reload()
		time.Sleep(time.Minute)
	}
}
```
```go good
package store

import ("context"; "time")

func (s *Store) refresh(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		s.reload()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
```

## How it is found
A loop that waits on every path, in a function with a context parameter, whose text mentions neither
the context nor a stop signal.

## Known false alarms
A loop that ends by its data.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    for facts in view.loops.iter().filter(|l| l.kind == LoopKind::Periodic) {
        let Some(context) = live_context(view, facts.node) else {
            continue;
        };
        let text = tree.text_of(facts.node);
        let name = context.split('.').next().unwrap_or(&context);
        if has_word(text, &[name]) || has_any(text, STOP) {
            continue;
        }
        let Some((site, _)) = &facts.delay else {
            continue;
        };
        sink.report(
            Finding::at(
                view,
                site.call,
                format!("the loop waits here for ever and never looks at `{context}`"),
            )
            .label("goes on after the caller has left")
            .related(view, facts.node, "the loop")
            .help(format!("wait in a select beside the end of `{context}`")),
        );
    }
}
