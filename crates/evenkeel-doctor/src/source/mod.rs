//! Where evidence comes from.

mod file;

pub use file::{ReadError, read_paths, read_stream};
