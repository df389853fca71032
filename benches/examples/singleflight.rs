//! What a shared call costs a caller who has nobody to share with, beside tower-resilience's coalesce.
//!
//! ```sh
//! cargo run --release -p evenkeel-benches --example singleflight
//! ```

#![expect(
    clippy::print_stdout,
    reason = "it is a program, and this is its answer"
)]

use std::future::{Ready, ready};
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use evenkeel::Context;
use evenkeel::singleflight::Singleflight;
use tower_resilience_coalesce::{CoalesceConfig, CoalesceService};
use tower_service::Service;

/// Rounds that alternate between the two, so that what else the machine does hits both; the median
/// counts.
const ROUNDS: usize = 21;
const CALLS: u32 = 200_000;

#[derive(Clone)]
struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = ();
    type Future = Ready<Result<u64, ()>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (group, cx) = (Singleflight::<u64, u64, ()>::new("bench"), Context::new());
    let config = CoalesceConfig::builder(|request: &u64| *request).build();
    let mut peer = CoalesceService::new(Echo, std::sync::Arc::new(config));
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for key in 0..u64::from(CALLS) {
            let answer = group.run(&cx, key, || ready(Ok(key))).await;
            assert_eq!(std::hint::black_box(answer), Ok(key));
        }
        own.push(began.elapsed() / CALLS);
        let began = Instant::now();
        for key in 0..u64::from(CALLS) {
            let answer = peer.call(key).await;
            assert_eq!(std::hint::black_box(answer).ok(), Some(key));
        }
        theirs.push(began.elapsed() / CALLS);
    }
    own.sort();
    theirs.sort();
    let (own, theirs) = (own[ROUNDS / 2], theirs[ROUNDS / 2]);
    let ratio = own.as_secs_f64() / theirs.as_secs_f64();
    println!("evenkeel {own:?}, tower-resilience {theirs:?}, ratio {ratio:.2}");
}
