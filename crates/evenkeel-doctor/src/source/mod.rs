//! Where evidence comes from: files, archives, running services, `/proc`, Prometheus.

mod archive;
mod file;
mod http;
mod live;
mod proc;
mod server;

pub use archive::pack;
pub use file::{ReadError, read_paths, read_stream};
pub use http::FetchError;
pub use live::{Plan, Recording, Step, Target, record};
pub use proc::{listener_of, sample_process};
pub use server::{query_server, read_answer};
