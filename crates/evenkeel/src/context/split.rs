//! One deadline over several calls in a row.

use tokio::time::Instant;

use super::Context;

/// A deadline, divided: see [`Context::split`].
///
/// Each call gets an equal share of the time that is left when it begins, so that what one call does not
/// use is there for those after it, and a slow first call cannot leave the last with nothing.
///
/// ```
/// use evenkeel::Context;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut calls = Context::within(Duration::from_millis(300)).split(3);
/// let first = calls.part();
/// assert_eq!(first.remaining(), Some(Duration::from_millis(100)));
///
/// tokio::time::advance(Duration::from_millis(40)).await; // The first call was quick.
/// assert_eq!(calls.part().remaining(), Some(Duration::from_millis(130)));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Split {
    whole: Context,
    left: u32,
}

impl Split {
    pub(super) fn new(whole: Context, calls: u32) -> Self {
        Self { whole, left: calls }
    }

    /// The context of the next call. The last one has all that is left, and so have any beyond the number
    /// that was named; without a deadline there is nothing to divide.
    pub fn part(&mut self) -> Context {
        let share = self.whole.remaining().map(|left| left / self.left.max(1));
        self.left = self.left.saturating_sub(1);
        match share {
            Some(share) => self.whole.with_deadline(Instant::now() + share),
            None => self.whole.clone(),
        }
    }
}
