use std::future::pending;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;
use crate::leaks::Register;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// Two workers, three more outstanding.
fn config() -> Config {
    let mut config = Config::new("mails", NonZeroUsize::new(2).unwrap());
    config.queue = 3;
    config
}

type Never = Failure<&'static str>;

fn cx() -> Context {
    Context::new()
}

#[tokio::test(start_paused = true)]
async fn no_more_jobs_run_at_once_than_there_are_workers() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, high) = (running.clone(), most.clone());
    let pool = Workers::start(config(), move |_, _: Arc<u32>| {
        let (running, most) = (counted.clone(), high.clone());
        async move {
            most.fetch_max(
                running.fetch_add(1, Ordering::Relaxed) + 1,
                Ordering::Relaxed,
            );
            tokio::time::sleep(10 * MS).await;
            running.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Never>(())
        }
    });
    let began = Instant::now();
    for job in 0..20 {
        pool.submit(&cx(), job).await.unwrap();
    }
    pool.idle().await;
    assert_eq!(most.load(Ordering::Relaxed), 2);
    let took = began.elapsed();
    assert!(took >= 100 * MS && took < 130 * MS, "{took:?}");
    assert_eq!((pool.snapshot().done, pool.snapshot().outstanding), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_refuses_or_makes_wait_as_the_submitter_chooses() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let pool = Workers::start(config(), move |_, _: Arc<u32>| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok::<_, Never>(())
        }
    });
    for job in 0..5 {
        pool.try_submit(&cx(), job).unwrap();
    }
    let refused = pool.try_submit(&cx(), 5).unwrap_err();
    assert_eq!((refused.job, refused.reason), (5, RefusedBecause::Full));
    let hasty = Context::within(10 * MS);
    let refused = pool.submit(&hasty, 6).await.unwrap_err();
    assert_eq!(
        refused.reason,
        RefusedBecause::Ended(Ended::DeadlineExceeded)
    );
    let patient = cx();
    let waiting = pool.submit(&patient, 7);
    let (submitted, ()) = tokio::join!(waiting, async { go.notify_one() });
    assert!(submitted.is_ok(), "one was done, so there was room");
    assert_eq!(pool.snapshot().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn a_submitter_who_stops_waiting_takes_nobodys_turn() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let mut one = config();
    (one.workers, one.queue) = (NonZeroUsize::MIN, 0);
    let pool = Workers::start(one, move |_, _: Arc<u32>| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok::<_, Never>(())
        }
    });
    pool.try_submit(&cx(), 0).unwrap();
    let (first, second) = (cx(), cx());
    let leaves = tokio::time::timeout(MS, pool.submit(&first, 1));
    let stays = pool.submit(&second, 2);
    let release = async {
        tokio::time::sleep(2 * MS).await;
        go.notify_one();
    };
    let (left, stayed, ()) = tokio::join!(leaves, stays, release);
    assert!(left.is_err() && stayed.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_is_tried_again_without_holding_a_worker() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let mut one = config();
    one.workers = NonZeroUsize::MIN;
    let pool = Workers::start(one, move |job: JobContext, name: Arc<&str>| {
        let log = log.clone();
        async move {
            log.lock().unwrap().push((*name, job.attempt()));
            match (*name, job.attempt()) {
                ("flaky", 1) => Err(Failure::Transient("reset")),
                _ => Ok(()),
            }
        }
    });
    let flaky = pool.submit(&cx(), "flaky").await.unwrap();
    let steady = pool.submit(&cx(), "steady").await.unwrap();
    assert_eq!(steady.finished().await, JobFate::Done);
    assert_eq!(pool.snapshot().backing_off, 1);
    assert_eq!(flaky.finished().await, JobFate::Done);
    let seen = seen.lock().unwrap();
    assert_eq!(*seen, [("flaky", 1), ("steady", 1), ("flaky", 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_buried_with_its_reason_before_anybody_hears_of_it() {
    let buried = Arc::new(Mutex::new(Vec::new()));
    let graves = buried.clone();
    let bury = move |letter: &Letter<&'static str>| {
        let why = letter.why.to_string();
        graves
            .lock()
            .unwrap()
            .push((*letter.job, letter.attempts, why));
        Ok(())
    };
    let pool = Workers::start_burying(config(), bury, |_, job: Arc<&str>| async move {
        Err(match *job {
            "never" => Failure::Permanent("no address"),
            _ => Failure::Transient("reset"),
        })
    });
    for (job, attempts, why) in [("never", 1, "no address"), ("down", 3, "reset")] {
        let fate = pool.submit(&cx(), job).await.unwrap().finished().await;
        let failed = Why::Failed(why.to_owned());
        assert_eq!(
            fate,
            JobFate::Dead {
                why: failed,
                attempts
            }
        );
        let last = buried.lock().unwrap().last().cloned();
        assert_eq!(last, Some((job, attempts, format!("failed: {why}"))));
    }
    assert_eq!(pool.snapshot().dead, 2);
}

#[tokio::test(start_paused = true)]
async fn retries_of_all_jobs_share_a_budget() {
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = attempts.clone();
    let mut config = config();
    config.queue = 2000;
    config.retry = evenkeel_core::retry::Config::new(NonZeroU32::new(10).unwrap());
    let pool = Workers::start(config, move |_, _: Arc<u32>| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err(Failure::Transient("down")) }
    });
    for job in 0..1000 {
        pool.submit(&cx(), job).await.unwrap();
    }
    pool.idle().await;
    let attempts = attempts.load(Ordering::Relaxed);
    assert!(
        (1000..1400).contains(&attempts),
        "{attempts} attempts of 1000 jobs"
    );
    assert_eq!(pool.snapshot().dead, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_job_past_its_deadline_is_dropped_where_it_stands_and_buried() {
    let mut config = config();
    config.deadline = 100 * MS;
    let register = Register::new();
    let own = Context::in_register(register.clone());
    let pool = own
        .scope(async { Workers::start(config, |_, _: Arc<u32>| pending::<Result<(), Never>>()) })
        .await;
    let began = Instant::now();
    let fate = pool.submit(&cx(), 1).await.unwrap().finished().await;
    assert_eq!(
        fate,
        JobFate::Dead {
            why: Why::DeadlineExceeded,
            attempts: 1
        }
    );
    assert!(began.elapsed() <= 102 * MS);
    assert!(register.live().is_empty(), "{register:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_takes_only_its_own_job_with_it() {
    let pool = Workers::start(config(), |_, job: Arc<u32>| async move {
        assert_ne!(*job, 1, "on purpose");
        Ok::<_, Never>(())
    });
    let doomed = pool.submit(&cx(), 1).await.unwrap();
    let JobFate::Dead {
        why: Why::Panicked(message),
        attempts: 1,
    } = doomed.finished().await
    else {
        panic!("it panicked")
    };
    assert!(message.contains("on purpose"));
    let fine = pool.submit(&cx(), 2).await.unwrap();
    assert_eq!(fine.finished().await, JobFate::Done);
    assert!(pool.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_jobs_keep_panicking_slows_down_and_recovers() {
    let mut config = config();
    (config.workers, config.queue) = (NonZeroUsize::MIN, 100);
    let times = Arc::new(Mutex::new(Vec::new()));
    let log = times.clone();
    let pool = Workers::start(config, move |_, _: Arc<u32>| {
        log.lock().unwrap().push(Instant::now());
        async { panic!("on purpose") as Result<(), Never> }
    });
    let began = Instant::now();
    for job in 0..12 {
        pool.submit(&cx(), job).await.unwrap();
    }
    tokio::time::sleep(S).await;
    assert!(!pool.is_healthy());
    assert_eq!(
        times.lock().unwrap().len(),
        6,
        "five are taken in one's stride"
    );
    pool.idle().await;
    assert!(began.elapsed() >= 60 * S, "{:?}", began.elapsed());
    tokio::time::sleep(61 * S).await;
    assert!(pool.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_is_left_out_or_stopped() {
    let pool = Workers::start(config(), |job: JobContext, _: Arc<u32>| async move {
        job.context().ended().await;
        Err(Failure::Permanent("stopped as asked"))
    });
    let running = pool.submit(&cx(), 1).await.unwrap();
    tokio::task::yield_now().await;
    running.cancel();
    assert_eq!(running.finished().await, JobFate::Cancelled);
    assert_eq!(pool.snapshot().cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_job_is_reported_as_stuck_and_a_beating_one_is_not() {
    let pool = Workers::start(config(), |job: JobContext, beats: Arc<bool>| async move {
        loop {
            tokio::time::sleep(10 * S).await;
            if *beats {
                job.beat();
            }
        }
        #[expect(unreachable_code, reason = "names the type")]
        Ok::<_, Never>(())
    });
    let silent = pool.submit(&cx(), false).await.unwrap();
    let _beating = pool.submit(&cx(), true).await.unwrap();
    tokio::time::sleep(35 * S).await;
    let stuck = pool.snapshot().stuck;
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    assert_eq!(stuck[0].0, silent.name());
}

#[tokio::test(start_paused = true)]
async fn draining_finishes_what_was_accepted_and_accepts_nothing() {
    let pool = Workers::start(config(), |_, _: Arc<u32>| async {
        tokio::time::sleep(S).await;
        Ok::<_, Never>(())
    });
    let jobs: Vec<_> = (0..5)
        .map(|job| pool.try_submit(&cx(), job).unwrap())
        .collect();
    let late = async {
        let refused = pool.submit(&cx(), 9).await.unwrap_err();
        assert_eq!(refused.reason, RefusedBecause::Draining);
    };
    let (left, ()) = tokio::join!(pool.drain(), late);
    assert_eq!(left, []);
    for job in jobs {
        assert_eq!(job.finished().await, JobFate::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_in_time_is_cancelled_and_the_rest_buried() {
    let buried = Arc::new(Mutex::new(Vec::new()));
    let graves = buried.clone();
    let bury = move |letter: &Letter<u32>| {
        graves
            .lock()
            .unwrap()
            .push((*letter.job, letter.why.clone()));
        Ok(())
    };
    let mut one = config();
    one.workers = NonZeroUsize::MIN;
    let pool = Workers::start_burying(one, bury, |job: JobContext, _: Arc<u32>| async move {
        job.context().ended().await;
        Err(Failure::Transient("stopped half way"))
    });
    for job in 0..3 {
        pool.try_submit(&cx(), job).unwrap();
    }
    tokio::task::yield_now().await;
    let began = Instant::now();
    assert_eq!(pool.drain().await, [], "they heeded their cancellation");
    assert_eq!(began.elapsed(), 30 * S);
    let mut buried = buried.lock().unwrap().clone();
    buried.sort_by_key(|(job, _)| *job);
    assert_eq!(
        buried,
        [(0, Why::Stopped), (1, Why::Stopped), (2, Why::Stopped)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ignores_its_cancellation_is_aborted_and_named() {
    let pool = Workers::start(config(), |_, _: Arc<u32>| pending::<Result<(), Never>>());
    let job = pool.try_submit(&cx(), 1).unwrap();
    tokio::task::yield_now().await;
    let left = pool.drain().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, "mails#0");
    assert!(left[0].stopped);
    assert!(
        left[0]
            .to_string()
            .contains("ignored its cancellation and was aborted")
    );
    assert!(matches!(
        job.finished().await,
        JobFate::Dead {
            why: Why::Stopped,
            ..
        }
    ));
}

#[cfg(feature = "redb")]
mod in_a_file {
    use super::*;
    use crate::workers::dead_letters::{DeadLetters, Error};

    fn numbers() -> impl Fn(&u32) -> Vec<u8> {
        |job| job.to_be_bytes().to_vec()
    }

    fn number(bytes: &[u8]) -> Option<u32> {
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    #[tokio::test]
    async fn a_dead_letter_outlives_the_process_and_is_done_after_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters.redb");
        let mended = Arc::new(std::sync::atomic::AtomicBool::new(false));
        {
            let letters = DeadLetters::open(&path).unwrap();
            let pool = Workers::start_burying(
                config(),
                letters.for_jobs(numbers()),
                |_, _: Arc<u32>| async { Err(Failure::Permanent("the printer is on fire")) },
            );
            for job in [7, 8, 9] {
                pool.submit(&cx(), job).await.unwrap().finished().await;
            }
            pool.drain().await;
            // The workers let go of the pool, and so of the file, a moment after the drain.
            let file = letters.watch();
            drop((pool, letters));
            while file.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        }
        let letters = DeadLetters::open(&path).unwrap();
        let listed = letters.list(Some("mails"), 0, 10).unwrap();
        let payloads: Vec<_> = listed
            .iter()
            .filter_map(|letter| number(&letter.payload))
            .collect();
        assert_eq!(payloads, [7, 8, 9]);
        assert_eq!(listed[0].why, "failed: the printer is on fire");
        assert_eq!(
            letters.list(Some("mails"), listed[0].id, 1).unwrap(),
            listed[1..2]
        );
        assert!(letters.list(Some("others"), 0, 10).unwrap().is_empty());

        let works = mended.clone();
        let pool = Workers::start_burying(
            config(),
            letters.for_jobs(numbers()),
            move |_, job: Arc<u32>| {
                let works = works.load(Ordering::Relaxed) || *job == 8;
                async move {
                    match works {
                        true => Ok(()),
                        false => Err(Failure::Permanent("still on fire")),
                    }
                }
            },
        );
        let replayed = letters.replay(&cx(), &pool, number).await.unwrap();
        assert_eq!(
            (replayed.done, replayed.dead_again, replayed.left),
            (1, 2, 0)
        );
        assert_eq!(letters.count().unwrap(), 2);
        mended.store(true, Ordering::Relaxed);
        let replayed = letters.replay(&cx(), &pool, number).await.unwrap();
        assert_eq!((replayed.done, letters.count().unwrap()), (2, 0));
    }

    #[test]
    fn a_file_of_letters_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(folder.path().join("letters.redb")).unwrap();
        let letters = letters.at_most(2);
        for _ in 0..2 {
            letters.bury("mails", b"job", "failed", 1).unwrap();
        }
        let error = letters.bury("mails", b"job", "failed", 1).unwrap_err();
        assert!(matches!(error, Error::Full { most: 2 }), "{error}");
        assert!(letters.remove(1).unwrap());
        assert!(!letters.remove(1).unwrap());
        letters.bury("mails", b"job", "failed", 1).unwrap();
    }
}
