use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_deadline_can_only_be_tightened() {
    let request = Context::within(100 * MS);
    assert_eq!(request.with_timeout(500 * MS).remaining(), Some(100 * MS));
    assert_eq!(request.with_timeout(20 * MS).remaining(), Some(20 * MS));
    assert_eq!(
        request.with_timeout(Duration::MAX).remaining(),
        Some(100 * MS)
    );
}

#[tokio::test(start_paused = true)]
async fn a_part_ends_with_the_whole_and_not_the_other_way_round() {
    let request = Context::new();
    let (one, two) = (request.child(), request.child());
    one.cancel();
    assert!(one.is_cancelled() && !two.is_cancelled() && !request.is_cancelled());
    request.cancel();
    assert_eq!(two.check(), Err(Ended::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_dropped_when_its_caller_leaves() {
    struct Flag<'a>(&'a AtomicBool);
    impl Drop for Flag<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (request, dropped) = (Context::new(), AtomicBool::new(false));
    let work = request.run(async {
        let _flag = Flag(&dropped);
        pending::<()>().await;
    });
    let (ended, ()) = tokio::join!(work, async { request.cancel() });
    assert_eq!(ended, Err(Ended::Cancelled));
    assert!(dropped.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_for_a_caller_who_is_gone() {
    let request = Context::within(Duration::ZERO);
    let begun = AtomicBool::new(false);
    let ended = request.run(async { begun.store(true, Ordering::Relaxed) });
    assert_eq!(ended.await, Err(Ended::DeadlineExceeded));
    assert!(!begun.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_last_instant_counts() {
    let request = Context::within(10 * MS);
    let answer = request.run(async {
        tokio::time::sleep(10 * MS).await;
        7
    });
    assert_eq!(answer.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn children_of_children_inherit_and_stop() {
    let request = Context::new().with_tenant("acme").with_request_id("r-1");
    let (told, grandchild) = oneshot::channel();
    let child = request.spawn("child", async {
        let inner = spawn("grandchild", async {
            let cx = Context::current().unwrap();
            let _ = told.send((cx.tenant().map(str::to_owned), cx.clone()));
            pending::<()>().await;
        });
        let _ = inner.await;
    });
    let (tenant, cx) = grandchild.await.unwrap();
    assert_eq!(tenant.as_deref(), Some("acme"));
    assert_eq!(cx.request_id(), Some("r-1"));
    request.cancel();
    assert_eq!(child.await, Err(TaskError::Ended(Ended::Cancelled)));
    assert!(cx.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_task_without_an_owner_is_stopped() {
    let register = Register::new();
    let request = Context::in_register(register.clone());
    drop(request.spawn("orphan", pending::<()>()));
    tokio::task::yield_now().await;
    assert!(register.live().is_empty(), "{register:?}");

    request.spawn("kept", pending::<()>()).detach();
    tokio::task::yield_now().await;
    assert_eq!(register.live()[0].name, "kept");
    assert!(register.live()[0].owner.file().ends_with("tests.rs"));
    request.cancel();
    tokio::task::yield_now().await;
    assert!(register.live().is_empty(), "the request ended it");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_task_is_an_error_with_its_message() {
    let error = spawn("doomed", async { panic!("division by zero") }).await;
    let panicked: Result<(), _> = error;
    assert_eq!(
        panicked.unwrap_err().to_string(),
        "task panicked: division by zero"
    );
}

#[tokio::test(start_paused = true)]
async fn a_shielded_commit_outlives_the_caller_who_left() {
    let (commit, committed) = oneshot::channel();
    let request = Context::within(10 * MS);
    let ended = request.run(async {
        let slow = async {
            tokio::time::sleep(50 * MS).await;
            commit.send(()).unwrap();
        };
        shield("commit", 100 * MS, slow).await
    });
    assert_eq!(ended.await, Err(Ended::DeadlineExceeded));
    committed.await.expect("it went on");
}

#[tokio::test(start_paused = true)]
async fn a_shield_has_a_bound_too() {
    let endless = shield("commit", 100 * MS, pending::<()>()).await;
    assert_eq!(endless, Err(TaskError::Ended(Ended::DeadlineExceeded)));
}

#[tokio::test(start_paused = true)]
async fn a_split_leaves_the_last_call_all_that_is_left() {
    let mut calls = Context::within(90 * MS).split(2);
    assert_eq!(calls.part().remaining(), Some(45 * MS));
    tokio::time::advance(60 * MS).await;
    assert_eq!(calls.part().remaining(), Some(30 * MS));
    assert_eq!(
        calls.part().remaining(),
        Some(30 * MS),
        "one more than named"
    );
    assert_eq!(Context::new().split(3).part().remaining(), None);
}
