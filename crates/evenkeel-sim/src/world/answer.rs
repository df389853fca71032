//! What an attempt is answered, and what that means to its call.

use evenkeel_core::outcome::{Class, Finished};

/// What an attempt is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// What was asked for.
    Success,
    /// An error.
    Error,
    /// Turned away, or dropped unprocessed.
    Rejected,
    /// Nobody listened.
    NotSent,
    /// The connection broke while it was worked on.
    Reset,
}

impl Answer {
    pub(super) const fn finished(self) -> Finished {
        match self {
            Self::Success => Finished::success(),
            Self::Error => Finished::failed(Class::Transient),
            Self::Rejected => Finished::failed(Class::Rejected),
            Self::NotSent => Finished::failed(Class::NotSent),
            Self::Reset => Finished::failed(Class::Ambiguous),
        }
    }
}
