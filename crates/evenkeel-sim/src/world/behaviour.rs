//! What a process knows of a service that it calls.

use evenkeel_core::breaker::State;
use evenkeel_core::entropy::Entropy;
use evenkeel_core::policy::Policy;
use evenkeel_core::time::Instant;

use crate::comparison::client::Client;
use crate::fleet::Caller;

/// What one process knows of one service.
#[derive(Debug)]
pub(super) enum Behaviour {
    Comparison(Box<Client>),
    Policy(Policy),
}

impl Behaviour {
    pub(super) fn new(caller: &Caller, name: &str, dice: Entropy) -> Self {
        match caller {
            Caller::Comparison(config) => {
                Self::Comparison(Box::new(Client::new(config.clone(), dice)))
            }
            Caller::Policy(config) => Self::Policy(Policy::new((**config).clone(), name, 1)),
        }
    }

    /// Whether its breaker holds calls back.
    pub(super) fn is_open(&self, now: u64) -> bool {
        match self {
            Self::Comparison(client) => client.is_open(now),
            Self::Policy(policy) => {
                let breaker = policy.snapshot(Instant::from_nanos(now)).breaker;
                breaker.is_some_and(|breaker| breaker.state != State::Closed)
            }
        }
    }

    /// Its adaptive limit, if it has one.
    pub(super) fn limit(&self, now: u64) -> Option<u32> {
        match self {
            Self::Comparison(_) => None,
            Self::Policy(policy) => {
                let limiter = policy.snapshot(Instant::from_nanos(now)).limiter;
                limiter.map(|limiter| limiter.limit)
            }
        }
    }
}
