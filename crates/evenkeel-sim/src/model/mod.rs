//! Stories that are no fleet: contention for one row, a capacity predicted, a tail cut by hedges.

pub mod contention;
pub mod tail;
pub mod usl;
