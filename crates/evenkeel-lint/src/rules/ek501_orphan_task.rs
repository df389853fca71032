use crate::facts::words::has_any;
use crate::facts::{View, compact};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::{Language, Setting};
use crate::syntax::{Kind, NodeId};

pub(super) const RULE: Rule = Rule {
    code: "EK501",
    name: "orphan-task",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "a request handler starts a task that nobody owns",
    page: r#"
A request handler starts a goroutine or a task and keeps nothing of it: no group, no handle, no channel.

## Why it hurts
Each request may leave something behind. Under load the tasks pile up without a bound, at shutdown they
are cut off in the middle, and a panic in one (Go) ends the whole process.

## Example
```go bad
package web

import "net/http"

func (s *Server) order(w http.ResponseWriter, r *http.Request) {
	go s.notify(r.FormValue("id"))
	w.WriteHeader(http.StatusAccepted)
}
```
```go good
package web

import "net/http"

func (s *Server) order(w http.ResponseWriter, r *http.Request) {
	s.workers.Add(1)
	go func() {
		defer s.workers.Done()
		s.notify(r.FormValue("id"))
	}()
	w.WriteHeader(http.StatusAccepted)
}
```
```rust bad
use axum::extract::{Path, State};
async fn order(State(app): State<App>, Path(id): Path<String>) -> StatusCode {
    tokio::spawn(async move { app.notify(id).await });
    StatusCode::ACCEPTED
}
```
```rust good
use axum::extract::{Path, State};
async fn order(State(app): State<App>, Path(id): Path<String>) -> StatusCode {
    app.tracker.spawn(async move { app.notify(id).await });
    StatusCode::ACCEPTED
}
```

## How it is found
`go` or `tokio::spawn` in a function that runs once per request by its signature (ResponseWriter, gRPC,
axum, actix, tonic), whose result is dropped, and in whose task no WaitGroup, error group, channel,
token or context's end is seen. Tasks that drive a connection are passed over.

## Known false alarms
Tasks that end on their own within a moment.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    if view.setting != Setting::Service {
        return;
    }
    let tree = view.tree;
    for id in 0..tree.len() {
        let is_start = match tree.language {
            Language::Go => tree.kind(id) == Kind::Spawn,
            Language::Rust => tree.kind(id) == Kind::Call && is_dropped_spawn(view, id),
        };
        if !is_start || view.is_test(id) {
            continue;
        }
        let Some(summary) = view.function_summary(id) else {
            continue;
        };
        let Some(handler) = summary.handler else {
            continue;
        };
        if tree.commented(
            id,
            &[
                "continue",
                "after the request",
                "terminated",
                "fire and forget",
                "detach",
            ],
        ) {
            continue;
        }
        let text = tree.text_of(id);
        let owned = match tree.language {
            Language::Go => {
                has_any(
                    text,
                    &[
                        ".done()",
                        "<-",
                        "close(",
                        "wg.",
                        "waitgroup",
                        "errgroup",
                        "group",
                        ".wait(",
                        "sem",
                        "chan ",
                        "shutdown",
                        "cancel",
                        "conn",
                        "session",
                        "stream",
                        "(ctx",
                        "ctx,",
                        "ctx)",
                    ],
                ) || has_any(
                    tree.text_of(view.scope(id)),
                    &["wg.wait()", "group.wait()", ".wait()"],
                )
            }
            Language::Rust => has_any(
                &compact(text),
                &[
                    "process::exit",
                    ".cancelled()",
                    "token",
                    "tx.send",
                    ".send(",
                    "sender",
                    "permit",
                    "guard",
                    "conn.await",
                    "connection.await",
                    "shutdown",
                    "with_upgrades",
                    "on_upgrade",
                    "serve_connection",
                    "tracker",
                    "tx",
                    "rx",
                    "writer",
                    "stream",
                    "handle.await",
                ],
            ),
        };
        if owned
            || hands_a_channel(view, id)
            || adds_to_group(view, id)
            || has_any(text, &["globalcontext"])
        {
            continue;
        }
        let starts = match tree.language {
            Language::Go => "go",
            Language::Rust => "tokio::spawn",
        };
        sink.report(
            Finding::at(view, id, format!("`{starts}` in `{}`, {handler}: nobody waits for this task, bounds it or can stop it", summary.name))
                .label("one more per request")
                .related(view, summary.node, "runs once per request")
                .help(match tree.language {
                    Language::Go => "run it in a worker pool or an error group that the service waits for at shutdown",
                    Language::Rust => "spawn it on a `TaskTracker` or `JoinSet` that the service owns",
                }),
        );
    }
}

/// `tokio::spawn(…);` whose handle is dropped.
fn is_dropped_spawn(view: &View<'_>, id: NodeId) -> bool {
    let tree = view.tree;
    if tree.callee_name(id) != "spawn" {
        return false;
    }
    let path = view.called(id);
    if !matches!(
        path.as_str(),
        "tokio::spawn" | "tokio::task::spawn" | "actix_web::rt::spawn" | "actix_rt::spawn"
    ) {
        return false;
    }
    let parent = tree.parent(id);
    match tree.kind(parent) {
        Kind::Block => tree.text[tree.get(id).end as usize..]
            .trim_start()
            .starts_with(';'),
        Kind::Let => crate::facts::targets(tree, parent)
            .next()
            .is_some_and(|t| tree.text_of(t) == "_"),
        _ => false,
    }
}

/// `go run(results)` with a channel by its name: somebody waits at its other end.
fn hands_a_channel(view: &View<'_>, id: NodeId) -> bool {
    let tree = view.tree;
    tree.subtree(id).any(|n| {
        tree.kind(n) == Kind::Name && {
            let name = tree.text_of(n);
            name.ends_with("Ch")
                || name.ends_with("Chan")
                || matches!(name, "ch" | "results" | "done" | "errs" | "errCh" | "errc")
        }
    })
}

/// `wg.Add(1)` right before the statement.
fn adds_to_group(view: &View<'_>, id: NodeId) -> bool {
    let tree = view.tree;
    let parent = tree.parent(id);
    tree.children(parent)
        .take_while(|&c| c < id)
        .any(|c| tree.kind(c) == Kind::Call && tree.callee_name(c) == "Add")
}
