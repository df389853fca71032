//! What ends a loop whose operation keeps failing.

use super::delay::{self, DelaySite, Wait};
use super::flow;
use super::words::{BOUND, STOP, has_any, has_word};
use super::{View, compact};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op, Role};

/// What ends a loop whose operation keeps failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// A number of turns.
    Counted,
    /// A clock or a counter compared inside.
    Compared,
    /// A context, token, channel or flag.
    Stopped,
    None,
}

/// What ends the loop, and after how many turns where that is written.
pub(super) fn bound(
    view: &View<'_>,
    node: NodeId,
    delay: Option<DelaySite>,
) -> (Bound, Option<u32>) {
    let tree = view.tree;
    let over = match tree.language {
        Language::Go => tree
            .children(node)
            .find(|&c| tree.kind(c) == Kind::Range)
            .and_then(|r| tree.child(r, Role::Right)),
        Language::Rust => tree.child(node, Role::Value),
    };
    if let Some(over) = over {
        let text = tree.text_of(over);
        if tree.language == Language::Rust && text.trim_end().ends_with("..") {
            return inner_bound(view, node, delay);
        }
        let count = if tree.language == Language::Rust {
            tree.children(over)
                .last()
                .and_then(|n| delay::number(view, n, 0))
        } else {
            delay::number(view, over, 0)
        };
        return (Bound::Counted, count.and_then(|n| u32::try_from(n).ok()));
    }
    if let Some(condition) = flow::condition(view, node) {
        let text = compact(tree.text_of(condition));
        for id in tree.subtree(condition) {
            if tree.kind(id) == Kind::Binary
                && matches!(
                    tree.get(id).op,
                    Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual | Op::NotEqual
                )
            {
                let limit = tree
                    .child(id, Role::Right)
                    .and_then(|r| delay::number(view, r, 0))
                    .and_then(|n| u32::try_from(n).ok());
                let is_nil = tree
                    .child(id, Role::Right)
                    .is_some_and(|r| tree.kind(r) == Kind::Nil);
                if !is_nil && tree.get(id).op != Op::NotEqual {
                    return (Bound::Counted, limit);
                }
            }
        }
        if has_any(&text, STOP) {
            return (Bound::Stopped, None);
        }
        if has_any(&text, BOUND) {
            return (Bound::Compared, None);
        }
        let is_plain_call =
            tree.kind(condition) == Kind::Call || tree.kind(condition) == Kind::Unary;
        if is_plain_call && has_any(&text, &["next", "should", "continue", "can", "retry"]) {
            return (Bound::Compared, None);
        }
    }
    inner_bound(view, node, delay)
}

fn inner_bound(view: &View<'_>, node: NodeId, delay: Option<DelaySite>) -> (Bound, Option<u32>) {
    let tree = view.tree;
    let counters: Vec<String> = tree
        .subtree(node)
        .filter(|&id| {
            tree.kind(id) == Kind::Increment
                || tree.kind(id) == Kind::Assign
                    && matches!(tree.get(id).op, Op::AddAssign | Op::OtherAssign)
        })
        .filter_map(|id| tree.children(id).next())
        .map(|t| compact(tree.text_of(t)))
        .collect();
    for id in tree.subtree(node) {
        match tree.kind(id) {
            Kind::Binary
                if matches!(
                    tree.get(id).op,
                    Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual | Op::Equal
                ) && decides(view, id, node) =>
            {
                let text = compact(tree.text_of(id));
                let about_status = has_any(&text, &["status", "code"]);
                let counts = [Role::Left, Role::Right].into_iter().any(|role| {
                    tree.child(id, role)
                        .is_some_and(|side| counters.contains(&compact(tree.text_of(side))))
                });
                if counts || has_any(&text, BOUND) && !about_status && tree.get(id).op != Op::Equal
                {
                    let limit = tree
                        .child(id, Role::Right)
                        .and_then(|r| delay::number(view, r, 0))
                        .and_then(|n| u32::try_from(n).ok());
                    return (Bound::Compared, limit);
                }
            }
            Kind::If => {
                let Some(condition) = tree.child(id, Role::Condition) else {
                    continue;
                };
                let text = compact(tree.text_of(condition));
                let text = match tree.child(id, Role::Init) {
                    Some(init) => format!("{}{text}", compact(tree.text_of(init))),
                    None => text,
                };
                let exits = leaves_within(view, id);
                if exits && has_any(&text, STOP) {
                    return (Bound::Stopped, None);
                }
                if exits
                    && has_any(
                        &text,
                        &[
                            "timeout",
                            "expired",
                            "elapsed",
                            "deadline",
                            "exceeded",
                            "exhausted",
                            "maxretr",
                            "max_retr",
                            "giveup",
                            "give_up",
                            "shouldretry",
                            "should_retry",
                            "canretry",
                            "can_retry",
                            "after(",
                            "before(",
                        ],
                    )
                {
                    return (Bound::Compared, None);
                }
                // A waiting helper that is handed the context and whose answer is looked at.
                if exits
                    && has_word(&text, &["sleep", "wait", "delay", "backoff", "pause"])
                    && has_word(&text, &["ctx", "context", "token", "cancel"])
                {
                    return (Bound::Stopped, None);
                }
            }
            Kind::Arm => {
                let pattern: String = tree
                    .roles(id, Role::Pattern)
                    .map(|p| compact(tree.text_of(p)))
                    .collect();
                let in_select = tree.kind(tree.parent(id)) == Kind::Select;
                let exits = leaves_within(view, id);
                if in_select && exits && (has_any(&pattern, STOP) || !is_wait_pattern(&pattern)) {
                    return (Bound::Stopped, None);
                }
                if !in_select && has_any(&pattern, STOP) && exits {
                    return (Bound::Stopped, None);
                }
            }
            // `let Some(delay) = delays.next() else { return }`.
            Kind::Let
                if tree
                    .child(id, Role::Else)
                    .is_some_and(|e| leaves_within(view, e)) =>
            {
                let value = tree.child(id, Role::Value).map_or("", |v| tree.text_of(v));
                if has_any(value, BOUND) || value.contains(".next()") {
                    return (Bound::Compared, None);
                }
            }
            // `sleep(ctx, d)?`, `token.run_until_cancelled(..)`: failure leaves.
            Kind::Try => {
                let text = tree.text_of(id);
                if has_any(text, &["cancel", "timeout", "backoff", "deadline"])
                    && has_any(text, &["sleep", "wait", "cancel", "next"])
                {
                    return (Bound::Stopped, None);
                }
            }
            Kind::Call => {
                let name = tree.callee_name(id);
                if matches!(name, "run_until_cancelled" | "Ongoing") {
                    return (Bound::Stopped, None);
                }
            }
            _ => {}
        }
    }
    let helper_knows = delay.is_some_and(|d| {
        d.wait == Wait::Helper && {
            let text = compact(tree.text_of(d.call));
            has_word(
                &text,
                &["ctx", "context", "token", "cancel", "stop", "done", "quit"],
            )
        }
    });
    if helper_knows && checks_context(view, node) {
        return (Bound::Stopped, None);
    }
    (Bound::None, None)
}

fn checks_context(view: &View<'_>, node: NodeId) -> bool {
    has_any(
        &compact(view.tree.text_of(node)),
        &[
            "ctx.err()",
            ".done()",
            "is_cancelled",
            "context().err()",
            "if!",
            "sleep",
        ],
    )
}

fn is_wait_pattern(pattern: &str) -> bool {
    has_any(
        pattern,
        &["after", "sleep", "timer", "ticker", "tick", ".c", "delay"],
    )
}

/// Whether a comparison stands in an `if`, a guard or a `case`, not in an argument.
fn decides(view: &View<'_>, id: NodeId, loop_node: NodeId) -> bool {
    let tree = view.tree;
    let mut at = id;
    for parent in tree.ancestors(id) {
        if parent == loop_node {
            return false;
        }
        match tree.kind(parent) {
            Kind::If => return tree.get(at).role == Role::Condition,
            Kind::Arm => return true,
            Kind::Return | Kind::Call | Kind::Block | Kind::Closure => return false,
            _ => at = parent,
        }
    }
    false
}

/// Whether a `return`, a `break` out of the loop or a panic stands within.
fn leaves_within(view: &View<'_>, id: NodeId) -> bool {
    let tree = view.tree;
    tree.subtree(id).any(|n| match tree.kind(n) {
        Kind::Return | Kind::Goto | Kind::Break => true,
        Kind::Macro => has_any(tree.text_of(n), &["bail!", "panic!"]),
        Kind::Call => has_any(tree.callee_name(n), &["panic", "fatal", "exit"]),
        _ => false,
    })
}
