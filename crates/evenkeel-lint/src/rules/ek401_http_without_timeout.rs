use super::intent::is_command;
use crate::facts::words::has_any;
use crate::facts::{View, compact};
use crate::finding::{Edit, Finding, Fix, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::{Language, Setting};
use crate::syntax::{Kind, NodeId, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK401",
    name: "http-without-timeout",
    level: Level::Warning,
    standing: Standing::Default,
    summary: "an HTTP client waits for ever for a server that does not answer",
    page: r#"
An HTTP client has no timeout of its own, and no deadline is seen on its requests.

## Why it hurts
A server that accepts the connection and then says nothing holds the caller for ever. Callers pile up
behind it until memory or connections are gone: one hung dependency takes the service with it. Go's
`http.DefaultClient` and reqwest's asynchronous client have no timeout.

## Example
```go bad
package store

import "net/http"

func fetch(url string) (*http.Response, error) {
	client := &http.Client{}
	return client.Get(url)
}
```
```go good
package store

import ("net/http"; "time")

func fetch(url string) (*http.Response, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	return client.Get(url)
}
```
```rust bad
use reqwest::Client;
async fn fetch(url: &str) -> Result<Response, reqwest::Error> {
    let client = Client::new();
    client.get(url).send().await
}
```
```rust good
use reqwest::Client;
async fn fetch(url: &str) -> Result<Response, reqwest::Error> {
    let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
    client.get(url).send().await
}
```

## How it is found
Go: an `http.Client` literal without `Timeout` that is not set later in the function, and `http.Get` and
its relatives outside of commands; silent where the file makes its requests with a context, or makes none
and hands the client on. Rust: an
asynchronous reqwest client made without `timeout` or `read_timeout` in its builder, in a file in which
that sends requests itself, no request has a timeout and no `tokio::time::timeout` or `select!` is put around one.
`reqwest::blocking` has 30 s by default; `connect_timeout` alone is not enough.

## Fix
Unsafe: adds a timeout of 30 s, to be chosen by you.

## Known false alarms
Clients for streams and long polls, which want a deadline per read instead; clients whose callers all
bring a deadline in their context.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    if view.setting != Setting::Service || is_in_commands(view) {
        return;
    }
    match view.tree.language {
        Language::Go => check_go(view, sink),
        Language::Rust => check_rust(view, sink),
    }
}

fn check_go(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if !view.imports_any("net/http") || view.is_program {
        return;
    }
    let contexts = tree.text.contains("NewRequestWithContext")
        || tree.text.contains(".WithContext(")
        || tree.text.contains("ctxhttp");
    for id in 0..tree.len() {
        match tree.kind(id) {
            Kind::Composite if !contexts => {
                let Some(kind) = tree.child(id, Role::Type) else {
                    continue;
                };
                if view.path_of(kind) != "net/http.Client" || view.is_test(id) {
                    continue;
                }
                let has_timeout = tree.children(id).any(|c| {
                    tree.kind(c) == Kind::KeyValue
                        && tree
                            .child(c, Role::Key)
                            .is_some_and(|k| tree.text_of(k) == "Timeout")
                });
                if has_timeout
                    || set_later(view, id)
                    || bounded_by_name(sink, tree.text_of(view.scope(id)))
                {
                    continue;
                }
                if has_any(
                    tree.text_of(view.scope(id)),
                    &["responseheadertimeout", "clientcontext(", "deadline"],
                ) || !sends_without_context(view)
                {
                    continue;
                }
                let mut finding = Finding::at(
                    view,
                    id,
                    "this `http.Client` has no timeout: a silent server holds the caller for ever"
                        .to_owned(),
                )
                .label("no `Timeout`")
                .help("set `Timeout`, or give every request a context with a deadline");
                finding.fix = go_fix(view, id);
                sink.report(finding);
            }
            Kind::Call => {
                let path = view.called(id);
                if view.is_test(id) {
                    continue;
                }
                let default = matches!(
                    path.as_str(),
                    "net/http.Get" | "net/http.Post" | "net/http.Head" | "net/http.PostForm"
                ) || path.starts_with("net/http.DefaultClient.") && !contexts;
                if default && !to_this_machine(view, id) && !is_command_line(view, id) {
                    let written = tree.callee(id).map_or("", |c| tree.text_of(c));
                    sink.report(
                        Finding::at(
                            view,
                            id,
                            format!("`{written}` uses the default client, which has no timeout"),
                        )
                        .label("a silent server holds the caller for ever")
                        .help("use a client with a `Timeout`, or a request with a context"),
                    );
                }
            }
            _ => {}
        }
    }
}

/// Go keeps the commands of a program below `cmd`: what they ask, a person or a script waits for.
fn is_in_commands(view: &View<'_>) -> bool {
    view.tree.language == Language::Go
        && view.path.split('/').rev().skip(1).any(|part| part == "cmd")
}

/// Whether a function defines or runs a command of a command line library.
fn is_command_line(view: &View<'_>, id: NodeId) -> bool {
    has_any(
        view.tree.text_of(view.scope(id)),
        &["cobra.command", "*cli.context", "cli.command"],
    )
}

/// Whether a request goes to the loopback interface, as far as its address says so.
fn to_this_machine(view: &View<'_>, call: NodeId) -> bool {
    view.tree.arguments(call).next().is_some_and(|address| {
        has_any(
            view.tree.text_of(address),
            &["localhost", "127.0.0.1", "localport", "loopback", "unix"],
        )
    })
}

/// Whether this file itself sends requests, and without a context: a client that is only handed on
/// may be given a deadline with every call.
fn sends_without_context(view: &View<'_>) -> bool {
    let tree = view.tree;
    (0..tree.len()).any(|id| {
        if tree.kind(id) != Kind::Call {
            return false;
        }
        let name = tree.callee_name(id);
        let path = view.called(id);
        path == "net/http.NewRequest"
            || matches!(name, "Get" | "Post" | "Head" | "PostForm")
                && has_any(&path, &["client", "http"])
                && !has_any(&path, &["header", "cache", "query"])
                && tree.arguments(id).next().is_some_and(|a| {
                    has_any(
                        tree.text_of(a),
                        &["url", "http", "addr", "endpoint", "uri", "sprintf"],
                    )
                })
    })
}

fn bounded_by_name(sink: &Sink<'_>, scope: &str) -> bool {
    sink.spec
        .bounded_clients
        .iter()
        .any(|name| scope.contains(name.as_str()))
}

/// `client.Timeout = …` after the literal was bound to `client`.
fn set_later(view: &View<'_>, literal: NodeId) -> bool {
    let tree = view.tree;
    let scope = view.scope(literal);
    (tree.end(literal)..tree.end(scope)).any(|id| {
        tree.kind(id) == Kind::Assign
            && tree
                .child(id, Role::Left)
                .is_some_and(|l| tree.text_of(l).ends_with(".Timeout"))
    })
}

fn go_fix(view: &View<'_>, literal: NodeId) -> Option<Fix> {
    let tree = view.tree;
    if view.import("time") != Some("time") {
        return None;
    }
    let text = tree.text_of(literal);
    let open = text.find('{')?;
    let at = tree.get(literal).start as usize + open + 1;
    let rest = text[open + 1..].trim_start();
    let replacement = if rest.starts_with('}') {
        "Timeout: 30 * time.Second"
    } else if text[open + 1..].starts_with('\n') || text[open + 1..].starts_with("\r\n") {
        "\nTimeout: 30 * time.Second,"
    } else {
        "Timeout: 30 * time.Second, "
    };
    Some(timeout_fix(view, at, replacement))
}

fn timeout_fix(view: &View<'_>, at: usize, replacement: &str) -> Fix {
    Fix {
        title: "add a timeout of 30 s".to_owned(),
        changes_behaviour: true,
        edits: vec![Edit {
            bytes: at..at,
            line: view.lines.position(at as u32).0,
            replacement: replacement.to_owned(),
        }],
    }
}

fn check_rust(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if !tree.text.contains("reqwest") {
        return;
    }
    let sends = sends_requests(view);
    let bounded_elsewhere = has_any(
        &tree.text.replace("fn timeout(", ""),
        &[
            "event-stream",
            "time::timeout(",
            " timeout(",
            ".timeout(",
            "select!",
            "read_timeout(",
        ],
    );
    for id in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Call) {
        let name = tree.callee_name(id);
        let path = view.called(id);
        if view.is_test(id)
            || path.contains("blocking")
            || is_command(view, id)
            || installs(view, id)
        {
            continue;
        }
        match name {
            "new" | "default"
                if matches!(
                    path.as_str(),
                    "reqwest::Client::new" | "reqwest::Client::default"
                ) && sends
                    && !bounded_elsewhere =>
            {
                if tree.kind(tree.parent(id)) == Kind::Field
                    && has_any(&compact(tree.text_of(tree.parent(id))), &["timeout"])
                {
                    continue;
                }
                let written = tree.callee(id).map_or("", |c| tree.text_of(c));
                let mut finding = Finding::at(view, id, format!("`{written}()` makes a client without a timeout: a silent server holds the caller for ever"))
                    .label("no timeout")
                    .help("build it with `.timeout(…)` or `.read_timeout(…)`");
                if let Some(client) = written.strip_suffix("::new") {
                    let node = tree.get(id);
                    finding.fix = Some(Fix {
                        title: "build it with a timeout of 30 s".to_owned(),
                        changes_behaviour: true,
                        edits: vec![Edit {
                            bytes: node.start as usize..node.end as usize,
                            line: finding.place.line,
                            replacement: format!(
                                "{client}::builder().timeout(std::time::Duration::from_secs(30)).build().expect(\"the TLS library starts\")"
                            ),
                        }],
                    });
                }
                sink.report(finding);
            }
            "build" => {
                let chain = compact(tree.text_of(id));
                let scope = tree.text_of(view.scope(id));
                let starts = reqwest_builder(view, id, &chain, scope);
                if !starts
                    || !sends
                    || has_any(scope, &[".timeout(", ".read_timeout("])
                    || bounded_elsewhere
                {
                    continue;
                }
                sink.report(
                    Finding::at(view, id, "this client is built without a timeout: a silent server holds the caller for ever".to_owned())
                        .label("no `timeout` or `read_timeout` in the builder")
                        .help("add `.timeout(…)`, or `.read_timeout(…)` for long downloads"),
                );
            }
            "get" if path == "reqwest::get" && !bounded_elsewhere => {
                sink.report(
                    Finding::at(
                        view,
                        id,
                        "`reqwest::get` has no timeout: a silent server holds the caller for ever"
                            .to_owned(),
                    )
                    .label("no timeout")
                    .help("use a client built with `.timeout(…)`"),
                );
            }
            _ => {}
        }
    }
}

/// Whether the function downloads into a temporary place or starts a program with what it got: an
/// installer, run by a person who sees it hang.
fn installs(view: &View<'_>, id: NodeId) -> bool {
    has_any(
        view.tree.text_of(view.scope(id)),
        &["tempdir", "temp_dir", "process::command", "command::new("],
    ) || view.tree.text.contains("target_arch = \"wasm32\"")
}

/// Whether this file sends requests itself: a client that is only handed on may be given its bounds
/// by whoever takes it.
fn sends_requests(view: &View<'_>) -> bool {
    let tree = view.tree;
    (0..tree.len()).any(|id| {
        tree.kind(id) == Kind::Call
            && (matches!(tree.callee_name(id), "execute" | "error_for_status")
                || tree.callee_name(id) == "send" && tree.arguments(id).next().is_none()
                || matches!(
                    tree.callee_name(id),
                    "get" | "post" | "put" | "delete" | "request"
                ) && has_any(&view.called(id), &["client", "http"])
                    && !has_any(&view.called(id), &["headers"]))
    })
}

/// Whether a `.build()` ends a reqwest builder: in its own chain, or by the variable it is called on.
fn reqwest_builder(view: &View<'_>, id: NodeId, chain: &str, scope: &str) -> bool {
    let tree = view.tree;
    let first: String = chain
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
        .collect();
    let resolved = match first
        .split("::")
        .next()
        .and_then(|head| view.import(head).map(|path| (head, path)))
    {
        Some((head, path)) => format!("{path}{}", &first[head.len()..]),
        None => first.clone(),
    };
    if resolved.contains("blocking") || scope.contains("blocking") {
        return false;
    }
    if matches!(
        resolved.as_str(),
        "reqwest::Client::builder" | "reqwest::ClientBuilder::new"
    ) {
        return true;
    }
    let Some(receiver) = tree.receiver(id) else {
        return false;
    };
    let name = tree.text_of(receiver);
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && view.definitions(view.scope(id), name).iter().any(|&value| {
            let text = compact(tree.text_of(value));
            text.starts_with("reqwest::Client::builder")
                || text.starts_with("reqwest::ClientBuilder::new")
                || text.starts_with("Client::builder")
                    && view.import("Client") == Some("reqwest::Client")
        })
}
