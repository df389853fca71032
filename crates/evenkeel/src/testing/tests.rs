use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::spawn;

fn message_of(test: impl FnOnce()) -> String {
    let payload = std::panic::catch_unwind(AssertUnwindSafe(test)).unwrap_err();
    crate::context::panic_message(&*payload)
}

crate::leak_free! {
    async fn what_ends_by_itself_is_no_leak() {
        spawn("quick", async { tokio::time::sleep(Duration::from_millis(500)).await }).detach();
    }

    async fn what_has_an_owner_is_no_leak() {
        let _owned = spawn("owned", pending::<()>());
    }
}

#[test]
fn a_leaked_task_fails_its_test_and_is_named_with_its_line() {
    let said = message_of(|| {
        block_on(async {
            spawn("forgotten", pending::<()>()).detach();
        });
    });
    assert!(said.contains("task `forgotten`"), "{said}");
    assert!(said.contains("testing/tests.rs"), "{said}");
}

#[test]
fn a_leaked_lock_fails_its_test_too() {
    let said = message_of(|| {
        block_on(async {
            let lock = Box::new(crate::lock::Lock::new("ledger", Duration::MAX, ()));
            let lock: &'static _ = Box::leak(lock);
            std::mem::forget(lock.take(&Context::new()).await.unwrap());
        });
    });
    assert!(said.contains("lock `ledger`"), "{said}");
}

#[test]
fn tests_do_not_see_each_others_tasks() {
    block_on(async {
        let outer = spawn("outer", pending::<()>());
        in_own_register(async { assert_no_leaks() }).await;
        drop(outer);
    });
}

#[test]
fn a_service_that_does_not_stop_fails_its_test_with_the_report() {
    let said = message_of(|| {
        block_on(async {
            let life = Lifecycle::new();
            life.worker("deaf", |_| pending());
            assert_stops_cleanly(&life, std::future::ready(())).await;
        });
    });
    assert!(
        said.contains("worker `deaf` ignored its cancellation"),
        "{said}"
    );
}

/// Two parties who take two locks in opposite orders and politely give back the first when the second is
/// taken.
#[test]
fn a_livelock_shows_as_attempts_and_a_mutex_does_not() {
    let (left, right, swap) = (Mutex::new(()), Mutex::new(()), AtomicU64::new(0));
    let polite = contend(3, 100, || {
        let turned = swap.fetch_add(1, Ordering::Relaxed) % 2 == 0;
        let (first, second) = if turned {
            (&left, &right)
        } else {
            (&right, &left)
        };
        let mut attempts = 1;
        loop {
            let _first = first.lock().unwrap();
            // Long enough to meet the other in the doorway, whatever the machine.
            std::thread::yield_now();
            if let Ok(_second) = second.try_lock() {
                return attempts;
            }
            attempts += 1;
        }
    });
    let alone = polite.rounds[0].attempts_per_success();
    assert!((alone - 1.0).abs() < f64::EPSILON);
    assert!(polite.most_attempts_per_success() > 1.05, "{polite}");

    let mutex = Mutex::new(0_u64);
    let queued = contend(4, 300, || {
        *mutex.lock().unwrap() += 1;
        1
    });
    assert!((queued.most_attempts_per_success() - 1.0).abs() < f64::EPSILON);
    assert_eq!(mutex.into_inner().unwrap(), 10 * 300);
}
