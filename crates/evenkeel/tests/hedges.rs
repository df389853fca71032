//! Calls that are made a second time beside the first, under paused time.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what it cannot go on without"
)]

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use evenkeel::core::call::Kind;
use evenkeel::core::outcome::{Class, Finished, Outcome};
use evenkeel::core::{bulkhead, hedge, policy::Config, ratio::Ratio};
use evenkeel::{Attempt, CallOptions, Clock, Dependency};
use tokio::time::{Instant, sleep};

const USUAL: Duration = Duration::from_millis(40);

/// A dependency whose calls are known to take 40 ms, with ten slots.
async fn hedging() -> Dependency {
    let mut config = Config::new(Duration::from_secs(10));
    let mut hedge = hedge::Config::default();
    (hedge.min_samples, hedge.ratio) = (1, Ratio::ONE);
    config.hedge = Some(hedge);
    config.bulkhead = Some(bulkhead::Config::new(NonZeroU32::new(10).unwrap()));
    let dependency = Dependency::with_clock("shop", "search", config, Clock::runtime());
    for _ in 0..5 {
        let usual = dependency.call_once(|_| async {
            sleep(USUAL).await;
            Ok::<_, ()>(())
        });
        usual.await.unwrap();
    }
    dependency
}

/// Notes the name of an attempt when it is dropped.
struct Noted(Rc<RefCell<Vec<Kind>>>, Kind);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

fn in_use(dependency: &Dependency) -> u32 {
    dependency.snapshot().bulkhead.unwrap().in_use
}

#[tokio::test(start_paused = true)]
async fn the_hedge_of_a_hung_attempt_answers_and_the_hung_one_is_dropped() {
    let dependency = hedging().await;
    let dropped = Rc::new(RefCell::new(Vec::new()));
    let began = Instant::now();
    let answer = dependency.call(|attempt: Attempt| {
        let noted = Noted(Rc::clone(&dropped), attempt.kind());
        async move {
            if attempt.kind() == Kind::First {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_millis(5)).await;
            drop(noted);
            Ok::<_, ()>(attempt.number())
        }
    });
    assert_eq!(answer.await.unwrap(), 2);
    let took = began.elapsed();
    assert!(took >= USUAL && took < USUAL * 2, "{took:?}");
    assert_eq!(*dropped.borrow(), [Kind::Hedge, Kind::First]);
    assert_eq!(in_use(&dependency), 0);
    let tally = dependency.snapshot().tally;
    assert_eq!((tally.hedges, tally.ended(Outcome::Ignored)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_takes_both_attempts_along() {
    let dependency = hedging().await;
    let dropped = Rc::new(RefCell::new(Vec::new()));
    let hung = dependency.call(|attempt: Attempt| {
        let noted = Noted(Rc::clone(&dropped), attempt.kind());
        async move {
            std::future::pending::<()>().await;
            drop(noted);
            Ok::<_, ()>(())
        }
    });
    let left = tokio::time::timeout(Duration::from_millis(200), hung).await;
    assert!(left.is_err());
    assert_eq!(*dropped.borrow(), [Kind::First, Kind::Hedge]);
    let snapshot = dependency.snapshot();
    assert_eq!((in_use(&dependency), snapshot.tally.in_flight()), (0, 0));
    assert_eq!(snapshot.operations[0].progress.abandoned, 1);
}

#[tokio::test(start_paused = true)]
async fn peer_fault_29_the_winners_body_is_read_after_the_loser_is_gone() {
    let dependency = hedging().await;
    let opened = dependency
        .call_open(
            CallOptions::idempotent(),
            |_| Finished::success(),
            |attempt: Attempt| async move {
                if attempt.kind() == Kind::First {
                    std::future::pending::<()>().await;
                }
                Ok::<_, ()>("head")
            },
        )
        .await;
    assert_eq!(opened.result.unwrap(), "head");
    let body = opened.open.unwrap();
    assert_eq!((body.kind(), in_use(&dependency)), (Kind::Hedge, 1));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(in_use(&dependency), 1, "longer than any bound of the call");
    body.finish(Outcome::Success);
    assert_eq!(in_use(&dependency), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_panics_takes_the_first_attempt_along_and_counts_as_failed() {
    let dependency = hedging().await;
    let panicking = dependency.clone();
    let local = tokio::task::LocalSet::new();
    let task = local.spawn_local(async move {
        let call = panicking.call(|attempt: Attempt| async move {
            assert_eq!(attempt.kind(), Kind::First, "as the test says");
            std::future::pending::<Result<(), ()>>().await
        });
        call.await
    });
    local.await;
    assert!(task.await.unwrap_err().is_panic());
    let tally = dependency.snapshot().tally;
    assert_eq!(tally.ended(Outcome::Failure), 1);
    assert_eq!((tally.in_flight(), in_use(&dependency)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_done_only_once_has_no_hedge() {
    let dependency = hedging().await;
    let slow = dependency.call_once(|_| async {
        sleep(USUAL * 5).await;
        Ok::<_, ()>(())
    });
    slow.await.unwrap();
    let mut streamed = CallOptions::idempotent();
    streamed.sequential = true;
    let slow = dependency.call_with(
        streamed,
        |result: &Result<(), ()>| match result {
            Ok(()) => Finished::success(),
            Err(()) => Finished::failed(Class::Transient),
        },
        |_| async {
            sleep(USUAL * 5).await;
            Ok(())
        },
    );
    slow.await.unwrap();
    assert_eq!(dependency.snapshot().tally.hedges, 0);
}

#[tokio::test(start_paused = true)]
async fn peer_fault_09_a_call_that_nobody_polls_keeps_nothing_from_others() {
    let dependency = hedging().await;
    let idle: Vec<_> = (0..100)
        .map(|_| dependency.call(|_| async { Ok::<_, ()>(()) }))
        .collect();
    for _ in 0..100 {
        dependency
            .call(|_| async { Ok::<_, ()>(()) })
            .await
            .unwrap();
    }
    drop(idle);
}
