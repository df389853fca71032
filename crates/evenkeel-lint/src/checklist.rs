//! The review checklist: six questions about every retry loop.
//!
//! A finding says what is surely wrong; a reviewer also wants to know what was looked at and could
//! not be decided. Each retry loop gets six answers — yes, no, unknown — to the questions a careful
//! reviewer asks of it.

use serde::Serialize;

use crate::facts::loops::{Bound, LoopKind};
use crate::facts::words::has_any;
use crate::facts::{Traits, View};
use crate::finding::{Place, head_place};
use crate::index::Index;

/// An answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Seen.
    Yes,
    /// Looked for and not there.
    No,
    /// Cannot be told from the source.
    Unknown,
}

/// The review of one retry loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Review {
    /// Head of the loop.
    #[serde(flatten)]
    pub place: Place,
    /// What it retries.
    pub operation: String,
    /// Is the number of attempts, or the time, capped?
    pub capped: Answer,
    /// Does the delay grow exponentially?
    pub exponential: Answer,
    /// Is the delay randomised?
    pub jitter: Answer,
    /// Does it end when the caller cancels?
    pub cancellation: Answer,
    /// Is an attempt counted in a metric?
    pub metric: Answer,
    /// Does a test call the function it is in?
    pub tested: Answer,
    #[serde(skip)]
    function: String,
    #[serde(skip)]
    helpers: Vec<String>,
    #[serde(skip)]
    package: String,
}

impl Review {
    /// The six questions with their answers, in the order of the list.
    #[must_use]
    pub fn answers(&self) -> [(&'static str, Answer); 6] {
        [
            ("capped attempts or time", self.capped),
            ("exponential back-off", self.exponential),
            ("jitter", self.jitter),
            ("stops on cancellation", self.cancellation),
            ("counted in a metric", self.metric),
            ("tested", self.tested),
        ]
    }

    pub(crate) fn settle(&mut self, index: &Index) {
        if self.jitter == Answer::Unknown
            && self
                .helpers
                .iter()
                .any(|h| index.has(&self.package, h, Traits::RANDOM) == Some(true))
        {
            self.jitter = Answer::Yes;
        }
        let key = crate::facts::summary::call_key(&self.function);
        let is_tested = index
            .files_of(&self.package)
            .flat_map(|f| &f.summaries)
            .any(|s| has_any(&s.name, &["test"]) && s.calls.binary_search(&key).is_ok());
        if is_tested {
            self.tested = Answer::Yes;
        }
    }
}

/// Reviews the retry loops of a file.
pub(crate) fn review(view: &View<'_>) -> Vec<Review> {
    let mut reviews = Vec::new();
    for facts in &view.loops {
        let Some(operation) = &facts.operation else {
            continue;
        };
        if !matches!(facts.kind, LoopKind::Retry | LoopKind::Reconnect) {
            continue;
        }
        let delay = facts.delay.as_ref().map(|(_, d)| d);
        let by_helper = delay.is_some_and(|d| !d.callees.is_empty());
        let text = view.tree.text_of(facts.node);
        let yes = |seen: bool, otherwise: Answer| if seen { Answer::Yes } else { otherwise };
        reviews.push(Review {
            place: head_place(view, facts.node),
            operation: operation.path.clone(),
            capped: yes(
                matches!(facts.bound, Bound::Counted | Bound::Compared),
                Answer::No,
            ),
            exponential: match delay {
                None => Answer::No,
                Some(d) => yes(
                    d.grows.is_some(),
                    if by_helper || !d.is_constant {
                        Answer::Unknown
                    } else {
                        Answer::No
                    },
                ),
            },
            jitter: match delay {
                None => Answer::No,
                Some(d) => yes(
                    d.is_random,
                    if by_helper {
                        Answer::Unknown
                    } else {
                        Answer::No
                    },
                ),
            },
            cancellation: yes(
                facts.bound == Bound::Stopped,
                if operation.takes_context {
                    Answer::Unknown
                } else {
                    Answer::No
                },
            ),
            metric: yes(
                has_any(
                    text,
                    &[
                        "metric", "counter", ".inc(", "inc_by", "observe", "counter!", "stats.",
                        ".add(",
                    ],
                ),
                Answer::No,
            ),
            tested: Answer::Unknown,
            function: view
                .function_summary(facts.node)
                .map_or_else(String::new, |s| s.name.clone()),
            helpers: delay.map_or_else(Vec::new, |d| d.callees.clone()),
            package: crate::index::package_of(view.path),
        });
    }
    reviews
}
