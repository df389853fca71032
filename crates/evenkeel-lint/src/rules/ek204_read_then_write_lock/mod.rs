mod harm;
mod rust;

use self::harm::{far_apart, has_identity};
use crate::facts::words::has_any;
use crate::facts::{View, compact};
use crate::finding::{Finding, Level};
use crate::rule::{Rule, Sink, Standing};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op, Role};

pub(in crate::rules) const RULE: Rule = Rule {
    code: "EK204",
    name: "read-then-write-lock",
    level: Level::Warning,
    standing: Standing::Preview,
    summary: "what was tested under the read lock is written under the write lock without a second look",
    page: r#"
A value is tested under the read lock, the lock is given up, and under the write lock the value is
written without being tested again.

## Why it hurts
Between the two locks everyone else may have passed the same test. A cache is filled twice, a
connection leaks, a circuit breaker that should let one probe through lets a hundred through.

## Example
```go bad
package store

func (c *Cache) get(key string) *Entry {
	c.mu.RLock()
	entry, ok := c.entries[key]
	c.mu.RUnlock()
	if ok {
		return entry
	}
	entry = open(key)
	c.mu.Lock()
	c.entries[key] = entry
	c.mu.Unlock()
	return entry
}
```
```go good
package store

func (c *Cache) get(key string) *Entry {
	c.mu.RLock()
	entry, ok := c.entries[key]
	c.mu.RUnlock()
	if ok {
		return entry
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry, ok := c.entries[key]; ok {
		return entry
	}
	entry = open(key)
	c.entries[key] = entry
	return entry
}
```
```rust bad
use std::sync::RwLock;
fn get(&self, key: &str) -> Arc<Entry> {
    if let Some(entry) = self.entries.read().unwrap().get(key) {
        return entry.clone();
    }
    let entry = Arc::new(Entry::open(key));
    self.entries.write().unwrap().insert(key.to_owned(), entry.clone());
    entry
}
```
```rust good
use std::sync::RwLock;
fn get(&self, key: &str) -> Arc<Entry> {
    if let Some(entry) = self.entries.read().unwrap().get(key) {
        return entry.clone();
    }
    let mut entries = self.entries.write().unwrap();
    entries.entry(key.to_owned()).or_insert_with(|| Arc::new(Entry::open(key))).clone()
}
```

## How it is found
In one function: a read lock and later a write lock on the same path; between them an `if` that
tests whether what was read is there (`ok`, nil, empty, `get`, `contains`); after the write lock a write to the same field or map, and before that write no
second read of it, no `entry`, no insert-if-absent. What is written was created, opened, drawn or
counted, or is a flag: a value that everybody reads or computes alike may be written twice. Not where another mutex is held across both.

## Known false alarms
Values that all writers compute alike, so that writing twice is only waste.
"#,
    check,
};

fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    match view.tree.language {
        Language::Go => check_go(view, sink),
        Language::Rust => rust::check(view, sink),
    }
}

struct LockCall {
    call: NodeId,
    name: &'static str,
    path: String,
}

fn lock_calls(view: &View<'_>, function: NodeId, names: &[&'static str]) -> Vec<LockCall> {
    let tree = view.tree;
    tree.subtree(function)
        .filter(|&id| tree.kind(id) == Kind::Call && tree.enclosing_body(id) == Some(function))
        .filter_map(|call| {
            let name = names
                .iter()
                .copied()
                .find(|n| *n == tree.callee_name(call))?;
            let path = compact(tree.text_of(tree.receiver(call)?));
            Some(LockCall { call, name, path })
        })
        .collect()
}

fn bodies<'v>(view: &'v View<'_>) -> impl Iterator<Item = NodeId> + 'v {
    (0..view.tree.len()).filter(|&id| {
        matches!(view.tree.kind(id), Kind::Function | Kind::Closure) && !view.is_test(id)
    })
}

fn check_go(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    for function in bodies(view) {
        // `group.Do(key, func() { … })` lets one caller at a time through.
        if tree.kind(tree.parent(function)) == Kind::Call
            && matches!(tree.callee_name(tree.parent(function)), "Do" | "DoChan")
        {
            continue;
        }
        let calls = lock_calls(view, function, &["RLock", "RUnlock", "Lock", "Unlock"]);
        for (at, read) in calls.iter().enumerate().filter(|(_, c)| c.name == "RLock") {
            let Some(unlock) = calls[at..].iter().rev().find(|c| {
                c.name == "RUnlock"
                    && c.path == read.path
                    && tree.kind(tree.parent(c.call)) != Kind::Defer
                    && calls
                        .iter()
                        .any(|l| l.name == "Lock" && l.path == read.path && l.call > c.call)
            }) else {
                continue;
            };
            let Some(write) = calls
                .iter()
                .find(|c| c.name == "Lock" && c.path == read.path && c.call > unlock.call)
            else {
                continue;
            };
            if calls.iter().any(|c| {
                c.path == read.path
                    && c.name == "RLock"
                    && c.call > unlock.call
                    && c.call < write.call
            }) {
                continue;
            }
            if other_mutex_held(&calls, at, write.call)
                || tree.enclosing_loop(write.call) != tree.enclosing_loop(read.call)
            {
                continue;
            }
            let base = read.path.split('.').next().unwrap_or("").to_owned();
            // What is read under the read lock: fields and map entries of the same owner.
            let read_paths = read_paths(view, function, read.call, unlock.call, &base);

            let section_end = calls
                .iter()
                .find(|c| {
                    c.name == "Unlock"
                        && c.path == read.path
                        && c.call > write.call
                        && tree.kind(tree.parent(c.call)) != Kind::Defer
                })
                .map_or(tree.end(function), |c| c.call);
            for container in &read_paths {
                if !missing_tested(view, read.call, unlock.call, write.call, container) {
                    continue;
                }
                let Some(written) = first_write(view, write.call, section_end, container) else {
                    continue;
                };
                if reread(view, write.call, section_end, written, container)
                    || far_apart(view, unlock.call, write.call)
                {
                    continue;
                }
                if !tree
                    .child(written, Role::Right)
                    .is_some_and(|value| has_identity(view, value, 0))
                {
                    continue;
                }
                report(
                    view, sink, function, read.call, write.call, written, container,
                );
                break;
            }
        }
    }
}

fn other_mutex_held(calls: &[LockCall], read: usize, write: NodeId) -> bool {
    let path = &calls[read].path;
    calls[..read].iter().any(|c| {
        c.name == "Lock"
            && c.path != *path
            && !calls.iter().any(|u| {
                u.name == "Unlock" && u.path == c.path && u.call > c.call && u.call < write
            })
    })
}

/// `c.entries` of `c.entries[key]`, `s.state` of `s.state`.
fn read_paths(
    view: &View<'_>,
    function: NodeId,
    from: NodeId,
    to: NodeId,
    base: &str,
) -> Vec<String> {
    let tree = view.tree;
    let mut paths = Vec::new();
    for id in from..to.min(tree.end(function)) {
        if tree.kind(id) != Kind::Field
            || tree.get(id).role == Role::Callee
            || tree.kind(tree.parent(id)) == Kind::Field
        {
            continue;
        }
        let text = compact(tree.text_of(id));
        let is_own =
            text.split('.').next() == Some(base) && text.contains('.') && !text.contains('(');
        let is_lock = has_any(&text, &["mu", "lock"])
            && text.ends_with(|c: char| c.is_alphabetic())
            && tree.kind(tree.parent(id)) == Kind::Call;
        if is_own && !is_lock && !paths.contains(&text) {
            paths.push(text);
        }
    }
    paths
}

/// Whether what was read from `container` is tested for being there before the write lock is taken:
/// `ok`, `!ok`, a comparison with nil or an empty value.
fn missing_tested(
    view: &View<'_>,
    read: NodeId,
    unlock: NodeId,
    write: NodeId,
    container: &str,
) -> bool {
    let tree = view.tree;
    let mut names: Vec<String> = vec![container.to_owned()];
    for id in read..write {
        if !matches!(tree.kind(id), Kind::Let | Kind::Assign) || id > unlock {
            continue;
        }
        if crate::facts::values_of(tree, id).any(|v| compact(tree.text_of(v)).contains(container)) {
            names.extend(
                crate::facts::targets(tree, id)
                    .map(|t| tree.text_of(t).to_owned())
                    .filter(|n| n != "_"),
            );
        }
    }
    (read..write)
        .filter(|&id| tree.kind(id) == Kind::If)
        .any(|id| {
            tree.child(id, Role::Condition)
                .is_some_and(|condition| tests_presence(view, condition, &names))
        })
}

fn tests_presence(view: &View<'_>, condition: NodeId, names: &[String]) -> bool {
    let tree = view.tree;
    let is_held = |id: NodeId| {
        let text = compact(tree.text_of(id));
        names.iter().any(|n| {
            *n == text
                || text
                    .strip_prefix(n.as_str())
                    .is_some_and(|rest| rest.starts_with('['))
        })
    };
    match tree.kind(condition) {
        Kind::Name | Kind::Field => is_held(condition),
        Kind::Unary if tree.get(condition).op == Op::Not => tree
            .children(condition)
            .next()
            .is_some_and(|c| tests_presence(view, c, names)),
        Kind::Binary => match tree.get(condition).op {
            Op::And | Op::Or => tree
                .children(condition)
                .any(|c| tests_presence(view, c, names)),
            Op::Equal | Op::NotEqual | Op::Less | Op::Greater => {
                let sides: Vec<NodeId> = tree.children(condition).collect();
                let empty = sides.iter().any(|&s| {
                    let text = tree.text_of(s);
                    matches!(tree.kind(s), Kind::Nil | Kind::Number | Kind::Boolean)
                        || matches!(text, "\"\"" | "_EMPTY_")
                        || has_any(text, &["empty"])
                });
                let held = sides.iter().any(|&s| {
                    is_held(s)
                        || tree.kind(s) == Kind::Call
                            && tree.callee_name(s) == "len"
                            && tree.arguments(s).any(is_held)
                });
                empty && held
            }
            _ => false,
        },
        _ => false,
    }
}

fn first_write(view: &View<'_>, from: NodeId, to: NodeId, container: &str) -> Option<NodeId> {
    let tree = view.tree;
    (from..to).find(|&id| match tree.kind(id) {
        Kind::Assign | Kind::Increment => tree
            .children(id)
            .filter(|&c| matches!(tree.get(c).role, Role::Left | Role::None))
            .any(|left| {
                let text = compact(tree.text_of(left));
                text == container
                    || text
                        .strip_prefix(container)
                        .is_some_and(|rest| rest.starts_with('['))
            }),
        _ => false,
    })
}

/// Whether the container is looked at again between the write lock and the write.
fn reread(view: &View<'_>, from: NodeId, to: NodeId, written: NodeId, container: &str) -> bool {
    let tree = view.tree;
    (from..to).any(|id| {
        if !matches!(tree.kind(id), Kind::Field | Kind::Call)
            || id >= written && tree.within(id, written)
        {
            return false;
        }
        if tree.kind(id) == Kind::Call {
            return id < written
                && has_any(
                    tree.callee_name(id),
                    &[
                        "get", "exist", "check", "has", "find", "lookup", "load", "is", "contains",
                    ],
                );
        }
        id < written && compact(tree.text_of(id)) == container && !is_assigned(view, id)
    }) || matches!(tree.kind(written), Kind::Increment)
        || matches!(tree.get(written).op, Op::AddAssign | Op::OtherAssign)
        || tree
            .child(written, Role::Right)
            .is_some_and(|right| compact(tree.text_of(right)).contains(container))
}

fn is_assigned(view: &View<'_>, id: NodeId) -> bool {
    let tree = view.tree;
    tree.ancestors(id).take(3).any(|a| {
        tree.kind(a) == Kind::Assign && tree.roles(a, Role::Left).any(|l| tree.within(id, l))
    })
}

fn report(
    view: &View<'_>,
    sink: &mut Sink<'_>,
    function: NodeId,
    read: NodeId,
    write: NodeId,
    written: NodeId,
    container: &str,
) {
    let owner = view
        .function_summary(function)
        .map_or("", |s| s.receiver.as_str());
    let level = if has_any(owner, &["breaker", "limiter"])
        || has_any(container, &["state", "failures", "open"])
    {
        Level::Error
    } else {
        Level::Warning
    };
    sink.report(
        Finding::at(view, write, format!("`{container}` was tested under the read lock and is written under the write lock without a second look"))
            .level(level)
            .label("others may have passed the same test meanwhile")
            .related(view, read, "tested under this read lock")
            .related(view, written, "written here")
            .help("look again after taking the write lock, or take it from the start"),
    );
}
