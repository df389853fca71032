//! What is known on a path, and how it is split and joined.

use crate::syntax::NodeId;

/// What is known of the last operation's result on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    NotTried,
    Either,
    Succeeded,
    Failed,
}

/// One path's knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The operation whose result is held; 0 when there is none.
    pub(crate) operation: NodeId,
    /// Node of the name its error is bound to; 0 when there is none.
    pub(super) error: NodeId,
    pub(crate) fate: Fate,
    /// The last wait on this path; 0 when there is none.
    pub(crate) delay: NodeId,
    /// The error or status was told from others.
    pub(crate) classified: bool,
    /// A stop signal was looked at.
    pub(crate) stop: bool,
    /// The failure is a status, not an error of the call.
    pub(crate) by_status: bool,
}

pub(super) const START: State = State {
    operation: 0,
    error: 0,
    fate: Fate::NotTried,
    delay: 0,
    classified: false,
    stop: false,
    by_status: false,
};

pub(super) type States = Vec<State>;

pub(super) fn told(states: &[State], fate: Fate) -> States {
    states
        .iter()
        .filter(|s| matches!(s.fate, Fate::Either | Fate::NotTried) || s.fate == fate)
        .map(|s| {
            if s.fate == Fate::NotTried {
                *s
            } else {
                State { fate, ..*s }
            }
        })
        .collect()
}

/// A status speaks after the call itself went well: it decides anew.
pub(super) fn as_status(states: &[State], fate: Fate) -> States {
    states
        .iter()
        .filter(|s| s.fate != Fate::Failed || fate == Fate::Failed)
        .map(|s| {
            if s.fate == Fate::NotTried {
                *s
            } else {
                State {
                    fate,
                    by_status: fate == Fate::Failed,
                    ..*s
                }
            }
        })
        .collect()
}

pub(super) fn classified(states: States) -> States {
    states
        .into_iter()
        .map(|s| State {
            classified: true,
            ..s
        })
        .collect()
}

pub(super) fn merge(into: &mut States, from: States) {
    for state in from {
        if !into.contains(&state) {
            into.push(state);
        }
    }
}
