use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use evenkeel_core::call::StopReason;
use tokio::time::Instant;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn policy() -> Retry {
    Retry::new("fetch")
}

#[tokio::test(start_paused = true)]
async fn a_failed_operation_is_tried_three_times_and_each_wait_is_told() {
    let (cx, policy) = (Context::within(10_000 * MS), policy());
    let (made, told) = (AtomicU32::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    let error = retry(&cx, &policy, || async {
        Err::<(), _>(made.fetch_add(1, Ordering::Relaxed))
    })
    .notify(|again| {
        told.lock()
            .unwrap()
            .push((*again.error, again.attempt, again.wait));
    })
    .await
    .unwrap_err();
    let told = told.into_inner().unwrap();
    let [(0, 1, first), (1, 2, second)] = told[..] else {
        panic!("{told:?}")
    };
    let waited = began.elapsed();
    assert!(waited >= first + second && waited <= first + second + 2 * MS);
    assert!(
        first >= 50 * MS && second >= 50 * MS,
        "decorrelated jitter has a floor"
    );
    assert_eq!(
        error.to_string(),
        "fetch failed, 3 attempts made: no attempts are left"
    );
    assert_eq!(error.into_operation(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_ends_it_at_once() {
    let (cx, policy) = (Context::within(1000 * MS), policy());
    let made = AtomicU32::new(0);
    let error = retry(&cx, &policy, || async {
        made.fetch_add(1, Ordering::Relaxed);
        Err::<(), _>(Failure::Permanent("no such invoice"))
    })
    .permanent_if(Failure::is_permanent)
    .await
    .unwrap_err();
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert!(matches!(
        error,
        Error::Failed {
            reason: StopReason::NotRetryable,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_does_not_fit_before_the_deadline_is_not_begun() {
    let (cx, policy) = (Context::within(20 * MS), policy());
    let began = Instant::now();
    let error = retry(&cx, &policy, || async { Err::<(), _>("reset") })
        .await
        .unwrap_err();
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "told at once, with its own error"
    );
    assert_eq!(error.into_operation(), Some("reset"));
}

#[tokio::test(start_paused = true)]
async fn cancellation_ends_an_attempt_and_a_wait() {
    let policy = policy();
    for hangs in [true, false] {
        let cx = Context::new();
        let call = async {
            retry(&cx, &policy, || async {
                if hangs {
                    pending::<()>().await;
                }
                Err::<(), _>("reset")
            })
            .await
        };
        let leave = async {
            tokio::time::sleep(10 * MS).await;
            cx.cancel();
        };
        let began = Instant::now();
        let (ended, ()) = tokio::join!(call, leave);
        assert!(matches!(
            ended,
            Err(Error::Ended {
                ended: Ended::Cancelled,
                attempts: 1,
                ..
            })
        ));
        assert_eq!(began.elapsed(), 10 * MS);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_hangs_ends_with_the_deadline_even_if_nobody_set_one() {
    let policy = policy();
    let began = Instant::now();
    let cx = Context::new();
    let error = retry(&cx, &policy, pending::<Result<(), ()>>).await;
    assert!(matches!(
        error,
        Err(Error::Ended {
            ended: Ended::DeadlineExceeded,
            ..
        })
    ));
    assert_eq!(began.elapsed(), LONGEST);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_knows_its_number() {
    let (cx, policy) = (Context::within(10_000 * MS).with_tenant("acme"), policy());
    let number = retry(&cx, &policy, || async {
        let cx = Context::current().unwrap();
        assert_eq!(cx.tenant(), Some("acme"));
        match cx.attempt() {
            3 => Ok(3),
            early => Err(early),
        }
    });
    assert_eq!(number.await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn retries_are_a_share_of_the_calls_when_everything_fails() {
    let (cx, policy) = (Context::new(), policy());
    let made = AtomicU32::new(0);
    for _ in 0..1000 {
        let _ = retry(&cx, &policy, || async {
            made.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>("down")
        })
        .await;
    }
    let made = made.load(Ordering::Relaxed);
    // A fifth of the calls, and the floor of three a second for the minutes that the waits took.
    assert!(
        made < 2000,
        "{made} attempts for 1000 calls; three times as many without a budget"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_for_a_caller_who_is_gone() {
    let cx = Context::new();
    cx.cancel();
    let made = AtomicU32::new(0);
    let ended = retry(&cx, &policy(), || async {
        made.fetch_add(1, Ordering::Relaxed);
        Ok::<_, ()>(())
    })
    .await;
    assert!(ended.is_err());
    assert_eq!(made.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_call_in_progress_can_be_spawned() {
    let task = crate::spawn("caller", async {
        let (cx, policy) = (Context::new(), policy());
        let name = String::from("borrowed by the operation");
        retry(&cx, &policy, || async {
            Ok::<_, std::io::Error>(name.len())
        })
        .await
    });
    assert_eq!(task.await.unwrap().unwrap(), 25);
}
