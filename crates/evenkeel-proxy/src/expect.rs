//! `Expect: 100-continue`, end to end.
//!
//! A client that sends it wants to know before it uploads. If the proxy said 100 by itself, a
//! gigabyte would travel to us only to meet the upstream's 413. So the body is held behind a gate
//! that opens when the upstream says 100 (our HTTP layer then says it to the client, as it begins
//! to read), and stays shut when the upstream answers at once: the client never starts. Since an
//! upstream may never say 100 (RFC 9110, 10.1.1 allows it to just read), the gate opens by itself
//! after [`PATIENCE`].

use http::{HeaderMap, header};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Sleep;

/// How long to wait for the upstream's 100. curl waits as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Holds a request body back until the upstream wants it.
pub(crate) struct Gate {
    open: AtomicBool,
    wait: Mutex<Wait>,
}

#[derive(Default)]
struct Wait {
    waker: Option<Waker>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    /// A shut gate.
    pub(crate) fn new() -> Gate {
        Gate {
            open: AtomicBool::new(false),
            wait: Mutex::default(),
        }
    }

    /// Opens it: the upstream said 100.
    pub(crate) fn open(&self) {
        // Release: pairs with the Acquire in `poll_open`; the lock below orders the waker.
        self.open.store(true, Release);
        let waker = self
            .wait
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waker
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once it is open.
    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.open.load(Acquire) {
            return Poll::Ready(());
        }
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        wait.waker = Some(cx.waker().clone());
        // Looked at again under the lock: `open` may have come between, and found no waker.
        if self.open.load(Acquire) {
            return Poll::Ready(());
        }
        let patience = wait
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        patience.as_mut().poll(cx)
    }
}

/// Whether the client waits for a 100 before it sends its body.
pub(crate) fn is_expected(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn the_gate_opens_when_the_upstream_says_so() {
        let gate = Arc::new(Gate::new());
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move {
                let start = tokio::time::Instant::now();
                poll_fn(|cx| gate.poll_open(cx)).await;
                start.elapsed()
            }
        });
        tokio::task::yield_now().await;
        gate.open();
        assert_eq!(waiting.await.unwrap(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_opens_by_itself_before_an_upstream_that_never_says_100() {
        let gate = Gate::new();
        let start = tokio::time::Instant::now();
        poll_fn(|cx| gate.poll_open(cx)).await;
        assert!(start.elapsed() >= PATIENCE);
    }
}
