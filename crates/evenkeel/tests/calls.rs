//! What callers of a dependency meet: answers, errors that say what happened, and nothing left behind.

use std::future::pending;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use evenkeel::core::breaker::{self, State};
use evenkeel::core::call::StopReason;
use evenkeel::core::outcome::{Class, Finished, Outcome, Sent};
use evenkeel::core::policy::Config;
use evenkeel::core::rejection::Reason;
use evenkeel::core::{bulkhead, retry};
use evenkeel::{Attempt, Blame, CallError, CallOptions, Clock, Dependency};

const MS: Duration = Duration::from_millis(1);

/// A second's deadline, 100 ms an attempt, three attempts, a circuit that opens after three failures, one
/// slot and no queue.
fn bounds() -> Config {
    let mut config = Config::new(1000 * MS);
    config.attempt_timeout = Some(100 * MS);
    config.retry = Some(retry::Config::default());
    config.breaker = Some(breaker::Config::default());
    config.bulkhead = Some(one_slot());
    config
}

fn one_slot() -> bulkhead::Config {
    let mut one = bulkhead::Config::new(NonZeroU32::MIN);
    one.queue = 0;
    one
}

fn dependency(config: Config) -> Dependency {
    Dependency::with_clock("orders", "postgres", config, Clock::runtime())
}

fn in_use(dependency: &Dependency) -> u32 {
    dependency
        .snapshot()
        .bulkhead
        .map_or(0, |bulkhead| bulkhead.in_use)
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_made_again() {
    let dependency = dependency(bounds());
    let answer = dependency.call(|attempt| async move {
        if attempt.number() < 3 {
            Err("reset")
        } else {
            Ok(attempt.number())
        }
    });
    assert_eq!(answer.await.unwrap(), 3);
    let tally = dependency.snapshot().tally;
    assert_eq!((tally.first_attempts, tally.retries), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_can_be_made_once_is_made_once() {
    let dependency = dependency(bounds());
    let made = AtomicU32::new(0);
    let error = dependency
        .call_once(|_| async {
            made.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>("reset")
        })
        .await
        .unwrap_err();
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert_eq!(
        error.report().stop_reason(),
        Some(StopReason::NotIdempotent)
    );
    assert_eq!(error.into_operation(), Some("reset"));
}

#[tokio::test(start_paused = true)]
async fn an_error_says_what_was_sent_whose_fault_it_is_when_to_return_and_what_was_tried() {
    let mut config = bounds();
    config.bulkhead = None;
    let dependency = dependency(config);
    let wish = Finished::failed(Class::Rejected).retry_after(Duration::from_secs(5));
    let error = dependency
        .call_with(
            CallOptions::idempotent(),
            |_| wish,
            |_| async { Err::<(), _>("too many") },
        )
        .await
        .unwrap_err();
    assert_eq!(error.sent(), Sent::Yes);
    assert_eq!(error.blame(), Blame::Dependency);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    let [attempt] = error.report().attempts() else {
        panic!("one attempt was made")
    };
    assert_eq!(
        (attempt.class, attempt.outcome),
        (Class::Rejected, Outcome::Overload)
    );
    let said = error.to_string();
    assert_eq!(
        said,
        "call to postgres failed, 1 attempt made: the deadline is too close for another attempt"
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_out_leaves_open_whether_the_work_was_done() {
    let dependency = dependency(bounds());
    let error = dependency
        .call_once(|_| async {
            pending::<()>().await;
            Ok::<_, &str>(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::AttemptTimedOut { .. }));
    assert_eq!(
        (error.sent(), error.blame()),
        (Sent::Maybe, Blame::Dependency)
    );
    assert_eq!(error.report().ran(), 100 * MS);
    assert_eq!(in_use(&dependency), 0);
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_fault_is_neither_retried_nor_held_against_the_dependency() {
    let dependency = dependency(bounds());
    for _ in 0..20 {
        let error = dependency
            .call_with(
                CallOptions::idempotent(),
                |_| Finished::callers_fault(),
                |_| async { Err::<(), _>("no such invoice") },
            )
            .await
            .unwrap_err();
        assert_eq!(error.blame(), Blame::Caller);
        assert_eq!(error.report().attempts().len(), 1);
    }
    assert_eq!(dependency.snapshot().breaker.unwrap().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_was_not_sent_and_says_who_refused() {
    let dependency = dependency(bounds());
    let held = dependency.call(|_| pending::<Result<(), &str>>());
    let second = async {
        let error = dependency
            .call(|_| async { Ok::<_, &str>(()) })
            .await
            .unwrap_err();
        assert_eq!((error.sent(), error.blame()), (Sent::No, Blame::Bounds));
        let CallError::Rejected { rejection, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(rejection.reason, Reason::BulkheadFull);
        assert_eq!(error.to_string(), "call to postgres refused: bulkhead full");
    };
    tokio::select! {
        biased;
        _ = held => unreachable!("it hangs"),
        () = second => {}
    }
    assert_eq!(
        in_use(&dependency),
        0,
        "dropping the first call gave its slot back"
    );
}

#[tokio::test(start_paused = true)]
async fn peer_fault_05_time_outs_around_a_call_open_its_circuit() {
    let mut config = bounds();
    config.retry = None;
    let dependency = dependency(config);
    for _ in 0..8 {
        let hung = dependency.call(|_| pending::<Result<(), &str>>());
        // An outer time-out just past the attempt's own: the caller hangs up on a dependency that hangs.
        let _ = tokio::time::timeout(150 * MS, hung).await;
    }
    assert_eq!(dependency.snapshot().breaker.unwrap().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn peer_fault_05_callers_who_hang_up_early_do_not_open_it_and_leave_nothing() {
    let mut config = bounds();
    config.attempt_timeout = Some(500 * MS);
    let dependency = dependency(config);
    for _ in 0..50 {
        let hung = dependency.call(|_| pending::<Result<(), &str>>());
        let _ = tokio::time::timeout(10 * MS, hung).await;
    }
    let snapshot = dependency.snapshot();
    assert_eq!(snapshot.breaker.unwrap().state, State::Closed);
    assert_eq!(snapshot.bulkhead.unwrap().in_use, 0);
    assert_eq!(snapshot.tally.ended(Outcome::Ignored), 50);
}

#[tokio::test(start_paused = true)]
async fn peer_fault_05_panics_open_the_circuit() {
    let dependency = dependency(bounds());
    for _ in 0..8 {
        let dependency = dependency.clone();
        let task = tokio::spawn(async move {
            let _ = dependency
                .call(|_| async { panic!("a bug") as Result<(), &str> })
                .await;
        });
        assert!(task.await.unwrap_err().is_panic());
    }
    let snapshot = dependency.snapshot();
    assert_eq!(snapshot.breaker.unwrap().state, State::Open);
    assert_eq!(snapshot.tally.ended(Outcome::Failure), 8);
    assert_eq!(snapshot.bulkhead.unwrap().in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_only_when_its_attempt_is_really_gone() {
    struct Slow(Dependency, Arc<AtomicU32>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.1.store(in_use(&self.0), Ordering::Relaxed);
        }
    }
    let dependency = dependency(bounds());
    let while_dropping = Arc::new(AtomicU32::new(0));
    let _ = dependency
        .call_once(|_| {
            let slow = Slow(dependency.clone(), while_dropping.clone());
            async move {
                let _slow = slow;
                pending::<Result<(), &str>>().await
            }
        })
        .await;
    assert_eq!(while_dropping.load(Ordering::Relaxed), 1);
    assert_eq!(in_use(&dependency), 0);
}

#[tokio::test(start_paused = true)]
async fn a_queued_caller_is_served_when_a_slot_is_freed() {
    let mut config = bounds();
    let mut slots = bulkhead::Config::new(NonZeroU32::MIN);
    (slots.queue, slots.max_wait) = (2, 500 * MS);
    slots.max_wait_share = evenkeel::core::ratio::Ratio::ONE;
    config.bulkhead = Some(slots);
    let dependency = dependency(config);
    let call = |number: u32| {
        dependency.call(move |_| async move {
            tokio::time::sleep(20 * MS).await;
            Ok::<_, &str>(number)
        })
    };
    let started = tokio::time::Instant::now();
    let (one, two, three) = tokio::join!(call(1), call(2), call(3));
    assert_eq!((one.unwrap(), two.unwrap(), three.unwrap()), (1, 2, 3));
    assert_eq!(started.elapsed(), 60 * MS, "one after the other");
}

#[tokio::test(start_paused = true)]
async fn an_open_attempt_holds_its_slot_until_it_is_finished() {
    let dependency = dependency(bounds());
    let classify = |result: &Result<&str, &str>| match result {
        Ok(_) => Finished::success(),
        Err(_) => Finished::failed(Class::Transient),
    };
    let head = |_: Attempt| async { Ok::<_, &str>("head") };
    let opened = dependency
        .call_open(CallOptions::default(), classify, head)
        .await;
    assert_eq!((opened.result.unwrap(), in_use(&dependency)), ("head", 1));
    opened
        .open
        .expect("accepted answers stay open")
        .finish(Outcome::Success);
    assert_eq!(in_use(&dependency), 0);
    assert_eq!(dependency.snapshot().tally.ended(Outcome::Success), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_told_how_long_it_may_take() {
    let mut config = bounds();
    config.attempt_timeout = None;
    let dependency = dependency(config);
    let mut options = CallOptions::idempotent();
    options.within = Some(300 * MS);
    let told = dependency
        .call_with(
            options,
            |_| Finished::success(),
            |attempt| async move { Ok::<_, &str>(attempt.remaining()) },
        )
        .await;
    assert_eq!(told.unwrap(), 300 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_for_the_dependency_but_not_for_the_callers_mistakes() {
    let dependency = dependency(bounds());
    let cached = dependency.with_fallback(|error: &CallError<&str>| {
        (error.blame() == Blame::Dependency).then_some("yesterday's")
    });
    let answer = cached.call(|_| async { Err("down") }).await.unwrap();
    assert!(answer.is_degraded());
    assert_eq!(answer.into_value(), "yesterday's");
    assert_eq!(dependency.degraded(), 1);
}

#[test]
fn a_call_can_be_spawned_from_a_clone() {
    fn assert_send<T: Send + 'static>(_: T) {}
    let dependency = Dependency::new("orders", "postgres", bounds());
    assert_send(async move {
        let name = String::from("moved in");
        dependency
            .call(|_| async { Ok::<_, std::io::Error>(name.len()) })
            .await
    });
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_that_is_passed_on_holds_its_slot_too() {
    let dependency = dependency(bounds());
    let failed = |_: &Result<(), &str>| Finished::failed(Class::Fatal);
    let opened = dependency
        .call_open(CallOptions::default(), failed, |_| async {
            Err("a long error page")
        })
        .await;
    assert!(opened.result.is_err());
    assert_eq!(in_use(&dependency), 1);
    drop(opened.open);
    assert_eq!(in_use(&dependency), 0);
    assert_eq!(dependency.snapshot().tally.ended(Outcome::Failure), 1);
}

#[tokio::test(start_paused = true)]
async fn peer_fault_05_a_panic_before_the_attempts_future_counts_too() {
    let dependency = dependency(bounds());
    for _ in 0..8 {
        let dependency = dependency.clone();
        let task = tokio::spawn(async move {
            let call = |_| -> std::future::Ready<Result<(), ()>> { panic!("in the closure") };
            let _ = dependency.call(call).await;
        });
        assert!(task.await.unwrap_err().is_panic());
    }
    assert_eq!(dependency.snapshot().breaker.unwrap().state, State::Open);
}

#[tokio::test]
async fn nobody_can_tell_what_an_error_of_unknown_kind_did() {
    let dependency = Dependency::new("orders", "postgres", bounds());
    let error = dependency
        .call_once(|_| async { Err::<(), _>("refused") })
        .await
        .unwrap_err();
    assert_eq!(error.sent(), Sent::Maybe);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_came_with_too_little_time_is_to_blame() {
    let dependency = dependency(bounds());
    let call = async |within| {
        let mut options = CallOptions::default();
        options.within = Some(within);
        let hangs = |_: Attempt| pending::<Result<(), &str>>();
        dependency
            .call_with(options, |_| Finished::success(), hangs)
            .await
            .unwrap_err()
    };
    assert!(matches!(call(MS).await, CallError::DeadlineExceeded { .. }));
    assert_eq!(call(MS).await.blame(), Blame::Caller);
    assert_eq!(call(Duration::ZERO).await.blame(), Blame::Caller);
}
