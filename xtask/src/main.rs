//! The project's own gates.

fn main() {}
