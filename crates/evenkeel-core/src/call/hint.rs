//! What a call brings with it.

use crate::grant::Grant;
use crate::policy::live::Shared;
use crate::stripe::Stripe;
use crate::time::Instant;

/// What a call brings with it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CallHint {
    /// Every random draw of the call follows from it.
    pub seed: u64,
    /// Which copy of striped state the call writes: see [`Stripe`].
    pub stripe: Stripe,
    /// The caller's own deadline; the tighter of it and the policy's counts.
    pub deadline: Option<Instant>,
    /// Whether the operation may be done twice. Default: no.
    pub idempotent: bool,
    /// Whether what is sent can be sent again. Default: yes.
    pub replayable: bool,
    /// Whether its attempts must not overlap, as those of a body that has one reader. Default: no.
    pub sequential: bool,
    /// What its caller granted, if it did: see [`grant`](crate::grant). Default: none, so that this is the
    /// outermost.
    pub grant: Option<Grant>,
    /// Whether what it is made for is a retry of its caller's, which retries of our own would multiply: only
    /// what was never sent is then tried again. Default: no.
    pub caller_retries: bool,
}

impl CallHint {
    /// A call whose dice follow from `seed`, not idempotent, with the policy's deadline.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            stripe: Stripe(0),
            deadline: None,
            idempotent: false,
            replayable: true,
            sequential: false,
            grant: None,
            caller_retries: false,
        }
    }

    /// The same, and it may be done twice.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self {
            idempotent: true,
            ..self
        }
    }
}

/// The extra attempts that a call may cause: what its caller grants, or, if it is the outermost, what its own
/// policy would make.
pub(super) fn granted(shared: &Shared, hint: &CallHint) -> Option<Grant> {
    let own = shared.max_attempts.saturating_sub(1);
    hint.grant
        .or_else(|| (own > 0).then(|| Grant::outermost(own)))
}

/// What goes with an attempt of what is left. Behind a retry of the caller's, nobody adds to it.
pub(super) fn handed_on(left: Option<Grant>, caller_retries: bool) -> Option<Grant> {
    let most = if caller_retries { 0 } else { u32::MAX };
    left.map(|left| left.at_most(most).next_hop())
}
