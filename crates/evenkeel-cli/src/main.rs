//! The `evenkeel` command: one file per verb, no logic of its own.

fn main() {}
