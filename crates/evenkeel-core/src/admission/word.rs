//! Requests that are served, and that wait, as one word.

/// 32 bits each.
#[derive(Clone, Copy)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const fn new(serving: u32, waiting: u32) -> Self {
        Self(serving as u64 | (waiting as u64) << 32)
    }

    pub(super) const fn serving(self) -> u32 {
        (self.0 << 32 >> 32) as u32
    }

    pub(super) const fn waiting(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
