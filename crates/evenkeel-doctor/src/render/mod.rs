//! A diagnosis as text, and in the forms other programs read. A form never changes the verdict.

mod flame;
mod github;
mod html;
mod json;
mod live;
mod text;

pub use github::to_github;
pub use html::to_html;
pub use json::{SCHEMA_VERSION, to_json};
pub use live::to_live;
pub use text::to_text;
