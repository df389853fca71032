use crate::facts::words::{has_any, has_word};
use crate::facts::{View, compact, context, summary::Summary};
use crate::finding::{Edit, Finding, Fix, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::{Language, Setting};
use crate::syntax::{Kind, NodeId, Op, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK301",
    name: "detached-context",
    level: Level::Warning,
    standing: Standing::Default,
    summary: "work runs under a fresh context although a live one is at hand",
    page: r#"
`context.Background()` or `context.TODO()` is used where the function has a live context.

## Why it hurts
The caller's deadline and cancellation end here. When the caller leaves, everything below goes on; when
the dependency hangs, nothing stops the wait; trace and tenant are lost.

## Example
```go bad
package store

import "context"

func (s *Store) load(ctx context.Context, id string) (*Item, error) {
	return s.client.Get(context.Background(), id)
}
```
```go good
package store

import "context"

func (s *Store) load(ctx context.Context, id string) (*Item, error) {
	go s.audit(context.WithoutCancel(ctx), id)
	return s.client.Get(ctx, id)
}
```

## How it is found
A context parameter, a `*http.Request` or a gRPC stream is live at the call. A callback that the call itself runs belongs to its
function. Passed over: functions, calls and comments that speak of shutdown, cleanup, rollback, audit
or detaching; deferred calls, goroutines, functions that the package starts as goroutines, and stored closures, which outlive the call on purpose; contexts with a cancel function of their own; code after `<-ctx.Done()`; the fallback for a nil
context; constructors; contexts kept in a field; logging; `main`, `init`, commands and tests.

## Fix
Unsafe: the live context replaces the fresh one.

## Known false alarms
Work that must outlive its caller and does not say so: `context.WithoutCancel(ctx)` says so and keeps
the values.
"#,
    check,
};

const DELIBERATE: &[&str] = &[
    "shutdown",
    "shut down",
    "close",
    "clean",
    "stop",
    "audit",
    "flush",
    "release",
    "rollback",
    "unlock",
    "finaliz",
    "teardown",
    "tear",
    "terminat",
    "drain",
    "deregister",
    "unregister",
    "revoke",
    "abort",
    "detach",
    "undo",
    "revert",
    "expire",
    "evict",
    "gc",
    "delete",
    "remove",
    "destroy",
    "disconnect",
    "free",
    "background",
    "async",
    "deactivate",
    "fallback",
    "kill",
    "leave",
    "save",
    "dispose",
    "purge",
    "lifecycle",
    "fail",
];

const COMMENTED: &[&str] = &[
    "detach",
    "independent",
    "outlive",
    "background",
    "separate",
    "own context",
    "new context",
    "cancel",
    "not use",
    "don't use",
    "do not use",
    "fresh context",
    "different context",
    "regardless",
    "shutdown",
    "cleanup",
    "clean up",
    "intentional",
    "on purpose",
    "deliberate",
    "even if",
    "without the",
    "ctx",
    "context",
    "nolint",
    "lifetime",
    "long",
];

const LONG_LIVED: &[&str] = &[
    "new", "start", "open", "init", "setup", "create", "make", "build", "run", "serve", "launch",
    "spawn", "daemon", "loop",
];

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Go || view.setting != Setting::Service || view.is_program {
        return;
    }
    for call in 0..tree.len() {
        if tree.kind(call) != Kind::Call || view.is_test(call) {
            continue;
        }
        let path = view.called(call);
        if path != "context.Background" && path != "context.TODO" {
            continue;
        }
        let Some(summary) = view.function_summary(call) else {
            continue;
        };
        let Some((live, owner)) = live_at(view, call) else {
            continue;
        };
        if is_deliberate(view, call, summary, owner) {
            continue;
        }
        let text = tree.text_of(call);
        let mut finding = Finding::at(view, call, format!("`{text}` cuts off `{live}`, the live context of `{}`", summary.name))
            .label("deadline and cancellation of the caller end here")
            .related(view, owner, format!("`{live}` is live here"))
            .help(format!("pass `{live}`, or `context.WithoutCancel({live})` where the work has to outlive the call"));
        let node = tree.get(call);
        if keeps_import(view) {
            finding.fix = Some(Fix {
                title: format!("pass `{live}`"),
                changes_behaviour: true,
                edits: vec![Edit {
                    bytes: node.start as usize..node.end as usize,
                    line: finding.place.line,
                    replacement: live,
                }],
            });
        }
        let name = summary.name.clone();
        sink.report_if(finding, move |index, package, _| {
            !index.is_spawned(package, &name)
        });
    }
}

/// Whether the file uses its import of `context` for more than fresh contexts: it must not be left
/// unused.
fn keeps_import(view: &View<'_>) -> bool {
    view.tree.text.match_indices("context.").any(|(at, _)| {
        let rest = &view.tree.text[at + "context.".len()..];
        rest.starts_with(|c: char| c.is_ascii_uppercase())
            && !rest.starts_with("Background")
            && !rest.starts_with("TODO")
    })
}

/// The live context at a call, and the function that has it.
fn live_at(view: &View<'_>, call: NodeId) -> Option<(String, NodeId)> {
    let tree = view.tree;
    for body in tree.ancestors(call) {
        if !matches!(tree.kind(body), Kind::Function | Kind::Closure) {
            continue;
        }
        if let Some(live) = context::live(view, body) {
            return Some((live, body));
        }
        if tree.kind(body) == Kind::Function {
            return None;
        }
    }
    None
}

fn is_deliberate(view: &View<'_>, call: NodeId, summary: &Summary, owner: NodeId) -> bool {
    let tree = view.tree;
    if matches!(summary.name.as_str(), "main" | "init")
        || has_any(&summary.name, DELIBERATE)
        || has_word(&summary.name, &["persist"])
        || has_any(&summary.receiver, &["mock", "fake", "stub", "noop"])
    {
        return true;
    }
    if crate::facts::words::split_words(&summary.name)
        .next()
        .is_some_and(|first| LONG_LIVED.iter().any(|w| first.eq_ignore_ascii_case(w)))
    {
        return true;
    }
    if tree.commented(call, COMMENTED) {
        return true;
    }
    let mut at = call;
    for ancestor in tree.ancestors(call) {
        match tree.kind(ancestor) {
            Kind::Defer | Kind::Spawn | Kind::Composite | Kind::KeyValue => return true,
            Kind::Return if tree.kind(at) == Kind::Call && at == call => return true,
            // The closure may outlive the call that makes it.
            Kind::Closure if ancestor != owner && !is_callback(view, ancestor) => return true,
            Kind::Call if ancestor != call => {
                let name = view.tree.callee(ancestor).map_or("", |c| tree.text_of(c));
                let last = name.rsplit('.').next().unwrap_or(name);
                // What is made here lives longer than the call that makes it.
                if has_word(last, &["conn", "listener", "session", "watcher"]) {
                    return true;
                }
                if has_any(name, DELIBERATE)
                    || has_any(
                        name,
                        &[
                            "log",
                            "slog",
                            "warn",
                            "info",
                            "debug",
                            "error",
                            "trace",
                            "print",
                            "metric",
                            "diag",
                            "monitor",
                            "stats",
                            "telemetry",
                            "extract",
                            "record",
                            "observe",
                            "withoutcancel",
                            "withcancel",
                            "errgroup",
                            "signal.",
                            "newserver",
                            "alert",
                            "notif",
                            "sentry",
                            "capture",
                            "writefile",
                            "writejson",
                        ],
                    )
                {
                    return true;
                }
            }
            Kind::Assign | Kind::Let => {
                let target = crate::facts::targets(tree, ancestor)
                    .next()
                    .map_or("", |t| tree.text_of(t));
                if target.contains('.')
                    || has_any(
                        target,
                        &[
                            "bg",
                            "background",
                            "detach",
                            "cleanup",
                            "shutdown",
                            "parent",
                            "base",
                            "root",
                            "restored",
                        ],
                    )
                {
                    return true;
                }
                if ancestor == tree.parent(call) && replaced_later(view, ancestor)
                    || derived_for_later(view, ancestor)
                {
                    return true;
                }
            }
            Kind::If => {
                let condition = tree
                    .child(ancestor, Role::Condition)
                    .map_or("", |c| tree.text_of(c));
                if condition.contains("nil") && has_any(condition, &["ctx", "context", "parent"])
                    || has_any(
                        &compact(condition),
                        &[".err()!=nil", "canceled", "cancelled", "done"],
                    )
                {
                    return true;
                }
            }
            Kind::Arm
                if has_any(
                    tree.text_of(ancestor).lines().next().unwrap_or(""),
                    &["done()", "stop", "quit", "close"],
                ) =>
            {
                return true;
            }
            _ => {}
        }
        if ancestor == owner {
            break;
        }
        at = ancestor;
    }
    // After `<-ctx.Done()` in the same body there is no live context left.
    tree.subtree(owner).take_while(|&id| id < call).any(|id| {
        tree.kind(id) == Kind::Unary
            && tree.get(id).op == Op::Receive
            && tree.text_of(id).contains("Done()")
            && !crate::facts::delay::in_select_arm(tree, id)
            && tree.ancestors(id).all(|a| tree.kind(a) != Kind::Spawn)
    })
}

/// A closure that is run by the call it is handed to: `WithClient(func(client) error { … })`.
fn is_callback(view: &View<'_>, closure: NodeId) -> bool {
    let tree = view.tree;
    let call = tree.parent(closure);
    if tree.kind(call) != Kind::Call || tree.get(closure).role != Role::Argument {
        return false;
    }
    let name = tree.callee_name(call);
    !has_word(
        name,
        &[
            "go",
            "after",
            "submit",
            "schedule",
            "async",
            "once",
            "register",
            "handle",
            "add",
            "on",
            "subscribe",
            "spawn",
            "start",
            "run",
            "queue",
            "enqueue",
            "set",
            "new",
            "observe",
            "hook",
            "wrapper",
        ],
    )
}

/// `ctx := context.Background()` that an `if` below replaces by the live one: a fallback.
fn replaced_later(view: &View<'_>, binding: NodeId) -> bool {
    let tree = view.tree;
    let Some(target) = crate::facts::targets(tree, binding).next() else {
        return false;
    };
    let name = tree.text_of(target);
    (tree.end(binding)..tree.end(view.scope(binding))).any(|id| {
        tree.kind(id) == Kind::Assign
            && tree
                .child(id, Role::Left)
                .is_some_and(|left| tree.text_of(left) == name)
            && tree
                .ancestors(id)
                .any(|a| tree.kind(a) == Kind::If && a > binding)
    })
}

/// A context made here and used only by goroutines, deferred calls or clean-up.
fn derived_for_later(view: &View<'_>, binding: NodeId) -> bool {
    let tree = view.tree;
    let Some(target) = crate::facts::targets(tree, binding).next() else {
        return false;
    };
    let name = tree.text_of(target);
    let scope = view.scope(binding);
    let mut uses = 0;
    let mut later = 0;
    for id in tree.end(binding)..tree.end(scope) {
        if tree.kind(id) != Kind::Name
            || tree.text_of(id) != name
            || tree.get(id).role == Role::Name
        {
            continue;
        }
        uses += 1;
        let is_later = tree
            .ancestors(id)
            .take_while(|&a| a != scope)
            .any(|a| match tree.kind(a) {
                Kind::Spawn | Kind::Defer | Kind::Closure | Kind::KeyValue => true,
                Kind::Call => has_any(tree.callee_name(a), DELIBERATE),
                _ => false,
            });
        later += usize::from(is_later);
    }
    uses > 0 && uses == later
}
