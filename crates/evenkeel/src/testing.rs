//! Tests that find what code leaves behind, how it stops, and whether it gets anywhere under contention.
//!
//! A leaked task fails no assertion: the test ends, the runtime is dropped, and the task with it. In
//! production nothing is dropped. A test that runs with [`leak_free!`](crate::leak_free) has a register of
//! its own and fails if anything is in it at the end, naming it and the line that made it.
//!
//! A livelock fails no assertion either, on the two cores of a laptop: every thread is busy, and
//! [`contend`] shows that what they are busy with is each other, as attempts for each success that grow
//! with the threads.

mod contention;

use std::time::Duration;

use crate::context::Context;
use crate::leaks::{Live, Register};
use crate::lifecycle::{Lifecycle, Report};

pub use contention::{Contention, Round, contend};

/// Fails if anything that was made in the present context, or in one made from it, is still alive.
///
/// A task that was asked to stop is gone a moment later: wait with [`settled`] first.
///
/// ```should_panic
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use evenkeel::{spawn, testing};
///
/// testing::in_own_register(async {
///     spawn("forgotten", std::future::pending::<()>()).detach();
///     testing::assert_no_leaks(); // panics: task `forgotten`, … old, from …
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
/// If there is anything, with a line for each.
#[track_caller]
pub fn assert_no_leaks() {
    let live = Register::current().live();
    assert!(live.is_empty(), "left behind:{}", lines(&live));
}

/// Waits until nothing that was made in the present context is alive, for at most `within`. Answers what
/// still is.
pub async fn settled(within: Duration) -> Vec<Live> {
    let register = Register::current();
    let empty = async {
        while !register.live().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = tokio::time::timeout(within, empty).await;
    register.live()
}

/// Runs `test` in a context whose register nobody else shares.
pub async fn in_own_register<F: Future>(test: F) -> F::Output {
    Context::in_register(Register::new()).scope(test).await
}

/// Runs `test` in a register of its own, and fails if it leaves anything behind that is not gone within a
/// second of the runtime's time. What [`leak_free!`](crate::leak_free) expands to.
///
/// # Panics
/// Where `test` does, and if something is left.
pub async fn leak_free<F: Future>(test: F) -> F::Output {
    in_own_register(async {
        let output = test.await;
        let left = settled(Duration::from_secs(1)).await;
        assert!(left.is_empty(), "the test left behind:{}", lines(&left));
        output
    })
    .await
}

/// Ends a service and fails unless every part and every job finished within its time. Answers the report.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use evenkeel::{lifecycle::Lifecycle, testing};
///
/// let life = Lifecycle::new();
/// life.worker("reconciler", |stop| async move { stop.draining().await });
/// let under_load = tokio::time::sleep(std::time::Duration::from_secs(1));
/// testing::assert_stops_cleanly(&life, under_load).await;
/// # }
/// ```
///
/// # Panics
/// If a part had to be cancelled, aborted, or is still there: with the report.
pub async fn assert_stops_cleanly(life: &Lifecycle, load: impl Future<Output = ()>) -> Report {
    let report = life.run_until(load).await;
    assert!(report.is_clean(), "{report}");
    report
}

fn lines(live: &[Live]) -> String {
    live.iter().map(|live| format!("\n  {live}")).collect()
}

/// A test that fails if it leaves tasks, locks, jobs, flights or claims behind. It runs on one thread with
/// paused time; a second of that is waited at the end for what is stopping.
///
/// ```
/// evenkeel::leak_free! {
///     async fn a_page_leaves_nothing() {
///         let thumbnails = evenkeel::spawn("thumbnails", async {});
///         thumbnails.await.unwrap();
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! leak_free {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)+) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            $crate::testing::block_on(async move { $body });
        }
    )+};
}

/// Runs a [`leak_free`] test on a runtime of its own.
///
/// # Panics
/// As [`leak_free`], and if there is no runtime to be had.
pub fn block_on<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(leak_free(test)),
        Err(error) => panic!("no runtime for the test: {error}"),
    }
}

#[cfg(test)]
mod tests;
