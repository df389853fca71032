//! What is worth a line in a log, and what is worth a span: a circuit that changes its state, and an
//! attempt.

use evenkeel_core::breaker::Transition;
use tracing::Span;

use crate::attempt::Attempt;
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

/// The span of one attempt, in which its code runs. Off unless somebody listens to
/// `evenkeel::attempt` at `debug`.
#[inline]
pub(crate) fn attempt(inner: &Inner, attempt: Attempt) -> Span {
    tracing::debug_span!(
        target: "evenkeel::attempt",
        "attempt",
        service = %inner.service,
        dependency = %inner.name,
        operation = %inner.operation,
        number = attempt.number(),
        kind = attempt.kind().as_str(),
        endpoint = attempt.endpoint().index(),
    )
}
