//! What a caller needs to know of a function.

use super::words::{self, has_any, has_word};
use super::{LoopKind, View, brief};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Op, Role};

/// What a function is seen to do, itself and not through others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits(u32);

impl Traits {
    pub(crate) const NONE: Traits = Traits(0);
    pub(crate) const SLEEPS: Traits = Traits(1);
    pub(crate) const RANDOM: Traits = Traits(1 << 1);
    pub(crate) const CLAMPS: Traits = Traits(1 << 2);
    /// Looks at a context, token, channel or flag that asks it to end.
    pub(crate) const STOPS: Traits = Traits(1 << 3);
    /// Tells one error or status from another.
    pub(crate) const CLASSIFIES: Traits = Traits(1 << 4);
    pub(crate) const RETRY_AFTER: Traits = Traits(1 << 5);
    pub(crate) const TIMEOUT: Traits = Traits(1 << 6);
    pub(crate) const REMOTE: Traits = Traits(1 << 7);
    pub(crate) const RETRIES: Traits = Traits(1 << 8);
    pub(crate) const POST: Traits = Traits(1 << 9);
    pub(crate) const IDEMPOTENCY_KEY: Traits = Traits(1 << 10);
    pub(crate) const CLOSES: Traits = Traits(1 << 11);
    pub(crate) const HTTP: Traits = Traits(1 << 12);
    /// Sends status codes on as errors.
    pub(crate) const STATUS: Traits = Traits(1 << 13);
    /// The retry loop of this function has a delay that grows or is fixed; polls do not set it.
    pub(crate) const SPAWNS: Traits = Traits(1 << 14);

    pub(crate) fn has(self, other: Traits) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn add(&mut self, other: Traits) {
        self.0 |= other.0;
    }
}

/// One function, as its callers see it.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    /// Type the method belongs to.
    pub(crate) receiver: String,
    pub(crate) line: u32,
    pub(crate) traits: Traits,
    /// Why this function runs once per request; `None` when it does not.
    pub(crate) handler: Option<&'static str>,
    /// Attempts of its retry loop, where that is known.
    pub(crate) attempts: Option<u32>,
    /// What its retry loop retries.
    pub(crate) retried: Option<String>,
    /// Last segments of what it calls.
    pub(crate) calls: Vec<u64>,
}

/// Hash of a callee's name, to keep call lists small.
pub(crate) fn call_key(name: &str) -> u64 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// Summaries of all named functions of a file, in order.
pub(crate) fn summarise(view: &View<'_>) -> Vec<Summary> {
    let tree = view.tree;
    (0..tree.len())
        .filter(|&id| tree.kind(id) == Kind::Function)
        .map(|function| {
            let name = tree
                .child(function, Role::Name)
                .map_or("", |n| tree.text_of(n))
                .to_owned();
            let mut summary = Summary {
                node: function,
                traits: traits(view, function, &name),
                receiver: receiver_type(view, function),
                line: view.lines.position(tree.get(function).start).0,
                handler: super::context::handler(view, function),
                attempts: None,
                retried: None,
                calls: Vec::new(),
                name,
            };
            for id in tree.subtree(function) {
                if tree.kind(id) == Kind::Call {
                    summary.calls.push(call_key(tree.callee_name(id)));
                }
            }
            summary.calls.sort_unstable();
            summary.calls.dedup();
            summary
        })
        .collect()
}

/// How the functions of a package are called by one file of it.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    /// Rust: called where the future is dropped when something else is done first. Sorted keys.
    pub(crate) raced: Vec<u64>,
    /// Go: started as goroutines. Sorted keys.
    pub(crate) spawned: Vec<u64>,
}

/// Collects [`Callers`].
pub(crate) fn callers(view: &View<'_>) -> Callers {
    let tree = view.tree;
    let mut found = Callers::default();
    for id in 0..tree.len() {
        match tree.kind(id) {
            Kind::Spawn => found.spawned.extend(
                tree.children(id)
                    .filter(|&c| tree.kind(c) == Kind::Call)
                    .map(|c| call_key(tree.callee_name(c))),
            ),
            Kind::Arm if tree.kind(tree.parent(id)) == Kind::Select => {
                for part in tree.children(id) {
                    if tree.get(part).role != Role::Body {
                        found.raced.extend(called_within(view, part));
                    }
                }
            }
            Kind::Call
                if matches!(
                    tree.callee_name(id),
                    "run_until_cancelled"
                        | "run_until_cancelled_owned"
                        | "timeout"
                        | "timeout_at"
                        | "select"
                        | "select_all"
                        | "race"
                        | "abortable"
                        | "take_until"
                        | "or_cancel"
                        | "with_cancellation_token"
                ) =>
            {
                for argument in tree.arguments(id) {
                    found.raced.extend(called_within(view, argument));
                }
            }
            // `future.set(self.join(..))`, `pin!(self.join(..))`: polled in a select later.
            Kind::Call
                if matches!(tree.callee_name(id), "set" | "pin")
                    && tree.text.contains("select!") =>
            {
                for argument in tree.arguments(id) {
                    found.raced.extend(called_within(view, argument));
                }
            }
            _ => {}
        }
    }
    for keys in [&mut found.raced, &mut found.spawned] {
        keys.sort_unstable();
        keys.dedup();
    }
    found
}

fn called_within(view: &View<'_>, node: NodeId) -> impl Iterator<Item = u64> {
    let tree = view.tree;
    tree.subtree(node)
        .filter(|&id| tree.kind(id) == Kind::Call)
        .map(|id| call_key(tree.callee_name(id)))
}

/// Marks functions that hold a retry loop.
pub(crate) fn note_loops(view: &mut View<'_>) {
    for facts in &view.loops {
        if facts.kind != LoopKind::Retry {
            continue;
        }
        let Some(function) = view.tree.enclosing_function(facts.node) else {
            continue;
        };
        let Ok(at) = view.summaries.binary_search_by_key(&function, |s| s.node) else {
            continue;
        };
        let summary = &mut view.summaries[at];
        summary.traits.add(Traits::RETRIES);
        summary.attempts = facts.attempts;
        summary.retried = facts.operation.as_ref().map(|op| brief(&op.path));
    }
}

fn receiver_type(view: &View<'_>, function: NodeId) -> String {
    let tree = view.tree;
    let text = match tree.language {
        Language::Go => tree
            .child(function, Role::Receiver)
            .and_then(|parameter| tree.child(parameter, Role::Type))
            .map_or("", |t| tree.text_of(t)),
        Language::Rust => tree
            .ancestors(function)
            .find(|&a| tree.kind(a) == Kind::Impl)
            .and_then(|a| tree.child(a, Role::Type))
            .map_or("", |t| tree.text_of(t)),
    };
    let text = text.trim_start_matches(['*', '&']);
    text.split(['[', '<']).next().unwrap_or(text).to_owned()
}

fn traits(view: &View<'_>, function: NodeId, name: &str) -> Traits {
    let tree = view.tree;
    let mut found = Traits::NONE;
    if has_any(name, words::RANDOM) {
        found.add(Traits::RANDOM);
    }
    for id in tree.subtree(function) {
        match tree.kind(id) {
            Kind::Call => call_traits(view, id, &mut found),
            Kind::Field => {
                let name = tree.last_segment(id);
                if matches!(name, "StatusCode" | "status_code") {
                    found.add(Traits::STATUS);
                }
                if has_any(name, words::RANDOM) {
                    found.add(Traits::RANDOM);
                }
            }
            Kind::Name => {
                let text = tree.text_of(id);
                if text.len() > 3 && has_any(text, &["rand", "jitter"]) {
                    found.add(Traits::RANDOM);
                }
                if matches!(text, "MethodPost" | "POST" | "MethodPatch") {
                    found.add(Traits::POST);
                }
                if text.eq_ignore_ascii_case("retry_after") {
                    found.add(Traits::RETRY_AFTER);
                }
            }
            Kind::Text => {
                let text = tree.text_of(id);
                if text.len() < 32 {
                    if text == "\"POST\"" || text == "\"PATCH\"" {
                        found.add(Traits::POST);
                    } else if has_any(text, &["retry-after"]) {
                        found.add(Traits::RETRY_AFTER);
                    } else if has_any(text, &["idempotency-key", "idempotencykey"]) {
                        found.add(Traits::IDEMPOTENCY_KEY);
                    }
                }
            }
            Kind::Binary
                if matches!(
                    tree.get(id).op,
                    Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual
                ) && has_any(tree.text_of(id), &["max", "limit", "cap"]) =>
            {
                found.add(Traits::CLAMPS);
            }
            Kind::Spawn => found.add(Traits::SPAWNS),
            _ => {}
        }
    }
    found
}

fn call_traits(view: &View<'_>, id: NodeId, found: &mut Traits) {
    let tree = view.tree;
    let name = tree.callee_name(id);
    match name {
        "Sleep" | "sleep" | "sleep_until" | "After" | "NewTimer" => found.add(Traits::SLEEPS),
        "min" | "Min" | "clamp" => found.add(Traits::CLAMPS),
        "Done" | "cancelled" | "is_cancelled" | "Err" | "is_shutdown" => found.add(Traits::STOPS),
        "Is" | "As" | "FromError" | "Code" | "is_timeout" | "is_connect" | "downcast_ref"
        | "kind" | "status" | "code" => {
            found.add(Traits::CLASSIFIES);
            if name == "status" {
                found.add(Traits::STATUS);
            }
        }
        "Post" | "PostForm" | "post" | "patch" => found.add(Traits::POST),
        "WithTimeout" | "WithDeadline" | "timeout" | "SetDeadline" | "timeout_at" => {
            found.add(Traits::TIMEOUT);
        }
        "close" => found.add(Traits::CLOSES),
        "spawn" => found.add(Traits::SPAWNS),
        _ => {}
    }
    if has_any(name, words::RANDOM) {
        found.add(Traits::RANDOM);
    }
    if has_word(
        name,
        &[
            "retryable",
            "retriable",
            "retry",
            "transient",
            "temporary",
            "permanent",
            "fatal",
        ],
    ) {
        found.add(Traits::CLASSIFIES);
    }
    if has_any(name, &["idempoten"]) {
        found.add(Traits::IDEMPOTENCY_KEY);
    }
    let path = view.called(id);
    if has_any(&path, &["rand.", "rand::"]) {
        found.add(Traits::RANDOM);
    }
    if is_http(view, id, &path) {
        found.add(Traits::HTTP);
        found.add(Traits::REMOTE);
    } else if words::clearly_remote(&path) || has_word(name, &["dial", "connect"]) {
        found.add(Traits::REMOTE);
    }
}

/// Whether a call sends an HTTP request.
pub(crate) fn is_http(view: &View<'_>, call: NodeId, path: &str) -> bool {
    let name = view.tree.callee_name(call);
    match view.tree.language {
        Language::Go => {
            matches!(
                path,
                "net/http.Get" | "net/http.Post" | "net/http.Head" | "net/http.PostForm"
            ) || (name == "Do" || name == "RoundTrip")
                && view.imports_any("net/http")
                && has_word(
                    path,
                    &[
                        "client",
                        "http",
                        "transport",
                        "rt",
                        "next",
                        "base",
                        "doer",
                        "c",
                    ],
                )
        }
        Language::Rust => {
            (name == "send" || name == "execute")
                && view.imports_any("reqwest")
                && !has_any(path, &["tx.", "sender", "channel", "_tx"])
                || path.starts_with("reqwest::get")
                || name == "send"
                    && has_any(
                        path,
                        &[
                            ".get(",
                            ".post(",
                            ".put(",
                            ".patch(",
                            ".delete(",
                            ".request(",
                        ],
                    )
        }
    }
}
