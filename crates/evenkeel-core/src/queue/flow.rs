//! The requests of one tenant that wait, in one class.

use std::collections::BTreeSet;

use super::WaiterId;
use crate::time::Instant;

/// The newest in order of their deadlines, the others by age.
#[derive(Debug, Default)]
pub(super) struct Flow {
    window: BTreeSet<(Instant, WaiterId)>,
    /// The same ones, in order of arrival.
    newest: BTreeSet<WaiterId>,
    /// Fell out of the window, in order of arrival.
    older: BTreeSet<WaiterId>,
    /// What has been begun for it, as virtual time: whose tag is least is next.
    pub(super) tag: u64,
    /// Has had more waiting than its share since it last had nothing waiting.
    pub(super) exceeds: bool,
    /// How many times its share of one.
    pub(super) weight: u32,
    pub(super) group: u8,
}

impl Flow {
    pub(super) fn new(tag: u64) -> Self {
        Self {
            tag,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, id: WaiterId, deadline: Instant) {
        self.newest.insert(id);
        self.window.insert((deadline, id));
    }

    /// Keeps the `size` newest in the window. `deadline_of` tells the deadline of one that waits.
    pub(super) fn resize(&mut self, size: usize, deadline_of: impl Fn(WaiterId) -> Instant) {
        while self.newest.len() > size {
            let Some(id) = self.newest.pop_first() else {
                break;
            };
            self.window.remove(&(deadline_of(id), id));
            self.older.insert(id);
        }
        while self.newest.len() < size {
            let Some(id) = self.older.pop_last() else {
                break;
            };
            self.newest.insert(id);
            self.window.insert((deadline_of(id), id));
        }
    }

    /// Whose turn it is, in a window that was [resized](Flow::resize).
    pub(super) fn first(&self) -> Option<WaiterId> {
        self.window.first().map(|(_, id)| *id)
    }

    /// Who has waited longest.
    pub(super) fn oldest(&self) -> Option<WaiterId> {
        self.older.first().or_else(|| self.newest.first()).copied()
    }

    pub(super) fn remove(&mut self, id: WaiterId, deadline: Instant) {
        if self.newest.remove(&id) {
            self.window.remove(&(deadline, id));
        } else {
            self.older.remove(&id);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.newest.len() + self.older.len()
    }
}
