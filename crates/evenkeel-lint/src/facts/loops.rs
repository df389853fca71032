//! Which loops try again, at what, how long they wait and what ends them.

pub(crate) use super::bound::Bound;
use super::bound::bound;
use super::delay::{self, DelayFacts, DelaySite, Wait};
use super::flow::{self, End, Fate};
use super::words::{self, Remote, has_any, has_word};
use super::{View, compact};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Role};

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
    /// Some path of the failed operation leaves the loop without telling the error from others:
    /// another condition ends it.
    pub(crate) ends_otherwise: bool,
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
    let ends_otherwise = paths.ends.iter().any(|(end, s)| {
        *end == End::Leaves
            && s.fate == Fate::Failed
            && !s.classified
            && states.iter().any(|again| again.operation == s.operation)
    }) || ends_by_a_flag(view, node);
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
        ends_otherwise,
        retries_any_status,
    })
}

/// `while service.is_on()`, `for !done`: a condition about something else than the operation's error.
fn ends_by_a_flag(view: &View<'_>, node: NodeId) -> bool {
    let tree = view.tree;
    flow::condition(view, node).is_some_and(|condition| {
        tree.kind(condition) != Kind::LetCondition
            && tree.text_of(condition) != "true"
            && !tree.subtree(condition).any(|id| {
                tree.kind(id) == Kind::Name && words::is_error_name(tree.text_of(id))
                    || tree.kind(id) == Kind::Call
                        && matches!(tree.callee_name(id), "is_err" | "is_none")
            })
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
            "session",
            "join",
            "handshake",
            "establish",
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
            .any(|a| names_context(view, tree.text_of(a)))
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

/// Whether an argument is a context or a token by its name. In Go a value called `context` is some
/// other type, for the package of that name would be shadowed.
fn names_context(view: &View<'_>, argument: &str) -> bool {
    let words: &[&str] = match view.tree.language {
        Language::Go => &["ctx", "token", "cancel"],
        Language::Rust => &["ctx", "context", "token", "cancel"],
    };
    has_word(argument, words)
        || argument.starts_with("context.") && view.import("context") == Some("context")
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
        // A goroutine does not end with the request that starts it.
        let is_detached = tree.kind(tree.parent(tree.parent(body))) == Kind::Spawn;
        if tree.kind(body) == Kind::Function || is_detached {
            break;
        }
    }
    None
}
