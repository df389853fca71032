use crate::facts::words::has_word;
use crate::facts::{Traits, View};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK305",
    name: "context-ignored",
    level: Level::Warning,
    standing: Standing::OptIn,
    summary: "a function takes a context and does remote work without it",
    page: r#"
A function has a named context parameter, never uses it, and waits or calls out.

## Why it hurts
Its signature promises that the caller can stop it. The caller relies on that, sets a deadline, and the
deadline does nothing.

## Example
```go bad
package store

import ("context"; "net/http")

func (s *Store) ping(ctx context.Context) error {
	resp, err := s.client.Do(s.request)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
```
```go good
package store

import ("context"; "net/http")

func (s *Store) ping(ctx context.Context) error {
	resp, err := s.client.Do(s.request.WithContext(ctx))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
```

## How it is found
The parameter is named (not `_`), the body never mentions it, and the body sleeps or calls something
that leaves the machine.

## Known false alarms
Methods that only satisfy an interface: name the parameter `_` to say so.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Go {
        return;
    }
    for summary in &view.summaries {
        if view.is_test(summary.node)
            || !(summary.traits.has(Traits::HTTP) || summary.traits.has(Traits::SLEEPS))
        {
            continue;
        }
        if has_word(&summary.receiver, &["mock", "fake", "stub", "noop"]) {
            continue;
        }
        let Some(parameter) = tree.roles(summary.node, Role::Parameter).find(|&p| {
            tree.child(p, Role::Type)
                .is_some_and(|t| tree.text_of(t) == "context.Context")
        }) else {
            continue;
        };
        let Some(name) = tree.child(parameter, Role::Name) else {
            continue;
        };
        let text = tree.text_of(name);
        let Some(body) = tree.child(summary.node, Role::Body) else {
            continue;
        };
        if text == "_"
            || tree
                .subtree(body)
                .any(|id| tree.kind(id) == Kind::Name && tree.text_of(id) == text)
        {
            continue;
        }
        sink.report(
            Finding::at(
                view,
                parameter,
                format!(
                    "`{}` takes `{text}` and waits or calls out without it",
                    summary.name
                ),
            )
            .label("promised to the caller, never used")
            .help(format!("pass `{text}` on, or name it `_`")),
        );
    }
}
