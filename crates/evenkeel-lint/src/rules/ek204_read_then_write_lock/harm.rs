//! Whether writing a value twice does harm.

use crate::facts::View;
use crate::facts::words::has_word;
use crate::syntax::{Kind, NodeId};

const MOST_LINES_BETWEEN: u32 = 40;

/// Tests and writes that belong together stand close together.
pub(super) fn far_apart(view: &View<'_>, from: NodeId, to: NodeId) -> bool {
    let line = |id: NodeId| view.lines.position(view.tree.get(id).start).0;
    line(to).saturating_sub(line(from)) > MOST_LINES_BETWEEN
}

/// Whether writing this value twice does harm: something was created, opened, drawn or counted, or a
/// flag was set. A value that everybody reads or computes alike may be written twice.
pub(super) fn has_identity(view: &View<'_>, value: NodeId, depth: u8) -> bool {
    let tree = view.tree;
    let value = tree.strip(value);
    match tree.kind(value) {
        Kind::Boolean | Kind::Composite | Kind::Number | Kind::Closure => true,
        Kind::Call => {
            let name = tree.callee_name(value);
            let creates = has_word(
                name,
                &[
                    "new", "make", "create", "open", "connect", "dial", "start", "spawn", "build",
                    "ensure", "init", "next", "generate", "append", "default", "with", "alloc",
                    "register", "setup",
                ],
            );
            creates
                || matches!(name, "clone" | "unwrap" | "expect" | "into")
                    && tree
                        .receiver(value)
                        .is_some_and(|r| has_identity(view, r, depth))
                || tree.arguments(value).any(|a| {
                    tree.kind(tree.strip(a)) == Kind::Call
                        && has_identity(view, a, depth + 1)
                        && depth < 2
                })
        }
        Kind::Binary => {
            tree.children(value).any(|c| has_identity(view, c, depth))
                && tree.subtree(value).any(|n| tree.kind(n) == Kind::Call)
        }
        Kind::Name if depth < 2 => {
            let name = tree.text_of(value);
            let definitions = view.definitions(view.scope(value), name);
            definitions
                .iter()
                .any(|&d| d != value && has_identity(view, d, depth + 1))
        }
        _ => false,
    }
}
