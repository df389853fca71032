//! `evenkeel proxy`: keeps every request to the upstreams inside its bounds.

use std::io::Write as _;

use evenkeel_proxy::command::{self, Args};
use tracing_subscriber::EnvFilter;

use crate::exit::Exit;

pub(crate) fn run(verb: &Args) -> Exit {
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let say = |line: &str| {
        // A reader that went away wants no more.
        let _ = writeln!(anstream::stderr(), "{line}");
    };
    match command::run(verb, &say) {
        0 => Exit::Ok,
        1 => Exit::Failed,
        2 => Exit::Usage,
        3 => Exit::Precondition,
        130 => Exit::Interrupted,
        143 => Exit::Terminated,
        _ => Exit::Internal,
    }
}
