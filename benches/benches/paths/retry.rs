//! What it costs to be ready to try again when the first attempt succeeds at once.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready as at_once};
use std::hint::black_box;

use backon::{ExponentialBuilder, Retryable};
use evenkeel::Dependency;
use evenkeel::core::policy::Config;
use evenkeel_benches::{Bar, Contender, Race};
use tower::retry::Policy;
use tower::{Service, service_fn};

use super::ready;

pub(crate) fn race() -> Race {
    Race {
        path: "retry, success at once",
        bars: vec![Bar {
            against: "tower",
            at_most: 1.0,
        }],
        contenders: vec![ours(), tower(), backon()],
    }
}

fn ours() -> Contender {
    let mut config = Config::default();
    config.retry = Some(evenkeel::core::retry::Config::default());
    let dependency = Dependency::new("orders", "payments", config);
    Contender::alone("evenkeel", move |n| {
        for i in 0..n {
            _ = black_box(ready(
                dependency.call(|_| at_once(Ok::<_, ()>(black_box(i)))),
            ));
        }
    })
}

/// Three attempts, whatever the error.
#[derive(Debug, Clone)]
pub(crate) struct Attempts(pub u32);

impl<R: Clone, T, E> Policy<R, T, E> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut R, result: &mut Result<T, E>) -> Option<Self::Future> {
        let again = result.is_err() && self.0 > 0;
        again.then(|| {
            self.0 -= 1;
            at_once(())
        })
    }

    fn clone_request(&mut self, request: &R) -> Option<R> {
        Some(request.clone())
    }
}

fn tower() -> Contender {
    let inner = service_fn(|i: u64| at_once(Ok::<_, Infallible>(i)));
    let mut service = tower::retry::Retry::new(Attempts(2), inner);
    Contender::alone("tower", move |n| {
        for i in 0..n {
            _ = ready(poll_fn(|context| {
                Service::<u64>::poll_ready(&mut service, context)
            }));
            _ = black_box(ready(service.call(black_box(i))));
        }
    })
}

fn backon() -> Contender {
    let schedule = ExponentialBuilder::default();
    Contender::alone("backon", move |n| {
        for i in 0..n {
            let tried = (|| at_once(Ok::<_, ()>(black_box(i)))).retry(schedule);
            _ = black_box(ready(tried.into_future()));
        }
    })
}
