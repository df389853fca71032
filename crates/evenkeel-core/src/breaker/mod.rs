pub use config::*;
mod config;
