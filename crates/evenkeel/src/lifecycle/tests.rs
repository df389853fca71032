use std::future::{pending, ready};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::leaks::Register;
use crate::retry::Failure;
use crate::workers;

const S: Duration = Duration::from_secs(1);

/// In a register of its own, so that tests do not see each other.
fn life() -> Lifecycle {
    let context = Context::in_register(Register::new());
    let mut life = Lifecycle::new();
    Arc::get_mut(&mut life.0).unwrap().context = context;
    life
}

fn how<'a>(report: &'a Report, name: &str) -> &'a How {
    let part = report.stopped.iter().find(|part| part.name == name);
    &part.unwrap().how
}

#[tokio::test(start_paused = true)]
async fn parts_end_in_the_order_that_loses_nothing() {
    let (life, log) = (life(), Arc::new(Mutex::new(Vec::new())));
    for phase in [Phase::Client, Phase::Queue, Phase::Worker, Phase::Server] {
        let log = log.clone();
        life.start(phase, phase.as_str(), |stop| async move {
            stop.draining().await;
            tokio::time::sleep(S).await;
            log.lock().unwrap().push(phase);
        });
    }
    let report = life.run_until(ready(())).await;
    assert_eq!(*log.lock().unwrap(), Phase::ALL);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.took, 4 * S);
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_from_the_instant_it_is_asked_to_end() {
    let life = life();
    let (seen, watched) = (Arc::new(AtomicBool::new(true)), life.clone());
    let observed = seen.clone();
    life.start(Phase::Server, "http", |stop| async move {
        stop.draining().await;
        observed.store(watched.is_ready(), Ordering::Relaxed);
    });
    assert!(life.is_ready());
    life.run_until(tokio::time::sleep(S)).await;
    assert!(!seen.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ignores_cancellation_is_named() {
    let life = life();
    life.worker("deaf", |_| pending());
    life.worker("slow", |stop| async move { stop.cancelled().await });
    life.start(Phase::Client, "postgres", |stop| async move {
        stop.draining().await;
    });
    let report = life.run_until(ready(())).await;
    assert_eq!(
        report.took,
        S * 67 / 2,
        "one budget less the clients' share, and one grace"
    );
    assert_eq!(*how(&report, "deaf"), How::Aborted);
    assert_eq!(*how(&report, "slow"), How::Cancelled);
    assert_eq!(*how(&report, "postgres"), How::Drained);
    let said = report.to_string();
    assert!(
        said.contains("worker `deaf` ignored its cancellation and was aborted"),
        "{said}"
    );
    assert!(report.left.is_empty(), "{report}");
}

#[test]
fn what_blocks_a_thread_is_named_and_does_not_hold_up_the_report() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let report = runtime.block_on(async {
        let mut config = Config::default();
        (config.drain, config.grace) = (S / 100, S / 100);
        let life = Lifecycle::with(config);
        life.start(Phase::Worker, "blocking", |_| async move {
            let _ = blocked.recv();
        });
        life.run_until(ready(())).await
    });
    assert_eq!(*how(&report, "blocking"), How::NotStopped);
    assert!(
        report
            .to_string()
            .contains("blocks a thread and could not be stopped")
    );
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_drained_with_the_service_and_its_deaf_jobs_are_named() {
    let life = life();
    let mut config = workers::Config::new("mails", NonZeroUsize::MIN);
    config.drain = 3600 * S;
    let pool = Workers::start(config, |_, deaf: Arc<bool>| async move {
        if *deaf {
            pending::<()>().await;
        }
        tokio::time::sleep(S).await;
        Ok::<_, Failure<&str>>(())
    });
    life.workers(&pool);
    let cx = Context::new();
    let done = pool.submit(&cx, false).await.unwrap();
    pool.submit(&cx, true).await.unwrap();
    let report = life.run_until(ready(())).await;
    assert_eq!(done.finished().await, workers::JobFate::Done);
    let said = report.to_string();
    assert!(
        said.contains("mails#1 ignored its cancellation and was aborted"),
        "{said}"
    );
    assert_eq!(*how(&report, "mails"), How::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_by_itself_ends_the_service() {
    let life = life();
    life.start(Phase::Server, "http", |_| async {
        tokio::time::sleep(S).await;
    });
    life.worker("other", |stop| async move { stop.draining().await });
    let report = life.run_until(pending()).await;
    assert_eq!(report.cause, Cause::ServerEnded("http".into()));
    assert_eq!(*how(&report, "other"), How::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_worker_is_started_again_and_not_too_often() {
    let (life, started) = (life(), Arc::new(AtomicU32::new(0)));
    let counted = started.clone();
    life.worker("fragile", move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { panic!("on purpose") }
    });
    let report = life.run_until(tokio::time::sleep(59 * S)).await;
    assert_eq!(
        started.load(Ordering::Relaxed),
        6,
        "five restarts in a minute"
    );
    assert_eq!(*how(&report, "fragile"), How::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_panics_is_named_with_its_message() {
    let life = life();
    life.start(Phase::Server, "http", |_| async {
        panic!("no more file descriptors")
    });
    let report = life.run_until(pending()).await;
    assert_eq!(
        *how(&report, "http"),
        How::Panicked("no more file descriptors".to_owned())
    );
    assert!(!report.is_clean());
}

#[tokio::test(start_paused = true)]
async fn what_a_part_leaves_behind_is_in_the_report() {
    let life = life();
    life.worker("careless", |stop| async move {
        let nobody = Context::current().unwrap().shielded(3600 * S);
        nobody.spawn("forgotten", pending::<()>()).detach();
        stop.draining().await;
    });
    let report = life.run_until(tokio::time::sleep(S)).await;
    assert!(!report.is_clean());
    assert!(
        report.to_string().contains("still there: task `forgotten`"),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_end_nobody_awaits_ends_at_once() {
    let life = life();
    life.worker("reconciler", |_| pending());
    let dropped = tokio::time::timeout(S, life.run_until(pending())).await;
    assert!(dropped.is_err());
    tokio::task::yield_now().await;
    assert!(life.context().register().live().is_empty());
}
