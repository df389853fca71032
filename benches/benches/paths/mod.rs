//! The paths that are raced, each with ours first and the peers after it.

pub(crate) mod breaker;
pub(crate) mod bulkhead;
pub(crate) mod call;
pub(crate) mod rate;
pub(crate) mod retry;

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use evenkeel_benches::Race;

/// Every race, in the order of the table.
pub(crate) fn all() -> Vec<Race> {
    let mut races = vec![
        breaker::race(),
        bulkhead::race(),
        rate::race(),
        retry::race(),
    ];
    races.extend(call::races());
    races
}

/// Polls a future that is ready at once. It lies in memory first, as it does in a task: what the compiler
/// can see through from end to end costs nothing, and nobody has that.
#[inline]
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    black_box(&mut future);
    match future.poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("what is raced here never waits"),
    }
}

/// Polls a future until it is ready; it is pending once.
#[inline]
pub(crate) fn after_a_pause<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    black_box(&mut future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Is pending once, and ready when it is polled again.
#[derive(Default)]
pub(crate) struct Pause(bool);

impl Future for Pause {
    type Output = ();

    #[inline]
    fn poll(mut self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
