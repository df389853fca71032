use crate::facts::View;
use crate::facts::words::has_word;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::{Language, Setting};
use crate::syntax::{Kind, NodeId};

pub(super) const RULE: Rule = Rule {
    code: "EK306",
    name: "io-without-context",
    level: Level::Note,
    standing: Standing::OptIn,
    summary: "a request or query is made without a context",
    page: r#"
A request or a database query is made by the variant that takes no context.

## Why it hurts
Nobody can stop it: not the caller who left, not the shutdown, not a deadline.

## Example
```go bad
package store

import "net/http"

func (s *Store) request(url string) (*http.Request, error) {
	return http.NewRequest("GET", url, nil)
}
```
```go good
package store

import ("context"; "net/http")

func (s *Store) request(ctx context.Context, url string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, "GET", url, nil)
}
```

## How it is found
`http.NewRequest` without a later `WithContext` in the function, and `Query`, `QueryRow`, `Exec`,
`Ping`, `Prepare` or `Begin` on a receiver called `db` or `tx` in a file that imports `database/sql`.

## Known false alarms
Requests whose context is set by a transport.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Go || view.setting != Setting::Service {
        return;
    }
    for call in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Call && !view.is_test(id)) {
        let name = tree.callee_name(call);
        let instead = if name == "NewRequest" && view.called(call) == "net/http.NewRequest" {
            if tree.text_of(view.scope(call)).contains("WithContext(") {
                continue;
            }
            "NewRequestWithContext"
        } else if matches!(
            name,
            "Query" | "QueryRow" | "Exec" | "Ping" | "Prepare" | "Begin"
        ) && view.imports_any("database/sql")
            && is_database(view, call)
        {
            match name {
                "Query" => "QueryContext",
                "QueryRow" => "QueryRowContext",
                "Exec" => "ExecContext",
                "Ping" => "PingContext",
                "Prepare" => "PrepareContext",
                _ => "BeginTx",
            }
        } else {
            continue;
        };
        sink.report(
            Finding::at(
                view,
                call,
                format!("`{name}` makes a call that nobody can stop"),
            )
            .label("takes no context")
            .help(format!("use `{instead}`")),
        );
    }
}

fn is_database(view: &View<'_>, call: NodeId) -> bool {
    view.tree.receiver(call).is_some_and(|r| {
        has_word(
            view.tree.last_segment(r),
            &["db", "tx", "database", "conn", "sqldb"],
        )
    })
}
