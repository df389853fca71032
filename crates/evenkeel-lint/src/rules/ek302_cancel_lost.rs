use crate::facts::View;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK302",
    name: "cancel-lost",
    level: Level::Warning,
    standing: Standing::OptIn,
    summary: "the cancel function of a context is thrown away",
    page: r#"
`context.WithCancel`, `WithTimeout` or `WithDeadline` returns a cancel function that nobody calls.

## Why it hurts
The context and its timer live until the parent ends, which in a server may be never: a slow leak, one
per request. `go vet` finds most of these with types; this rule is for code that does not compile yet.

## Example
```go bad
package store

import ("context"; "time")

func (s *Store) load(ctx context.Context) error {
	ctx, _ = context.WithTimeout(ctx, time.Second)
	return s.client.Call(ctx)
}
```
```go good
package store

import ("context"; "time")

func (s *Store) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.client.Call(ctx)
}
```

## How it is found
The second result is bound to `_`, or to a name that the function never mentions again.

## Known false alarms
None known.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Go {
        return;
    }
    for binding in 0..tree.len() {
        if !matches!(tree.kind(binding), Kind::Let | Kind::Assign) || view.is_test(binding) {
            continue;
        }
        let Some(call) = crate::facts::values_of(tree, binding)
            .next()
            .filter(|&v| tree.kind(v) == Kind::Call)
        else {
            continue;
        };
        if !matches!(
            view.called(call).as_str(),
            "context.WithCancel" | "context.WithTimeout" | "context.WithDeadline"
        ) {
            continue;
        }
        let Some(cancel) = crate::facts::targets(tree, binding).nth(1) else {
            continue;
        };
        let name = tree.text_of(cancel);
        let scope = view.scope(binding);
        let lost = name == "_"
            || !name.contains('.')
                && !(scope..tree.end(scope)).any(|id| {
                    id != cancel
                        && tree.kind(id) == Kind::Name
                        && tree.get(id).role != Role::Name
                        && tree.text_of(id) == name
                });
        if lost {
            sink.report(
                Finding::at(
                    view,
                    cancel,
                    "the cancel function is thrown away: the context lives as long as its parent"
                        .to_owned(),
                )
                .label("never called")
                .related(view, call, "made here")
                .help("`defer cancel()`, or hand it to whoever ends the work"),
            );
        }
    }
}
