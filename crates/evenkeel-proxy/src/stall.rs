//! Who is late: the upstream with its answer, or the client with its question.
//!
//! An attempt whose body is still on its way from the client cannot be answered, however healthy
//! its upstream. If it were ended by its timeout like any other, a handful of clients that promise
//! a body and send none would open the breaker for everybody. The policy's driver knows nothing of
//! bodies, so such an attempt ends itself, a moment before the driver would.

use crate::replay::RequestBody;
use crate::upstream::ExchangeError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How much earlier than the driver: the resolution of the runtime's timers.
const EARLIER: Duration = Duration::from_millis(1);

/// The exchange, or [`ExchangeError::ClientStalled`] once the attempt's time is over but for a
/// moment and it is the client that it waits for. Where the upstream is late it goes on, to be
/// ended by the driver.
///
/// # Cancel safety
/// That of the exchange.
pub(crate) async fn unless_stalled<T>(
    exchange: impl Future<Output = Result<T, ExchangeError>>,
    body: &RequestBody,
    allowed: Duration,
) -> Result<T, ExchangeError> {
    let due = Instant::now() + allowed.saturating_sub(EARLIER);
    let mut exchange = pin!(exchange);
    let mut timer: Pin<&mut Option<Sleep>> = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(result) = exchange.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if !body.awaits_client() {
            return Poll::Pending;
        }
        if timer.is_none() {
            timer.set(Some(sleep_until(due)));
        }
        // The clock itself too: this task may have been woken before the timers were looked at,
        // and the driver, which is asked next, looks at the clock.
        let fired = match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(cx).is_ready(),
            None => false,
        };
        if fired || Instant::now() >= due {
            return Poll::Ready(Err(ExchangeError::ClientStalled));
        }
        Poll::Pending
    })
    .await
}
