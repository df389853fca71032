use crate::facts::View;
use crate::facts::words::has_word;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK304",
    name: "context-in-struct",
    level: Level::Note,
    standing: Standing::OptIn,
    summary: "a struct keeps a context that it cannot cancel",
    page: r#"
A struct has a field of type `context.Context` and nothing to end it by.

## Why it hurts
A stored context is some caller's context, used later by others: calls are cancelled for reasons that
are not theirs, or not at all.

## Example
```go bad
package store

import "context"

type Store struct {
	ctx    context.Context
	client *Client
}
```
```go good
package store

import "context"

type Worker struct {
	ctx    context.Context
	cancel context.CancelFunc
	client *Client
}
```

## How it is found
The field is named, and the struct has no cancel or stop beside it. Passed over: options, requests and
messages that carry a context on its way, and adapters to interfaces without one.

## Known false alarms
Types whose life is one call.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Go {
        return;
    }
    for item in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Struct && !view.is_test(id)) {
        let name = tree.child(item, Role::Name).map_or("", |n| tree.text_of(n));
        let fields: Vec<_> = tree
            .children(item)
            .filter(|&c| tree.kind(c) == Kind::FieldDeclaration)
            .collect();
        let kind_of = |field| {
            tree.child(field, Role::Type)
                .map_or("", |t| tree.text_of(t))
        };
        let Some(&context) = fields
            .iter()
            .find(|&&f| kind_of(f) == "context.Context" && tree.child(f, Role::Name).is_some())
        else {
            continue;
        };
        let ends = fields.iter().any(|&f| {
            has_word(
                tree.text_of(f),
                &[
                    "cancel",
                    "stop",
                    "close",
                    "closed",
                    "done",
                    "quit",
                    "shutdown",
                    "wg",
                    "cancelfunc",
                ],
            )
        });
        let carries = has_word(
            name,
            &[
                "options",
                "opts",
                "option",
                "request",
                "req",
                "message",
                "msg",
                "event",
                "job",
                "task",
                "params",
                "args",
                "reader",
                "writer",
                "stream",
                "iterator",
                "call",
                "context",
                "ctx",
                "scope",
                "command",
                "query",
                "transaction",
                "txn",
                "tx",
                "input",
                "wrapper",
                "conn",
                "state",
                "session",
                "span",
            ],
        );
        if ends || carries {
            continue;
        }
        sink.report(
            Finding::at(
                view,
                context,
                format!("`{name}` keeps a context and nothing to end it by"),
            )
            .label("whose context is this, and when does it end?")
            .help("pass the context to each method, or keep its cancel function beside it"),
        );
    }
}
