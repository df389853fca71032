//! Which call is the one that is tried, and where its result goes.

use super::state::{Fate, State, States, merge, told};
use super::{End, Walk};
use crate::facts::View;
use crate::facts::delay;
use crate::facts::words::{has_word, is_error_name};
use crate::source::Language;
use crate::syntax::{Kind, NodeId, Role};

impl Walk<'_, '_> {
    /// `x, err := op()`, `let r = op().await`, `let Ok(x) = op().await else { … }`.
    pub(super) fn bind(&mut self, id: NodeId, states: States) -> States {
        let tree = self.view.tree;
        let values: Vec<NodeId> = crate::facts::values_of(tree, id).collect();
        let mut states = states;
        for &value in &values {
            states = self.run(value, states);
        }
        let Some(&value) = values.last() else {
            return states;
        };
        let inner = tree.strip(value);
        let goes_through_try = tree.kind(value) == Kind::Try;
        if tree.kind(inner) == Kind::Call && !goes_through_try {
            let targets: Vec<NodeId> = crate::facts::targets(tree, id).collect();
            let holder = match tree.language {
                Language::Go => targets.last().copied().filter(|&t| {
                    is_error_name(tree.text_of(t)) || is_success_name(tree.text_of(t))
                }),
                Language::Rust => targets
                    .first()
                    .copied()
                    .filter(|&t| self.is_scrutinised(tree.text_of(t))),
            };
            if let Some(holder) = holder
                && is_operation(self.view, inner)
            {
                for state in &mut states {
                    state.operation = inner;
                    state.error = holder;
                    state.fate = Fate::Either;
                    state.classified = false;
                }
            }
        }
        if let Some(otherwise) = tree.child(id, Role::Else) {
            let failed = self.run(otherwise, told(&states, Fate::Failed));
            states = told(&states, Fate::Succeeded);
            merge(&mut states, failed);
        }
        states
    }

    /// Whether a name is matched on or asked for its result inside the loop.
    pub(super) fn is_scrutinised(&self, name: &str) -> bool {
        let tree = self.view.tree;
        let is_name = |id: NodeId| tree.text_of(tree.strip(id)) == name;
        tree.subtree(self.loop_node).any(|id| match tree.kind(id) {
            Kind::Switch | Kind::LetCondition => tree.child(id, Role::Value).is_some_and(is_name),
            Kind::Try => tree.children(id).next().is_some_and(is_name),
            Kind::Call => {
                matches!(
                    tree.callee_name(id),
                    "is_ok" | "is_err" | "is_some" | "is_none"
                ) && tree.receiver(id).is_some_and(is_name)
            }
            _ => false,
        })
    }

    /// The value of a condition or a match, tried for its result.
    pub(super) fn try_operation(&mut self, value: NodeId, mut states: States) -> States {
        let tree = self.view.tree;
        let inner = tree.strip(value);
        if tree.kind(value) == Kind::Try
            || tree.kind(inner) != Kind::Call
            || !is_operation(self.view, inner)
        {
            return states;
        }
        for state in &mut states {
            state.operation = inner;
            state.error = 0;
            state.fate = Fate::Either;
            state.classified = false;
        }
        states
    }

    /// `op()?`: failure leaves.
    pub(super) fn propagate(&mut self, id: NodeId, states: States) -> States {
        let tree = self.view.tree;
        let mut states = self.each(id, states);
        let inner = tree.strip(id);
        if tree.kind(inner) == Kind::Call && is_operation(self.view, inner) {
            for state in &mut states {
                state.operation = inner;
                state.error = 0;
            }
            let failed: States = states
                .iter()
                .map(|s| State {
                    fate: Fate::Failed,
                    ..*s
                })
                .collect();
            self.end(End::Leaves, &failed);
            for state in &mut states {
                state.fate = Fate::Succeeded;
            }
        }
        states
    }
}

pub(super) fn is_success_name(name: &str) -> bool {
    matches!(
        name,
        "ok" | "success" | "succeeded" | "connected" | "sent" | "acquired"
    )
}

/// Whether a call may be what a loop retries: not a conversion, a constructor of errors, a log line.
pub(super) fn is_operation(view: &View<'_>, call: NodeId) -> bool {
    let tree = view.tree;
    let name = tree.callee_name(call);
    // An atomic or a map answers at once; what is awaited or given a context does not.
    if matches!(name, "load" | "Load" | "get")
        && tree.kind(tree.parent(call)) != Kind::Await
        && !tree
            .arguments(call)
            .any(|a| has_word(tree.text_of(a), &["ctx", "context"]))
    {
        return false;
    }
    let asks = crate::facts::words::split_words(name)
        .next()
        .is_some_and(|w| {
            ["can", "is", "has", "should", "may", "needs"]
                .iter()
                .any(|q| w.eq_ignore_ascii_case(q))
        });
    if name.is_empty() || asks || delay::site(view, call).is_some() {
        return false;
    }
    if matches!(
        name,
        "Errorf"
            | "New"
            | "Wrap"
            | "Wrapf"
            | "Sprintf"
            | "Atoi"
            | "ParseInt"
            | "Unmarshal"
            | "Marshal"
            | "ReadAll"
            | "Done"
            | "Err"
            | "len"
            | "append"
            | "make"
            | "Itoa"
            | "Now"
            | "now"
            | "clone"
            | "unwrap"
            | "status"
            | "json"
            | "text"
            | "bytes"
            | "recv"
            | "next"
            | "Recv"
            | "Next"
            | "Read"
            | "read"
            | "pop"
            | "Pop"
            | "pop_front"
            | "read_line"
            | "changed"
            | "borrow"
            | "iter"
            | "take"
            | "Close"
            | "Accept"
            | "accept"
            | "poll_next"
            | "try_next"
            | "ReadMessage"
            | "Receive"
            | "receive"
            | "unwrap_or_default"
            | "next_message"
            | "Scan"
            | "ReadString"
            | "ReadByte"
            | "TryLock"
            | "try_lock"
            | "try_recv"
            | "compare_exchange"
            | "compare_exchange_weak"
            | "CompareAndSwap"
            | "is_empty"
            | "to_string"
            | "format"
            | "Cause"
            | "Unwrap"
            | "parse"
    ) {
        return false;
    }
    !matches!(
        view.called(call).split('.').next(),
        Some("fmt" | "errors" | "strconv" | "strings" | "encoding/json" | "log" | "path/filepath")
    )
}
