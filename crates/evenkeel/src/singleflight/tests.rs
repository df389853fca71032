use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::oneshot;

use super::*;
use crate::leaks::Register;

const MS: Duration = Duration::from_millis(1);

type Group = Singleflight<&'static str, u32, &'static str>;

fn group() -> Group {
    Singleflight::new("prices")
}

/// Answers after `millis`, and counts.
async fn slow(calls: Arc<AtomicU32>, millis: u32) -> Result<u32, &'static str> {
    let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
    tokio::time::sleep(MS * millis).await;
    Ok(number)
}

fn calls() -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(0))
}

#[tokio::test(start_paused = true)]
async fn all_who_ask_at_once_share_one_call() {
    let (group, calls, cx) = (group(), calls(), Context::new());
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (group, calls, cx) = (group.clone(), calls.clone(), cx.clone());
            tokio::spawn(async move { group.run(&cx, "a", || slow(calls, 10)).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(1));
    }
    let seen = group.snapshot();
    assert_eq!((seen.begun, seen.coalesced, seen.flights), (1, 99, 0));
}

#[tokio::test(start_paused = true)]
async fn different_keys_and_later_callers_do_not_share() {
    let (group, calls, cx) = (group(), calls(), Context::new());
    let (one, two) = tokio::join!(
        group.run(&cx, "a", || slow(calls.clone(), 10)),
        group.run(&cx, "b", || slow(calls.clone(), 10)),
    );
    assert_eq!((one, two), (Ok(1), Ok(2)));
    assert_eq!(group.run(&cx, "a", || slow(calls.clone(), 0)).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn peer_fault_07_a_caller_who_leaves_leaves_alone() {
    let (group, calls, cx) = (group(), calls(), Context::new());
    let first = group.run(&cx, "a", || slow(calls.clone(), 50));
    let hasty = tokio::time::timeout(10 * MS, first);
    let second = async {
        tokio::time::sleep(5 * MS).await;
        group.run(&cx, "a", || slow(calls.clone(), 50)).await
    };
    let (hasty, second) = tokio::join!(hasty, second);
    assert!(hasty.is_err(), "the one who began it left");
    assert_eq!(second, Ok(1), "and the other has its answer");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn peer_fault_07_a_waiter_is_not_polled_while_nothing_happens() {
    let (group, cx) = (group(), Context::new());
    let (answer, answered) = oneshot::channel::<u32>();
    let first = {
        let (group, cx) = (group.clone(), cx.clone());
        tokio::spawn(async move {
            group
                .run(&cx, "a", || async { answered.await.map_err(|_| "gone") })
                .await
        })
    };
    tokio::task::yield_now().await;
    let polls = AtomicU32::new(0);
    let mut waiting = pin!(group.run(&cx, "a", || async { Ok(0) }));
    let counted = std::future::poll_fn(|waker| {
        polls.fetch_add(1, Ordering::Relaxed);
        waiting.as_mut().poll(waker)
    });
    let land = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        answer.send(7).unwrap();
    };
    let (value, ()) = tokio::join!(counted, land);
    assert_eq!(value, Ok(7));
    assert_eq!(first.await.unwrap(), Ok(7));
    let polls = polls.into_inner();
    assert!(polls <= 4, "a minute of waiting took {polls} polls");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_leaves_at_its_own_deadline_and_the_flight_goes_on() {
    let (group, calls) = (group(), calls());
    let patient = Context::within(1000 * MS);
    let hasty = Context::within(20 * MS);
    let (one, two) = tokio::join!(
        group.run(&hasty, "a", || slow(calls.clone(), 100)),
        group.run(&patient, "a", || slow(calls.clone(), 100)),
    );
    assert_eq!(one, Err(Error::Ended(Ended::DeadlineExceeded)));
    assert_eq!(
        two,
        Ok(1),
        "the flight outlived the deadline of the one who began it"
    );
}

#[tokio::test(start_paused = true)]
async fn peer_fault_21_the_last_to_leave_ends_the_flight_and_frees_its_key() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (group, register) = (group(), Register::new());
    let cx = Context::in_register(register.clone()).with_timeout(10 * MS);
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Flag(dropped.clone());
    let hung = group.run(&cx, "a", || async move {
        let _flag = flag;
        pending().await
    });
    assert_eq!(hung.await, Err(Error::Ended(Ended::DeadlineExceeded)));
    assert_eq!(
        group.snapshot().flights,
        0,
        "nobody joins what is abandoned"
    );
    tokio::task::yield_now().await;
    assert!(dropped.load(Ordering::Relaxed));
    assert!(register.live().is_empty(), "{register:?}");
}

#[tokio::test(start_paused = true)]
async fn peer_fault_21_ten_thousand_keys_leave_nothing_behind() {
    let group = Singleflight::<u32, u32, ()>::new("keys");
    let cx = Context::new();
    for key in 0..10_000 {
        let ready = group.run(&cx, key, || async move { Ok(key) });
        assert_eq!(ready.await, Ok(key));
        let dropped = group.run(&cx, key, pending);
        let _ = tokio::time::timeout(MS, dropped).await;
    }
    assert_eq!(group.snapshot().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_everybodys_error_and_the_key_is_free_again() {
    let (group, cx) = (group(), Context::new());
    let doomed = || async {
        tokio::time::sleep(MS).await;
        panic!("on purpose")
    };
    let (one, two) = tokio::join!(group.run(&cx, "a", doomed), group.run(&cx, "a", doomed));
    assert_eq!(one, Err(Error::Panicked("on purpose".to_owned())));
    assert_eq!(two, one);
    assert_eq!(group.run(&cx, "a", || async { Ok(1) }).await, Ok(1));

    let at_once = || async { panic!("before it waits") };
    let one = group.run(&cx, "b", at_once).await;
    assert_eq!(one, Err(Error::Panicked("before it waits".to_owned())));
    assert_eq!(group.snapshot().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn peer_fault_24_followers_get_the_error_and_no_value_is_kept() {
    let (group, cx) = (group(), Context::new());
    let fails = || async {
        tokio::time::sleep(MS).await;
        Err("no such article")
    };
    let (one, two) = tokio::join!(group.run(&cx, "a", fails), group.run(&cx, "a", fails));
    assert_eq!(one, Err(Error::Operation("no such article")));
    assert_eq!(two, one);

    let value = Arc::new(0_u8);
    let values = Singleflight::<u32, Arc<u8>, ()>::new("values");
    let shared = value.clone();
    let flight = values.run(&cx, 1, || async move {
        tokio::time::sleep(10 * MS).await;
        Ok(shared)
    });
    // The one who began it leaves, and another takes its place.
    let (left, kept) = tokio::join!(
        tokio::time::timeout(5 * MS, flight),
        values.run(&cx, 1, || async { Err(()) })
    );
    assert!(left.is_err());
    drop(kept.expect("the answer of the flight that went on"));
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&value), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_shared_is_tried_once_more_by_those_who_joined() {
    let config = Config {
        share_errors: false,
        ..Config::default()
    };
    let group = Group::with("prices", config);
    let (cx, calls) = (Context::new(), calls());
    let fails = || {
        let calls = calls.clone();
        async move {
            calls.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(MS).await;
            Err("down")
        }
    };
    let outcomes = tokio::join!(
        group.run(&cx, "a", fails),
        group.run(&cx, "a", fails),
        group.run(&cx, "a", fails),
    );
    assert!(outcomes.0.is_err() && outcomes.1.is_err() && outcomes.2.is_err());
    assert_eq!(
        calls.load(Ordering::Relaxed),
        2,
        "not three, and not for ever"
    );
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_flight_answers_those_it_has() {
    let (group, calls, cx) = (group(), calls(), Context::new());
    let old = group.run(&cx, "a", || slow(calls.clone(), 10));
    let new = async {
        group.forget(&"a");
        group.run(&cx, "a", || slow(calls.clone(), 10)).await
    };
    assert_eq!(tokio::join!(old, new), (Ok(1), Ok(2)));
    assert_eq!(group.snapshot().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_flight_is_not_joined() {
    let (group, calls, cx) = (group(), calls(), Context::new());
    let old = group.run(&cx, "a", || slow(calls.clone(), 2000));
    let late = async {
        tokio::time::sleep(1000 * MS).await;
        group.run(&cx, "a", || slow(calls.clone(), 0)).await
    };
    assert_eq!(tokio::join!(old, late), (Ok(1), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn waiters_beyond_the_bound_are_refused_at_once() {
    let config = Config {
        max_waiters: 2,
        ..Config::default()
    };
    let group = Group::with("prices", config);
    let (cx, calls) = (Context::new(), calls());
    let outcomes = tokio::join!(
        group.run(&cx, "a", || slow(calls.clone(), 10)),
        group.run(&cx, "a", || slow(calls.clone(), 10)),
        group.run(&cx, "a", || slow(calls.clone(), 10)),
    );
    assert_eq!(outcomes, (Ok(1), Ok(1), Err(Error::TooManyWaiters)));
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_runs_to_completion_does_so_without_waiters() {
    let config = Config {
        run_to_completion: true,
        ..Config::default()
    };
    let group = Group::with("fills", config);
    let (filled, full) = oneshot::channel();
    let cx = Context::within(MS);
    let left = group.run(&cx, "a", || async {
        tokio::time::sleep(10 * MS).await;
        let _ = filled.send(());
        Ok(1)
    });
    assert!(left.await.is_err());
    full.await.expect("it went on");
    tokio::task::yield_now().await;
    assert_eq!(group.snapshot().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_flight_works_in_nobodys_context() {
    let (group, cx) = (group(), Context::within(5 * MS).with_tenant("acme"));
    let alone = group.run(&cx, "a", || async {
        let own = Context::current().unwrap();
        assert_eq!((own.deadline(), own.tenant()), (None, None));
        Ok(1)
    });
    assert_eq!(cx.scope(alone).await, Ok(1));
}

#[test]
fn callers_on_many_threads_each_get_an_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let group = Singleflight::<u32, u32, ()>::new("race");
    let running = Arc::new([const { AtomicU32::new(0) }; 4]);
    runtime.block_on(async {
        let callers: Vec<_> = (0..2000_u32)
            .map(|number| {
                let (group, running) = (group.clone(), running.clone());
                tokio::spawn(async move {
                    let (cx, key) = (Context::new(), number % 4);
                    let call = group.run(&cx, key, move || async move {
                        let others = running[key as usize].fetch_add(1, Ordering::SeqCst);
                        assert_eq!(others, 0, "two flights of one key at once");
                        if number % 3 == 0 {
                            tokio::task::yield_now().await;
                        }
                        running[key as usize].fetch_sub(1, Ordering::SeqCst);
                        Ok(key)
                    });
                    assert_eq!(call.await, Ok(key));
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
    assert_eq!(group.snapshot().flights, 0);
}
