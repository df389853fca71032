//! Something less, instead of nothing.
//!
//! A product page without recommendations sells; an error page does not. A fallback answers where the
//! dependency cannot: from a cache, or with a constant. It must not call what has just failed, and whoever
//! receives its answer must be able to tell: it is labelled, and counted.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use crate::attempt::Attempt;
use crate::dependency::Dependency;
use crate::error::{Blame, CallError};

/// A dependency with something to say where it cannot answer: see [`Dependency::with_fallback`].
#[derive(Debug)]
pub struct WithFallback<'a, T, E, FB> {
    dependency: &'a Dependency,
    fallback: FB,
    /// Named here so that a closure is understood where it is written, not where it is called.
    answers: PhantomData<fn(&CallError<E>) -> T>,
}

/// An answer, and whether it is the real one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer<T, E> {
    /// From the dependency.
    Fresh(T),
    /// From the fallback.
    Degraded {
        /// What the fallback answered.
        value: T,
        /// Why the dependency did not.
        because: CallError<E>,
    },
}

impl<T, E> Answer<T, E> {
    /// Whether the fallback answered.
    pub fn is_degraded(&self) -> bool {
        matches!(self, Self::Degraded { .. })
    }

    /// The answer, whoever gave it.
    pub fn into_value(self) -> T {
        match self {
            Self::Fresh(value) | Self::Degraded { value, .. } => value,
        }
    }
}

impl<'a, T, E, FB> WithFallback<'a, T, E, FB>
where
    FB: Fn(&CallError<E>) -> Option<T>,
{
    pub(crate) fn new(dependency: &'a Dependency, fallback: FB) -> Self {
        Self {
            dependency,
            fallback,
            answers: PhantomData,
        }
    }

    /// Calls as [`Dependency::call`] does; where that fails and its caller is not to blame, asks the
    /// fallback. A fallback that answers `None` has nothing to offer for this error.
    ///
    /// ```
    /// use evenkeel::{Dependency, core::policy::Config};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let prices = Dependency::new("shop", "prices", Config::default());
    /// let answer = prices
    ///     .with_fallback(|_| Some(vec![]))
    ///     .call(|_| async { Err::<Vec<u32>, _>("down") })
    ///     .await
    ///     .unwrap();
    /// assert!(answer.is_degraded());
    /// assert_eq!(prices.degraded(), 1);
    /// # }
    /// ```
    ///
    /// # Errors
    /// The call's own error, where the fallback was not asked or had nothing to offer.
    ///
    /// # Cancel safety
    /// As [`Dependency::call`].
    pub async fn call<F, Fut>(&self, operation: F) -> Result<Answer<T, E>, CallError<E>>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let because = match self.dependency.call(operation).await {
            Ok(value) => return Ok(Answer::Fresh(value)),
            Err(error) => error,
        };
        if because.blame() == Blame::Caller {
            return Err(because);
        }
        match (self.fallback)(&because) {
            Some(value) => {
                self.dependency.0.degraded.fetch_add(1, Ordering::Relaxed);
                Ok(Answer::Degraded { value, because })
            }
            None => Err(because),
        }
    }
}
