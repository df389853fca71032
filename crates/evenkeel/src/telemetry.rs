//! What is worth a line in a log: a circuit that changes its state.

use evenkeel_core::breaker::Transition;

use crate::dependency::Inner;

/// One structured event per change of state, written by the call that made it.
pub(crate) fn transition(inner: &Inner, transition: Option<Transition>) {
    if let Some(Transition { from, to, cause }) = transition {
        tracing::info!(
            target: "evenkeel::breaker",
            service = %inner.service,
            dependency = %inner.name,
            from = from.as_str(),
            to = to.as_str(),
            cause = cause.as_str(),
            "circuit {}",
            to.as_str(),
        );
    }
}
