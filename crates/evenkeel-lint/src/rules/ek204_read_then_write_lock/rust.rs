//! Guards of `read()` and `write()` on the same path.

use super::harm::{far_apart, has_identity};
use super::{bodies, lock_calls, report};
use crate::facts::View;
use crate::facts::words::has_any;
use crate::rule::Sink;
use crate::syntax::{Kind, NodeId, Role};

pub(super) fn check(view: &View<'_>, sink: &mut Sink<'_>) {
    let tree = view.tree;
    if !tree.text.contains("RwLock") {
        return;
    }
    for function in bodies(view) {
        let calls = lock_calls(view, function, &["read", "write"]);
        for read in calls
            .iter()
            .filter(|c| c.name == "read" && tree.arguments(c.call).next().is_none())
        {
            let Some(write) = calls.iter().find(|c| {
                c.name == "write"
                    && c.path == read.path
                    && c.call > tree.end(read.call)
                    && tree.arguments(c.call).next().is_none()
            }) else {
                continue;
            };
            let loops = (
                tree.enclosing_loop(read.call),
                tree.enclosing_loop(write.call),
            );
            if loops.0 != loops.1 || same_arm_alternatives(view, read.call, write.call) {
                continue;
            }
            let tested = tree
                .ancestors(read.call)
                .take_while(|&a| a != function)
                .any(|a| matches!(tree.kind(a), Kind::If | Kind::Switch | Kind::LetCondition))
                || (read.call..write.call)
                    .any(|id| matches!(tree.kind(id), Kind::If | Kind::Switch));
            let (from, to) = (
                tree.get(read.call).end as usize,
                tree.get(write.call).start as usize,
            );
            let between = &tree.text[from.min(to)..to];
            if !tested
                || !has_any(
                    between,
                    &[".get(", "contains", "is_none()", "is_some()", "is_empty()"],
                )
            {
                continue;
            }
            let (start, end) = (
                tree.get(write.call).start as usize,
                tree.get(function).end as usize,
            );
            let after = &tree.text[start..end.max(start)];
            let writes = has_any(after, &[".insert(", ".push(", ".remove(", " = "]);
            let looks_again = has_any(
                after,
                &[
                    ".entry(",
                    "or_insert",
                    ".get(",
                    ".get_mut(",
                    "contains",
                    "is_none()",
                    "is_some()",
                    "if let",
                    "if ",
                    "match ",
                    ".get_or",
                    "retain",
                    "replace",
                    "try_insert",
                    "extend",
                ],
            );
            if !writes || looks_again {
                continue;
            }
            // A lock of its own keeps others out meanwhile.
            if has_any(
                &tree.text[tree.get(function).start as usize..tree.get(write.call).start as usize],
                &[".lock()"],
            ) {
                continue;
            }
            if far_apart(view, read.call, write.call)
                || !inserts_identity(view, function, write.call)
            {
                continue;
            }
            report(
                view, sink, function, read.call, write.call, write.call, &read.path,
            );
        }
    }
}

/// Whether what is inserted after the write lock is something created, or a member of a set.
fn inserts_identity(view: &View<'_>, function: NodeId, write: NodeId) -> bool {
    let tree = view.tree;
    // The statement of the lock and what follows it.
    let from = tree
        .ancestors(write)
        .take_while(|&a| a != function && tree.kind(a) != Kind::Block)
        .last()
        .unwrap_or(write);
    (from..tree.end(function)).any(|id| {
        if tree.kind(id) != Kind::Call || !matches!(tree.callee_name(id), "insert" | "push") {
            return false;
        }
        let arguments: Vec<NodeId> = tree.arguments(id).collect();
        match arguments.as_slice() {
            [_] => true,
            [.., value] => has_identity(view, *value, 0),
            [] => false,
        }
    })
}

/// Two arms of one `match` or two branches of one `if` never run one after the other.
fn same_arm_alternatives(view: &View<'_>, first: NodeId, second: NodeId) -> bool {
    let tree = view.tree;
    tree.ancestors(first).any(|a| match tree.kind(a) {
        Kind::Arm => {
            !tree.within(second, a)
                && tree.within(second, tree.parent(a))
                && tree.get(a).role != Role::Value
        }
        Kind::If => {
            tree.roles(a, Role::Then).any(|t| tree.within(first, t))
                && tree.roles(a, Role::Else).any(|e| tree.within(second, e))
        }
        _ => false,
    })
}
