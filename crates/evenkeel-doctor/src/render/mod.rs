//! A diagnosis as text, and in the forms other programs read. A form never changes the verdict.

mod flame;
mod github;
mod html;
mod json;
mod live;
mod text;

pub use github::to_github;
pub use html::to_html;
pub use json::{SCHEMA_VERSION, diagnosis_schema, scaling_to_json, to_json};
pub use live::to_live;
pub use text::{scaling_to_text, to_text};
