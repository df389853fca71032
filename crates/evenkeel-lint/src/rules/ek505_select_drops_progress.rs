use crate::facts::View;
use crate::facts::words::has_any;
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK505",
    name: "select-drops-progress",
    level: Level::Error,
    standing: Standing::Preview,
    summary: "`select!` in a loop drops a read or write in the middle",
    page: r#"
An arm of a `select!` in a loop awaits a future that loses what it has done when another arm wins.

## Why it hurts
When the other arm is ready first, the future is dropped: the bytes it has read are gone, or half of a
message was written. The next turn starts in the middle of a frame, and the peer sees garbage.

## Example
```rust bad
async fn pump(&mut self) -> io::Result<()> {
    let mut frame = [0; 64];
    loop {
        tokio::select! {
            _ = self.tick.tick() => self.ping().await,
            read = self.socket.read_exact(&mut frame) => self.handle(read?, &frame),
        }
    }
}
```
```rust good
async fn pump(&mut self) -> io::Result<()> {
    loop {
        tokio::select! {
            _ = self.tick.tick() => self.ping().await,
            frame = self.frames.next() => self.handle(frame?),
        }
    }
}
```

## How it is found
The arm's future is made in the arm and is one of those documented as not cancel safe: `read_exact`,
`read_to_end`, `read_to_string`, `read_line`, `write_all`, `write_all_buf`; the `select!` stands in a
loop, and another arm can win without leaving it.

## Known false alarms
A loop in which every other arm leaves by a way the rule does not see.
"#,
    check,
};

const NOT_CANCEL_SAFE: &[&str] = &[
    "read_exact",
    "read_to_end",
    "read_to_string",
    "read_line",
    "write_all",
    "write_all_buf",
];

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if tree.language != Language::Rust {
        return;
    }
    for select in (0..tree.len()).filter(|&id| tree.kind(id) == Kind::Select && !view.is_test(id)) {
        let Some(loop_node) = tree.enclosing_loop(select) else {
            continue;
        };
        let arms: Vec<NodeId> = tree
            .children(select)
            .filter(|&c| tree.kind(c) == Kind::Arm)
            .collect();
        for &arm in &arms {
            let Some(future) = tree.child(arm, Role::Pattern) else {
                continue;
            };
            let call = tree.strip(future);
            if tree.kind(call) != Kind::Call || !NOT_CANCEL_SAFE.contains(&tree.callee_name(call)) {
                continue;
            }
            let other_stays = arms.iter().any(|&other| {
                other != arm && tree.child(other, Role::Pattern).is_some() && !leaves(view, other)
            });
            if !other_stays {
                continue;
            }
            let name = tree.callee_name(call);
            sink.report(
                Finding::at(view, call, format!("`{name}` is not cancel safe: when another arm wins, what it has done is lost"))
                    .label("dropped in the middle")
                    .related(view, loop_node, "goes round and starts again")
                    .help("keep the future across turns (`tokio::pin!` and `&mut`), or use a framed reader"),
            );
        }
    }
}

fn leaves(view: &View<'_>, arm: NodeId) -> bool {
    let tree = view.tree;
    tree.subtree(arm).any(|n| {
        matches!(tree.kind(n), Kind::Return | Kind::Break)
            || tree.kind(n) == Kind::Macro && has_any(tree.text_of(n), &["bail!", "panic!"])
    }) || tree
        .child(arm, Role::Pattern)
        .is_some_and(|p| has_any(tree.text_of(p), &["cancelled", "shutdown", "closed"]))
}
