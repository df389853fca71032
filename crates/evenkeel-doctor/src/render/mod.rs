//! A diagnosis as text, and in the forms other programs read.

mod text;

pub use text::to_text;
