//! The proxy's own small binary: the same as `evenkeel proxy`.

use clap::Parser;
use evenkeel_proxy::command::{self, Args};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Keep every request to your upstreams inside its bounds.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-proxy", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let say = |line: &str| {
        // A reader that went away wants no more.
        let _ = writeln!(anstream::stderr(), "{line}");
    };
    ExitCode::from(command::run(&Cli::parse().args, &say))
}
