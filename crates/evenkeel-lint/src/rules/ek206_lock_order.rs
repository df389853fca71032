use super::LockPair;
use crate::facts::{View, compact};
use crate::finding::{Finding, Level, Place, Related};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Role};

pub(super) const RULE: Rule = Rule {
    code: "EK206",
    name: "lock-order",
    level: Level::Error,
    standing: Standing::OptIn,
    summary: "two locks are taken in one order here and in the other order there",
    page: r#"
Somewhere in the package lock B is taken while A is held, and elsewhere A while B is held.

## Why it hurts
Two tasks, one on each path, wait for each other for ever. It needs the right moment, so it is found
in production.

## Example
```go bad
package store

func (s *Store) save() {
	s.index.Lock()
	s.log.Lock()
	s.log.Unlock()
	s.index.Unlock()
}

func (s *Store) compact() {
	s.log.Lock()
	s.index.Lock()
	s.index.Unlock()
	s.log.Unlock()
}
```
```go good
package store

func (s *Store) save() {
	s.index.Lock()
	s.log.Lock()
	s.log.Unlock()
	s.index.Unlock()
}

func (s *Store) compact() {
	s.index.Lock()
	s.log.Lock()
	s.log.Unlock()
	s.index.Unlock()
}
```

## How it is found
Locks are named by type and field. Within each method the order of `Lock` and `Unlock` is followed;
pairs that occur in both orders within a package are reported, with both places. Rust: guards bound by
`let` are held to the end of their block.

## Known false alarms
Two values of one type whose locks are ordered by something else.
"#,
    check,
};

/// Locks taken one inside the other, in each function of the file.
pub(super) fn pairs(view: &View<'_>) -> Vec<(NodeId, LockPair)> {
    let tree = view.tree;
    let mut pairs = Vec::new();
    if !tree.text.contains("ock()") {
        return pairs;
    }
    for summary in &view.summaries {
        if view.is_test(summary.node) || summary.receiver.is_empty() {
            continue;
        }
        let own = match tree.language {
            Language::Go => tree
                .child(summary.node, Role::Receiver)
                .and_then(|p| tree.child(p, Role::Name))
                .map_or("", |n| tree.text_of(n)),
            Language::Rust => "self",
        };
        // (lock, where the guard's block ends)
        let mut held: Vec<(String, NodeId)> = Vec::new();
        for id in tree.subtree(summary.node) {
            if tree.kind(id) != Kind::Call || tree.enclosing_body(id) != Some(summary.node) {
                continue;
            }
            let name = tree.callee_name(id);
            let Some(receiver) = tree.receiver(id) else {
                continue;
            };
            let path = compact(tree.text_of(receiver));
            let Some(rest) = path
                .strip_prefix(own)
                .filter(|rest| rest.starts_with('.') && !own.is_empty() && !rest.contains('('))
            else {
                continue;
            };
            let lock = format!("{}{rest}", summary.receiver);
            held.retain(|(_, until)| *until == 0 || id < *until);
            match name {
                "Lock" | "lock" => {
                    let until = match tree.language {
                        Language::Go => 0,
                        Language::Rust => match guard_scope(view, id) {
                            Some(until) => until,
                            None => continue,
                        },
                    };
                    for (first, _) in &held {
                        if *first != lock {
                            let line = view.lines.position(tree.get(id).start).0;
                            pairs.push((
                                id,
                                LockPair {
                                    first: first.clone(),
                                    second: lock.clone(),
                                    line,
                                },
                            ));
                        }
                    }
                    held.push((lock, until));
                }
                "Unlock" if tree.kind(tree.parent(id)) != Kind::Defer => {
                    held.retain(|(l, _)| *l != lock);
                }
                _ => {}
            }
        }
    }
    pairs
}

/// End of the block in which a `let` keeps a guard; `None` for a guard that dies at once.
fn guard_scope(view: &View<'_>, call: NodeId) -> Option<NodeId> {
    let tree = view.tree;
    let binding = tree
        .ancestors(call)
        .take(3)
        .find(|&a| tree.kind(a) == Kind::Let)?;
    let block = tree
        .ancestors(binding)
        .find(|&a| matches!(tree.kind(a), Kind::Block | Kind::Function))?;
    Some(tree.end(block))
}

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    for (node, pair) in pairs(view) {
        let finding = Finding::at(
            view,
            node,
            format!("`{}` is taken while `{}` is held", pair.second, pair.first),
        )
        .label("taken second here")
        .help("fix one order for the two locks and write it down at the type");
        sink.report_if(finding, move |index, package, finding| {
            for file in index.files_of(package) {
                if let Some(other) = file
                    .lock_pairs
                    .iter()
                    .find(|p| p.first == pair.second && p.second == pair.first)
                {
                    finding.message.push_str(&format!(
                        "; {}:{} takes them the other way round",
                        file.path, other.line
                    ));
                    finding.related.push(Related {
                        place: Place {
                            path: file.path.clone(),
                            line: other.line,
                            column: 1,
                            end_line: other.line,
                            end_column: 1,
                            bytes: 0..0,
                        },
                        label: "taken the other way round".to_owned(),
                    });
                    return true;
                }
            }
            false
        });
    }
}
