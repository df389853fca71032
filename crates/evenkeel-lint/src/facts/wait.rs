//! Where a loop waits, and whether something else may end the wait.

use super::words::{has_any, has_word};
use super::{View, compact};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op, Role, Tree};

/// How a loop waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Blocks or awaits for the whole time: `time.Sleep`, `sleep(d).await`.
    Plain,
    /// One arm of a select: something else may end it.
    Select,
    /// A ticker's next tick.
    Tick,
    /// A helper or a library that decides itself: `backoff.Wait()`, `sleepContext(ctx, d)`.
    Helper,
}

/// A place where a loop waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DelaySite {
    pub(crate) wait: Wait,
    pub(crate) call: NodeId,
    /// The duration, where one is written.
    pub(crate) duration: Option<NodeId>,
}

/// Whether this call waits, and how.
pub(crate) fn site(view: &View<'_>, call: NodeId) -> Option<DelaySite> {
    let tree = view.tree;
    let name = tree.callee_name(call);
    if name.is_empty() {
        return None;
    }
    let first = tree.arguments(call).next();
    let found = |wait, duration| {
        Some(DelaySite {
            wait,
            call,
            duration,
        })
    };
    match tree.language {
        Language::Go => match name {
            "Sleep" if view.called(call) == "time.Sleep" => found(Wait::Plain, first),
            "Sleep" => {
                let path = view.called(call);
                if has_any(&path, &["clock", "time", "sleeper"])
                    && tree.arguments(call).count() == 1
                {
                    return found(Wait::Plain, first);
                }
                found(Wait::Helper, duration_argument(tree, call))
            }
            "After" if is_received(tree, call) => {
                let path = view.called(call);
                if path != "time.After" && !has_any(&path, &["clock", "time"]) {
                    return None;
                }
                let select = in_select_arm(tree, call);
                found(if select { Wait::Select } else { Wait::Plain }, first)
            }
            "Wait" | "Next" | "NextBackOff" | "Pause" if receiver_is_backoff(view, call) => {
                found(Wait::Helper, None)
            }
            _ if name_waits(name) => found(Wait::Helper, duration_argument(tree, call)),
            _ => None,
        },
        Language::Rust => match name {
            "sleep" | "sleep_until" => {
                let path = view.called(call);
                let blocking = path.contains("thread::");
                if path.starts_with("tokio")
                    || path.starts_with("time::")
                    || blocking
                    || path.contains("async_std")
                    || path.contains("smol")
                    || path == "sleep"
                    || path.contains("::sleep")
                {
                    let select = in_select_arm(tree, call);
                    return found(if select { Wait::Select } else { Wait::Plain }, first);
                }
                found(Wait::Helper, first)
            }
            "tick" => found(Wait::Tick, None),
            "new" | "after"
                if has_any(&view.called(call), &["delay::new", "timer::after"])
                    && is_awaited(tree, call) =>
            {
                let select = in_select_arm(tree, call);
                found(if select { Wait::Select } else { Wait::Plain }, first)
            }
            "wait" | "next" if receiver_is_backoff(view, call) && is_awaited(tree, call) => {
                found(Wait::Helper, None)
            }
            _ if name_waits(name) && is_awaited(tree, call) => {
                found(Wait::Helper, duration_argument(tree, call))
            }
            _ => None,
        },
    }
}

/// A Go timer's channel in a receive: `<-timer.C`, `<-ticker.C`.
pub(crate) fn timer_receive(view: &View<'_>, receive: NodeId) -> Option<DelaySite> {
    let tree = view.tree;
    let channel = tree.children(receive).next()?;
    let text = compact(tree.text_of(channel));
    let base = text
        .strip_suffix(".C")
        .or_else(|| text.strip_suffix(".C()"))
        .or_else(|| text.strip_suffix(".Chan()"))?;
    let select = in_select_arm(tree, receive);
    let scope = view.scope(receive);
    let mut duration = None;
    let mut ticker = has_word(base, &["ticker", "tick", "interval"]);
    for value in view.definitions(scope, base) {
        if tree.kind(value) == Kind::Call {
            match tree.callee_name(value) {
                "NewTimer" | "Timer" => duration = tree.arguments(value).next(),
                "NewTicker" | "Tick" => ticker = true,
                _ => {}
            }
        }
    }
    for id in tree.subtree(scope) {
        if tree.kind(id) == Kind::Call && tree.callee_name(id) == "Reset" {
            let receiver = tree.receiver(id).map(|r| compact(tree.text_of(r)));
            if receiver.as_deref() == Some(base) {
                duration = tree.arguments(id).next().or(duration);
            }
        }
    }
    let wait = if ticker {
        Wait::Tick
    } else if select {
        Wait::Select
    } else {
        Wait::Plain
    };
    Some(DelaySite {
        wait,
        call: receive,
        duration,
    })
}

fn name_waits(name: &str) -> bool {
    has_word(name, &["sleep", "sleeping"])
        || has_word(name, &["backoff"])
            && !has_word(
                name,
                &[
                    "new",
                    "reset",
                    "get",
                    "calculate",
                    "compute",
                    "with",
                    "next",
                    "default",
                    "duration",
                    "is",
                    "config",
                    "set",
                    "max",
                    "min",
                    "exponential",
                    "policy",
                    "delay",
                    "time",
                    "permanent",
                ],
            )
        || has_word(name, &["wait", "pause"])
            && has_word(name, &["retry", "backoff", "interval", "delay"])
}

fn receiver_is_backoff(view: &View<'_>, call: NodeId) -> bool {
    view.tree.receiver(call).is_some_and(|r| {
        let text = view.tree.text_of(r);
        has_word(
            text,
            &[
                "backoff", "boff", "backoffs", "retry", "retrier", "retryer", "bo", "throttle",
            ],
        ) || has_any(text, &["backoff"])
    })
}

fn duration_argument(tree: &Tree<'_>, call: NodeId) -> Option<NodeId> {
    tree.arguments(call).find(|&a| {
        has_any(
            tree.text_of(a),
            &[
                "delay", "backoff", "interval", "wait", "duration", "second", "millis", "sleep",
                "time.", "timeout",
            ],
        )
    })
}

fn is_received(tree: &Tree<'_>, call: NodeId) -> bool {
    let parent = tree.parent(call);
    tree.kind(parent) == Kind::Unary && tree.get(parent).op == Op::Receive
}

fn is_awaited(tree: &Tree<'_>, call: NodeId) -> bool {
    tree.kind(tree.parent(call)) == Kind::Await || in_select_arm(tree, call)
}

/// Whether `id` stands in the pattern of a select arm that has other arms beside it.
pub(crate) fn in_select_arm(tree: &Tree<'_>, id: NodeId) -> bool {
    let mut at = id;
    for parent in tree.ancestors(id) {
        match tree.kind(parent) {
            Kind::Arm => {
                return tree.get(at).role == Role::Pattern
                    && tree.kind(tree.parent(parent)) == Kind::Select
                    && tree
                        .children(tree.parent(parent))
                        .filter(|&c| tree.kind(c) == Kind::Arm)
                        .count()
                        > 1;
            }
            Kind::Block | Kind::Function | Kind::Closure | Kind::Loop => return false,
            _ => at = parent,
        }
    }
    false
}
