//! Which loops try again, at what, how long they wait and what ends them.

use super::delay::{self, DelayFacts, DelaySite, Wait};
use super::flow::{self, End, Fate};
use super::words::{self, BOUND, Remote, STOP, has_any, has_word};
use super::{View, compact};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op, Role};

/// What a loop is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopKind {
    /// Failure leads to the next turn, success leads out.
    Retry,
    /// Failure waits and leads to the next turn; so does success, for the operation holds a
    /// connection while it lasts.
    Reconnect,
    /// Waits until a state is reached; failure leads out.
    Poll,
    /// Waits on every path: a ticker.
    Periodic,
}

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

/// The call a loop repeats.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) call: NodeId,
    /// As written: `s.client.Do`.
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) remote: Remote,
    pub(crate) takes_context: bool,
}

/// One loop that tries again.
#[derive(Clone, Debug)]
pub(crate) struct LoopFacts {
    pub(crate) node: NodeId,
    pub(crate) kind: LoopKind,
    pub(crate) operation: Option<Operation>,
    pub(crate) delay: Option<(DelaySite, DelayFacts)>,
    pub(crate) bound: Bound,
    /// Most turns, where written.
    pub(crate) attempts: Option<u32>,
    /// How a live context is reached.
    pub(crate) context: Option<String>,
    /// Every failing path that goes round again tells errors apart first.
    pub(crate) classified: bool,
    /// A status that is not a success leads to the next turn untold from others.
    pub(crate) retries_any_status: bool,
}

/// Judges every loop of a file.
pub(crate) fn judge(view: &View<'_>) -> Vec<LoopFacts> {
    let tree = view.tree;
    (0..tree.len())
        .filter(|&id| tree.kind(id) == Kind::Loop && !view.is_test(id))
        .filter_map(|id| judge_loop(view, id))
        .collect()
}

fn judge_loop(view: &View<'_>, node: NodeId) -> Option<LoopFacts> {
    if goes_over_data(view, node) {
        return None;
    }
    let paths = flow::paths(view, node);
    let again = |fate| {
        paths
            .ends
            .iter()
            .filter(move |(end, s)| *end == End::NextTurn && s.fate == fate)
    };
    let leaves = |fate| {
        paths
            .ends
            .iter()
            .any(|(end, s)| *end == End::Leaves && s.fate == fate)
    };
    let failed_again: Vec<_> = again(Fate::Failed).map(|(_, s)| *s).collect();
    let unsure_again: Vec<_> = again(Fate::Either).map(|(_, s)| *s).collect();
    let succeeded_again = again(Fate::Succeeded).next().is_some();
    let waits_again = paths
        .ends
        .iter()
        .any(|(end, s)| *end == End::NextTurn && s.delay != 0);
    let success_waits = again(Fate::Succeeded).all(|(_, s)| s.delay != 0) && succeeded_again;
    let (kind, states) = if !failed_again.is_empty()
        && !succeeded_again
        && (leaves(Fate::Succeeded) || leaves(Fate::Either))
    {
        (LoopKind::Retry, failed_again)
    } else if failed_again.iter().any(|s| s.delay != 0) && succeeded_again && !success_waits {
        (LoopKind::Reconnect, failed_again)
    } else if waits_again && leaves(Fate::Failed) && failed_again.is_empty() {
        (
            LoopKind::Poll,
            again(Fate::Succeeded)
                .map(|(_, s)| *s)
                .chain(unsure_again)
                .collect(),
        )
    } else if waits_again {
        (
            LoopKind::Periodic,
            paths
                .ends
                .iter()
                .filter(|(end, _)| *end == End::NextTurn)
                .map(|(_, s)| *s)
                .collect(),
        )
    } else {
        return None;
    };
    let operation = operation(view, node, &states);
    if kind == LoopKind::Reconnect && !operation.as_ref().is_some_and(|op| connects(&op.name)) {
        return None;
    }
    let waits: Vec<NodeId> = states.iter().map(|s| s.delay).filter(|&d| d != 0).collect();
    let site = waits
        .iter()
        .find_map(|&call| {
            paths
                .delays
                .iter()
                .find(|d| d.call == call && d.duration.is_some())
        })
        .or_else(|| {
            waits
                .iter()
                .find_map(|&call| paths.delays.iter().find(|d| d.call == call))
        })
        .or_else(|| paths.delays.iter().find(|d| d.wait != Wait::Tick))
        .copied();
    if site.is_none()
        && kind == LoopKind::Retry
        && !repeats_same_inputs(view, node, operation.as_ref())
    {
        return None;
    }
    let delay = site.map(|site| {
        let facts = site
            .duration
            .map_or_else(DelayFacts::default, |d| delay::decide(view, d, node));
        (site, facts)
    });
    let (bound, attempts) = bound(view, node, delay.as_ref().map(|(site, _)| *site));
    let bound = if bound == Bound::None
        && paths
            .ends
            .iter()
            .any(|(end, s)| *end == End::Leaves && s.stop)
    {
        Bound::Stopped
    } else {
        bound
    };
    let classified = !states.is_empty() && states.iter().all(|s| s.classified);
    let retries_any_status = states.iter().any(|s| s.by_status && !s.classified);
    Some(LoopFacts {
        node,
        kind,
        operation,
        delay,
        bound,
        attempts,
        context: live_context(view, node),
        classified,
        retries_any_status,
    })
}

fn connects(name: &str) -> bool {
    has_word(
        name,
        &[
            "connect",
            "reconnect",
            "dial",
            "subscribe",
            "register",
            "stream",
            "watch",
            "run",
            "serve",
            "session",
            "join",
            "handshake",
            "establish",
            "open",
        ],
    )
}

fn operation(view: &View<'_>, node: NodeId, states: &[flow::State]) -> Option<Operation> {
    let tree = view.tree;
    let mut best: Option<Operation> = None;
    let mut calls: Vec<NodeId> = states
        .iter()
        .map(|s| s.operation)
        .filter(|&op| op != 0)
        .collect();
    calls.dedup();
    for call in calls {
        let call = innermost_operation(view, call);
        let path = operation_path(view, call);
        let takes_context = tree
            .arguments(call)
            .any(|a| has_word(tree.text_of(a), &["ctx", "context", "token", "cancel"]))
            || has_any(tree.text_of(call), &["withcontext", "ctx"]);
        // What takes a context, or is awaited between sleeps, is waited for: it leaves the machine
        // unless its name says otherwise.
        let is_awaited = tree.kind(tree.parent(call)) == Kind::Await;
        let remote = match words::remote(&path) {
            Remote::Unknown if takes_context || is_awaited => Remote::Yes,
            judged => judged,
        };
        let found = Operation {
            remote,
            name: last_of(&path).to_owned(),
            takes_context,
            path,
            call,
        };
        let better = match &best {
            None => true,
            Some(held) => held.remote != Remote::Yes && found.remote == Remote::Yes,
        };
        if better && tree.within(call, node) {
            best = Some(found);
        }
    }
    best
}

/// Looks through `timeout(d, op())` and `client.get(..).send()` to what is called.
fn innermost_operation(view: &View<'_>, call: NodeId) -> NodeId {
    let tree = view.tree;
    if matches!(
        tree.callee_name(call),
        "timeout"
            | "timeout_at"
            | "from"
            | "map_err"
            | "context"
            | "with_context"
            | "instrument"
            | "block_on"
    ) {
        let inner = tree
            .arguments(call)
            .map(|a| tree.strip(a))
            .chain(tree.receiver(call).map(|r| tree.strip(r)))
            .filter(|&a| tree.kind(a) == Kind::Call)
            .last();
        if let Some(inner) = inner
            && !matches!(tree.callee_name(inner), "from_secs" | "from_millis")
        {
            return innermost_operation(view, inner);
        }
    }
    call
}

fn operation_path(view: &View<'_>, call: NodeId) -> String {
    let tree = view.tree;
    let Some(callee) = tree.callee(call) else {
        return String::new();
    };
    let text = compact(tree.text_of(callee));
    // A chain of calls keeps only where it starts and what it ends in.
    match text.find('(') {
        Some(open) => format!("{}.{}", &text[..open], tree.callee_name(call)),
        None => text,
    }
}

fn last_of(path: &str) -> &str {
    path.rsplit(['.', ':']).next().unwrap_or(path)
}

/// `for x := range things`, `for x in things`: another input each turn.
pub(crate) fn goes_over_data(view: &View<'_>, node: NodeId) -> bool {
    let tree = view.tree;
    let over = match tree.language {
        Language::Go => tree
            .children(node)
            .find(|&c| tree.kind(c) == Kind::Range)
            .and_then(|r| tree.child(r, Role::Right)),
        Language::Rust => tree.child(node, Role::Value),
    };
    let Some(over) = over else {
        return takes_items(view, node);
    };
    !counts(view, over)
}

/// `while let Some(job) = inbox.recv().await`.
fn takes_items(view: &View<'_>, node: NodeId) -> bool {
    let tree = view.tree;
    let Some(condition) = tree
        .child(node, Role::Condition)
        .filter(|&c| tree.kind(c) == Kind::LetCondition)
    else {
        return false;
    };
    tree.subtree(condition).any(|id| {
        tree.kind(id) == Kind::Call
            && matches!(
                tree.callee_name(id),
                "recv" | "next" | "pop" | "pop_front" | "try_next" | "recv_async" | "next_message"
            )
    })
}

fn counts(view: &View<'_>, over: NodeId) -> bool {
    let tree = view.tree;
    let over = tree.strip(over);
    if matches!(tree.kind(over), Kind::Number | Kind::Range) {
        return true;
    }
    let text = tree.text_of(over);
    if text.contains("..") && !text.contains("[..") && tree.language == Language::Rust {
        return true;
    }
    has_word(
        text,
        &[
            "retries",
            "attempts",
            "attempt",
            "tries",
            "delays",
            "backoff",
            "backoffs",
            "strategy",
            "retry",
            "intervals",
        ],
    ) || has_word(text, &["max", "count", "num"]) && tree.kind(over) != Kind::Call
}

/// A loop without a delay retries only when nothing the operation is given changes.
fn repeats_same_inputs(view: &View<'_>, node: NodeId, operation: Option<&Operation>) -> bool {
    let tree = view.tree;
    let Some(operation) = operation else {
        return false;
    };
    if operation.remote != Remote::Yes {
        return false;
    }
    let arguments: Vec<String> = tree
        .arguments(operation.call)
        .map(|a| compact(tree.text_of(a)))
        .collect();
    let changes = tree.subtree(node).any(|id| {
        if !matches!(tree.kind(id), Kind::Let | Kind::Assign | Kind::Increment) {
            return false;
        }
        super::targets(tree, id)
            .chain(
                tree.children(id)
                    .filter(|_| tree.kind(id) == Kind::Increment),
            )
            .any(|t| {
                let target = compact(tree.text_of(t));
                arguments
                    .iter()
                    .any(|a| *a == target || a.contains(&target) && target.len() > 2)
            })
    });
    !changes
}

/// What ends the loop, and after how many turns where that is written.
fn bound(view: &View<'_>, node: NodeId, delay: Option<DelaySite>) -> (Bound, Option<u32>) {
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

/// How a live context is reached from `node`: a parameter of a function around it, or a local.
pub(crate) fn live_context(view: &View<'_>, node: NodeId) -> Option<String> {
    let tree = view.tree;
    for body in tree.ancestors(node) {
        if !matches!(tree.kind(body), Kind::Function | Kind::Closure) {
            continue;
        }
        if let Some(name) = super::context::live(view, body) {
            return Some(name);
        }
        if tree.kind(body) == Kind::Function {
            break;
        }
    }
    None
}
