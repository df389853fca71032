//! The same thing for many items, a few at a time.
//!
//! `join_all` over a thousand ids is a thousand calls at once: a fan-out as wide as whatever somebody put
//! into a request. It works in the test, where there are three. Here the width has a number and a name, and
//! the whole ends with its [`Context`].
//!
//! The items run inside the caller's own future, so they may borrow; nothing is spawned, and dropping the
//! future drops them all.

use std::fmt;
use std::num::NonZeroUsize;
use std::pin::pin;

use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::context::{Context, Ended};
use crate::leaks::Name;

/// A fan-out that ended before all its items did.
#[derive(Debug)]
pub struct Incomplete<R> {
    /// The fan-out's name.
    pub name: Name,
    /// How its context ended.
    pub ended: Ended,
    /// The results that were there by then, in the order of their items; none for an item that was dropped
    /// or never begun.
    pub results: Vec<Option<R>>,
}

impl<R> fmt::Display for Incomplete<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.results.iter().flatten().count();
        let all = self.results.len();
        write!(
            f,
            "{} ended after {done} of {all} items: {}",
            self.name, self.ended
        )
    }
}

impl<R: fmt::Debug> std::error::Error for Incomplete<R> {}

/// Does `work` for each of `items`, at most `at_once` at the same time; answers their results in the
/// order of the items.
///
/// An item's failure is its result, and the others go on: a page with nine of ten thumbnails is a page.
///
/// ```
/// use evenkeel::{Context, fan_out::for_each_bounded};
/// use std::num::NonZeroUsize;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (cx, four) = (Context::new(), NonZeroUsize::new(4).unwrap());
/// let prices = for_each_bounded(&cx, "prices", four, [1, 2, 3], |id| async move { id * 100 }).await;
/// assert_eq!(prices.unwrap(), [100, 200, 300]);
/// # }
/// ```
///
/// # Errors
/// [`Incomplete`], when `cx` ends first; the items in flight are dropped then, and what was there is in it.
///
/// # Cancel safety
/// Dropping the future drops the items in flight; the others are not begun.
///
/// # Panics
/// Where `work` does; the items in flight are dropped then.
pub async fn for_each_bounded<I, F, Fut>(
    cx: &Context,
    name: impl Into<Name>,
    at_once: NonZeroUsize,
    items: I,
    mut work: F,
) -> Result<Vec<Fut::Output>, Incomplete<Fut::Output>>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> Fut,
    Fut: Future,
{
    let mut items = items.into_iter();
    let mut results: Vec<Option<Fut::Output>> = Vec::new();
    let mut running = FuturesUnordered::new();
    let mut ended = pin!(cx.ended());
    let how = loop {
        if let Err(how) = cx.check() {
            break Some(how);
        }
        while running.len() < at_once.get() {
            let Some(item) = items.next() else {
                break;
            };
            let (at, doing) = (results.len(), work(item));
            results.push(None);
            running.push(async move { (at, doing.await) });
        }
        tokio::select! {
            biased;
            done = running.next() => match done {
                Some((at, result)) => results[at] = Some(result),
                None => break None,
            },
            how = &mut ended => break Some(how),
        }
    };
    match how {
        None => Ok(results.into_iter().flatten().collect()),
        Some(ended) => {
            results.extend(items.map(|_| None));
            Err(Incomplete {
                name: name.into(),
                ended,
                results,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn width(most: usize) -> NonZeroUsize {
        NonZeroUsize::new(most).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_items_than_named_are_done_at_once_and_order_is_kept() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let cx = Context::new();
        let doubled = for_each_bounded(&cx, "double", width(3), 0..20_u32, |item| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                tokio::time::sleep(MS * (20 - item)).await;
                running.set(running.get() - 1);
                item * 2
            }
        });
        let doubled = doubled.await.unwrap();
        assert_eq!(doubled, (0..20).map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_when_the_context_ends_is_not_lost() {
        let cx = Context::within(25 * MS);
        let begun = Cell::new(0);
        let incomplete = for_each_bounded(&cx, "slow", width(2), 0..9_u32, |item| {
            begun.set(begun.get() + 1);
            async move {
                tokio::time::sleep(10 * MS).await;
                item
            }
        });
        let incomplete = incomplete.await.unwrap_err();
        let done = [Some(0), Some(1), Some(2), Some(3)];
        assert_eq!(incomplete.results[..4], done);
        assert_eq!(incomplete.results[4..], [None; 5]);
        assert_eq!(begun.get(), 6, "nothing is begun for nobody");
        assert_eq!(
            incomplete.to_string(),
            "slow ended after 4 of 9 items: the deadline passed"
        );
    }

    #[tokio::test]
    async fn a_thousand_ready_items_leave_room_for_others() {
        let cx = Context::new();
        let all = for_each_bounded(
            &cx,
            "ready",
            width(8),
            0..1000_u32,
            |item| async move { item },
        );
        assert_eq!(all.await.unwrap().len(), 1000);
    }
}
