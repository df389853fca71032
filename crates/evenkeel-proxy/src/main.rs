//! The proxy's own small binary: the same as `evenkeel proxy`.

use clap::Parser;
use evenkeel_proxy::command::{self, Args};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Keep every request to your upstreams inside its bounds.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-proxy", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

#[expect(clippy::print_stderr, reason = "a binary's main speaks to people")]
fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    ExitCode::from(command::run(&Cli::parse().args, &|line| {
        eprintln!("{line}")
    }))
}
