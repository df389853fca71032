use super::intent::is_command;
use crate::facts::View;
use crate::finding::{Edit, Finding, Fix, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op};

pub(super) const RULE: Rule = Rule {
    code: "EK506",
    name: "blocking-sleep-in-async",
    level: Level::Error,
    standing: Standing::Preview,
    summary: "a thread sleep inside async code stops every task on that thread",
    page: r#"
`std::thread::sleep` is called in an async function or block.

## Why it hurts
The runtime has one thread per core. A sleeping thread runs none of the hundreds of tasks that are ready
on it: a 100 ms pause in one request is 100 ms for all, and health checks fail although nothing is
overloaded.

## Example
```rust bad
async fn retry(&self) {
    while self.send().await.is_err() {
        std::thread::sleep(Duration::from_millis(100));
    }
}
```
```rust good
async fn retry(&self) {
    while self.send().await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
```

## How it is found
The nearest function, closure or block around the call is async. Closures given to `spawn_blocking` or
to a thread are not.

## Fix
Unsafe: `tokio::time::sleep(…).await`, where the file uses tokio.

## Known false alarms
Commands at a terminal (they print, or lie below `cli` or `commands`) are passed over.
An async function that is only ever driven by a thread of its own.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Rust || !tree.text.contains("sleep") {
        return;
    }
    for call in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Call && !view.is_test(id)) {
        if tree.callee_name(call) != "sleep"
            || !matches!(
                view.called(call).as_str(),
                "std::thread::sleep" | "thread::sleep"
            )
        {
            continue;
        }
        let Some(body) = tree.enclosing_body(call) else {
            continue;
        };
        if !is_async(view, body) || is_command(view, call) || has_own_runtime(view, body) {
            continue;
        }
        let mut finding = Finding::at(
            view,
            call,
            "a thread sleep in async code: every task on this thread waits".to_owned(),
        )
        .label("stops the thread, not the task")
        .related(view, body, "async here")
        .help("use the runtime's own sleep and await it");
        if let (true, Some(argument)) = (
            view.tree.text.contains("tokio"),
            tree.arguments(call).next(),
        ) {
            let node = tree.get(call);
            finding.fix = Some(Fix {
                title: "await the runtime's sleep".to_owned(),
                changes_behaviour: true,
                edits: vec![Edit {
                    bytes: node.start as usize..node.end as usize,
                    line: finding.place.line,
                    replacement: format!("tokio::time::sleep({}).await", tree.text_of(argument)),
                }],
            });
        }
        sink.report(finding);
    }
}

fn is_async(view: &View<'_>, body: NodeId) -> bool {
    let tree = view.tree;
    match tree.kind(body) {
        Kind::AsyncBlock => true,
        Kind::Closure => tree.text_of(body).starts_with("async"),
        _ => tree.get(body).op == Op::Async,
    }
}

/// `#[tokio::main] async fn`: a thread of its own drives it.
fn has_own_runtime(view: &View<'_>, body: NodeId) -> bool {
    let text = &view.tree.text[..view.tree.get(body).start as usize];
    text.lines()
        .rev()
        .take_while(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with("#[") || line.starts_with("//") || line == "pub"
        })
        .any(|line| line.contains("::main"))
}
