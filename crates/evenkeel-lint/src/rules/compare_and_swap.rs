//! Compare-and-swap calls inside loops, for the rules about them.

use crate::facts::View;
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op, Role};

/// One swap inside a loop.
pub(super) struct Swap {
    pub(super) call: NodeId,
    pub(super) loop_node: NodeId,
    /// What the word must hold for the swap to succeed.
    pub(super) expected: NodeId,
}

/// Swaps in the condition or body of a loop.
pub(super) fn in_loops<'v>(view: &'v View<'_>) -> impl Iterator<Item = Swap> + 'v {
    let tree = view.tree;
    (0..tree.len())
        .filter(move |&id| tree.kind(id) == Kind::Call)
        .filter_map(move |call| {
            let name = tree.callee_name(call);
            let at = match tree.language {
                Language::Go if name == "CompareAndSwap" => 0,
                Language::Go if name.starts_with("CompareAndSwap") => 1,
                Language::Rust
                    if matches!(
                        name,
                        "compare_exchange" | "compare_exchange_weak" | "compare_and_swap"
                    ) =>
                {
                    0
                }
                _ => return None,
            };
            let expected = tree.arguments(call).nth(at)?;
            Some(Swap {
                call,
                loop_node: tree.enclosing_loop(call)?,
                expected,
            })
        })
}

/// A literal or an upper-case name.
pub(super) fn is_constant(view: &View<'_>, id: NodeId) -> bool {
    let tree = view.tree;
    let id = tree.strip(id);
    match tree.kind(id) {
        Kind::Number | Kind::Boolean | Kind::Nil => true,
        Kind::Name => view.constant(tree.text_of(id)).is_some() || is_upper(tree.text_of(id)),
        Kind::Field => is_upper(tree.last_segment(id)),
        Kind::Call => tree.callee_name(id) == "null_mut",
        _ => false,
    }
}

fn is_upper(name: &str) -> bool {
    name.len() > 1
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether a lost swap leads to the next turn and a won one out of the loop.
pub(super) fn failure_repeats(view: &View<'_>, call: NodeId, loop_node: NodeId) -> bool {
    let tree = view.tree;
    if let Some(condition) = crate::facts::flow::condition(view, loop_node)
        && tree.within(call, condition)
    {
        return true;
    }
    // `if cas() { return/break }`, or `match cas { Ok(_) => break, … }`.
    for ancestor in tree.ancestors(call) {
        if ancestor == loop_node {
            return false;
        }
        match tree.kind(ancestor) {
            Kind::If => {
                let negated = tree.child(ancestor, Role::Condition).is_some_and(|c| {
                    tree.get(c).op == Op::Not || tree.text_of(c).contains("is_err")
                });
                let role = if negated { Role::Else } else { Role::Then };
                let leaves = tree.roles(ancestor, role).any(|part| {
                    tree.subtree(part)
                        .any(|n| matches!(tree.kind(n), Kind::Return | Kind::Break))
                });
                // Failure that leaves is not a spin.
                let other = if negated { Role::Then } else { Role::Else };
                let gives_up = tree.roles(ancestor, other).any(|part| {
                    tree.subtree(part)
                        .any(|n| matches!(tree.kind(n), Kind::Return | Kind::Break))
                });
                return leaves && !gives_up;
            }
            Kind::Switch => {
                let arms: Vec<NodeId> = tree
                    .children(ancestor)
                    .filter(|&c| tree.kind(c) == Kind::Arm)
                    .collect();
                let leaves = |start: &str| {
                    arms.iter()
                        .filter(|&&a| tree.text_of(a).starts_with(start))
                        .any(|&a| {
                            tree.subtree(a)
                                .any(|n| matches!(tree.kind(n), Kind::Return | Kind::Break))
                        })
                };
                // `Err(now) => state = now` recomputes: a state machine, not a lock.
                let recomputes = arms
                    .iter()
                    .filter(|&&a| tree.text_of(a).starts_with("Err"))
                    .any(|&a| {
                        tree.subtree(a)
                            .any(|n| matches!(tree.kind(n), Kind::Assign | Kind::Switch))
                    });
                return leaves("Ok") && !leaves("Err") && !recomputes;
            }
            _ => {}
        }
    }
    false
}
