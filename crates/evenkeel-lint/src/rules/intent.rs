//! What code says about itself.
//!
//! The same loop is a defect in one place and the purpose of another: a poll looks like a retry, a
//! supervisor never gives up by design, a command at a terminal may wait as it likes. Authors say so
//! in names and comments, and a reviewer believes them.

use super::ek101_retry_without_jitter::HERD_MS;
use crate::facts::loops::LoopFacts;
use crate::facts::words::{STOP, has_any, has_word, split_words};
use crate::facts::{View, compact};
use crate::source::{Language, Setting};
use crate::syntax::{Kind, NodeId, Role};

/// First words of functions that ask for a state: what they answer is not a failure.
const ASKS: &[&str] = &[
    "check", "verify", "validate", "resolve", "lookup", "is", "has", "exists", "wait", "await",
    "poll", "ping", "until",
];

/// An error that says "not yet": the loop waits for something to appear.
const NOT_YET: &[&str] = &[
    "errnorows",
    "norows",
    "notfound",
    "not_found",
    "isnotexist",
    "notexist",
    "notready",
    "not_ready",
    "propagat",
];

/// Words of an author who means a loop to go on for ever.
const FOR_EVER: &[&str] = &[
    "forever",
    "for ever",
    "infinit",
    "indefinit",
    "relentless",
    "endless",
    "never give",
    "give up until",
    "n't give up",
    "not give up",
    "keep trying",
    "keep retrying",
    "keep on",
    "retry until",
    "retries until",
    "try until",
    "until it succeeds",
    "until success",
    "until successful",
    "until the connection",
    "as long as",
    "always retry",
];

/// Whether a loop, or the function around it, says that it waits for something to come up: a poll,
/// whose failures are answers.
pub(super) fn waits_for_a_state(view: &View<'_>, facts: &LoopFacts) -> bool {
    let node = facts.node;
    let first_asks = |name: &str| {
        split_words(name)
            .next()
            .is_some_and(|first| ASKS.iter().any(|w| first.eq_ignore_ascii_case(w)))
    };
    let text = view.tree.text_of(node);
    view.function_summary(node)
        .is_some_and(|s| first_asks(&s.name))
        || facts.operation.as_ref().is_some_and(|op| {
            first_asks(&op.name) || has_word(&op.name, &["lookup", "health", "exists"])
        })
        || has_word(text, &["ready", "readiness", "probe", "healthy"])
        || tells_not_yet(view, node)
        || has_any(text, &["waiting for", "wait for "])
        || view.tree.enclosing_function(node).is_some_and(|f| {
            view.tree
                .commented_above(f, &["waits for", "wait for", "waiting for", "polls "])
        })
        || facts.delay.as_ref().is_some_and(|(_, d)| {
            has_word(&d.text, &["poll", "polling", "query", "check", "refresh"])
        })
        || view.tree.commented(
            node,
            &[
                "probe",
                " ready",
                "wait (",
                "wait for",
                "waits for",
                "waiting for",
                "reachable",
            ],
        )
}

/// Whether a condition of the loop asks for an error that means "not there yet".
fn tells_not_yet(view: &View<'_>, node: NodeId) -> bool {
    let tree = view.tree;
    tree.subtree(node).any(|id| {
        let asked = match tree.kind(id) {
            Kind::If => tree.child(id, Role::Condition),
            Kind::Arm => tree.child(id, Role::Pattern),
            _ => None,
        };
        asked.is_some_and(|asked| has_any(&compact(tree.text_of(asked)), NOT_YET))
    })
}

/// Whether the function around a loop speaks of the loopback interface, or the file of the kernel's
/// own interfaces.
pub(super) fn stays_on_this_machine(view: &View<'_>, node: NodeId) -> bool {
    has_any(
        view.tree.text_of(view.scope(node)),
        &[
            "localhost",
            "127.0.0.1",
            "unix socket",
            "named pipe",
            "\"unix\"",
            "netlink",
            "nftables",
            "iptables",
            "unixstream",
        ],
    ) || has_word(view.path.rsplit('/').next().unwrap_or(""), &["ipc"])
        || [
            "github.com/google/nftables",
            "github.com/vishvananda/netlink",
        ]
        .iter()
        .any(|import| view.imports_any(import))
}

/// Whether a loop waits in a `select` that something else than a stop signal ends early: a loop that
/// works off events, whose wait is only the longest pause between two.
pub(super) fn woken_by_events(view: &View<'_>, wait: NodeId) -> bool {
    let tree = view.tree;
    let Some(select) = tree
        .ancestors(wait)
        .take_while(|&a| tree.kind(a) != Kind::Loop)
        .find(|&a| tree.kind(a) == Kind::Select)
    else {
        return false;
    };
    tree.children(select)
        .filter(|&arm| tree.kind(arm) == Kind::Arm && !tree.within(wait, arm))
        .any(|arm| {
            let pattern: String = tree
                .roles(arm, Role::Pattern)
                .map(|p| compact(tree.text_of(p)))
                .collect();
            !pattern.is_empty()
                && !has_any(&pattern, STOP)
                && !has_any(
                    &pattern,
                    &["after", "sleep", "timer", "tick", "timeout", "ctx"],
                )
        })
}

/// Whether the author says that a loop goes on for ever on purpose: in the name of its function, in
/// a comment before or within it, or in a text it holds.
pub(super) fn goes_on_by_design(view: &View<'_>, node: NodeId) -> bool {
    let tree = view.tree;
    let function = tree.enclosing_function(node);
    let from = function.unwrap_or(node);
    has_any(tree.text_of(node), FOR_EVER)
        || tree.commented(node, FOR_EVER)
        || function.is_some_and(|f| tree.commented_above(f, FOR_EVER))
        || view.function_summary(from).is_some_and(|s| {
            has_word(
                &s.name,
                &["forever", "supervise", "supervisor", "infinitely"],
            )
        })
        || has_any(between(view, from, node), FOR_EVER)
}

/// Whether what is tried again lies within the process: a full channel, a parser, the next free
/// number. It comes about as long as the process runs.
pub(super) fn stays_in_process(facts: &LoopFacts) -> bool {
    let is_computed = facts.operation.as_ref().is_some_and(|op| {
        matches!(
            op.name.as_str(),
            "try_send" | "try_push" | "try_reserve" | "TrySend" | "Offer"
        ) || split_words(&op.name).next().is_some_and(|first| {
            ["parse", "new", "generate", "alloc", "allocate", "format"]
                .iter()
                .any(|w| first.eq_ignore_ascii_case(w))
        })
    });
    is_computed
        || facts
            .delay
            .as_ref()
            .is_some_and(|(_, d)| d.constant_ms.is_some_and(|ms| ms < HERD_MS))
}

/// The text from the start of `from` to the start of `to`.
fn between<'v>(view: &View<'v>, from: NodeId, to: NodeId) -> &'v str {
    let (start, end) = (view.tree.get(from).start, view.tree.get(to).start);
    view.tree
        .text
        .get(start as usize..end.max(start) as usize)
        .unwrap_or("")
}

/// Whether a node belongs to a command that a person runs and waits for.
pub(super) fn is_command(view: &View<'_>, node: NodeId) -> bool {
    view.setting == Setting::Command
        || view.tree.language == Language::Rust
            && has_any(
                view.tree.text_of(view.scope(node)),
                &["println!(", "print!(", "indicatif", "progressbar"],
            )
}
