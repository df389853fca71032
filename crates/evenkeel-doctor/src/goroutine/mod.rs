//! Goroutine dumps in all their forms, folded to one entry per distinct wait.
//!
//! A service in trouble has two hundred thousand goroutines and a dozen distinct stacks. So a dump
//! is never held as goroutines but as [`Group`]s: same state, same stack without arguments, same
//! creator. Memory grows with the distinct stacks, not with the goroutines.

mod counts;
mod sketch;
mod state;
mod text;

pub use counts::{read_counts, read_profile};
pub use sketch::IdSketch;
pub use state::WaitState;
pub use text::{DumpReader, read_text};

use crate::stack::{Frame, Owner, Stack};

/// Which of the runtime's forms a dump came in; each form leaves other things out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum DumpForm {
    /// `debug=2`, `SIGQUIT` and panics: states, ids, minutes and creators.
    #[default]
    Text,
    /// `debug=1`: counts and stacks only.
    Counts,
    /// `debug=0`: counts and stacks down to the runtime's own frames, so states can be inferred.
    Profile,
}

/// Goroutines in the same state with the same stack and the same creator.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// What they wait for.
    pub state: WaitState,
    /// Their stack, innermost first.
    pub stack: Stack,
    /// The `go` statement that started them.
    pub created_by: Option<Frame>,
    /// How many.
    pub count: u64,
    /// How many the runtime marked as waiting for a minute or longer.
    pub long_waits: u64,
    /// The longest wait, in minutes; 0 when the dump shows none.
    pub longest_minutes: u32,
    /// How many carry the runtime's own mark `(leaked)`.
    pub leaked: u64,
    /// A sample of their ids, comparable between dumps of one process.
    pub ids: IdSketch,
    /// Lock addresses they wait at, with the number of waiters.
    pub locks: Vec<(u64, u64)>,
}

impl Group {
    /// The frame to show a person: the stack's own, or the `go` statement where the goroutine runs
    /// nothing of the service.
    pub fn culprit(&self) -> Option<&Frame> {
        let owned = |frame: &&Frame| frame.owner() >= Owner::Dependency;
        self.stack
            .culprit()
            .filter(owned)
            .or_else(|| self.created_by.as_ref().filter(owned))
            .or_else(|| self.stack.culprit())
    }

    /// The lock most of them wait at, with the number of waiters.
    pub fn main_lock(&self) -> Option<(u64, u64)> {
        self.locks
            .iter()
            .copied()
            .max_by_key(|(_, waiters)| *waiters)
    }
}

/// One dump.
#[derive(Debug, Clone, Default)]
pub struct Goroutines {
    /// The form it came in.
    pub form: DumpForm,
    /// Goroutines read.
    pub read: u64,
    /// What the dump's own header says the total is, where it has one.
    pub header_total: Option<u64>,
    /// One entry per distinct wait, the largest first.
    pub groups: Vec<Group>,
    /// Whether the end of the dump is missing.
    pub cut: bool,
}

impl Goroutines {
    /// Goroutines in the process, as far as the dump tells.
    pub fn total(&self) -> u64 {
        self.header_total.unwrap_or(0).max(self.read)
    }

    /// Whether this is an excerpt: the goroutine that wrote the dump is not in it, so somebody
    /// chose what to show.
    pub fn is_excerpt(&self) -> bool {
        !self.groups.iter().any(|group| {
            group.stack.any(|function| {
                function.starts_with("runtime/pprof.")
                    || function.starts_with("runtime.goexit0")
                    || function.starts_with("main.main")
                    || function.starts_with("runtime.main")
            })
        })
    }

    fn sort(&mut self) {
        self.groups.sort_by(|a, b| {
            b.count
                .cmp(&a.count)
                .then_with(|| a.stack.0.cmp(&b.stack.0))
        });
    }
}
