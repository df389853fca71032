//! `evenkeel drill-role`: the services of a drill, each a process of its own. Hidden: started by
//! `evenkeel drill`, which holds their lifeline.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use clap::{Args, Subcommand};
use evenkeel_drill::role::{LISTENING, dependency, keeper, page};

use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct DrillRole {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The product page.
    Page {
        /// Base URL of the inventory.
        #[arg(long)]
        inventory: String,
        /// Base URL of the pricing.
        #[arg(long)]
        pricing: String,
        /// Base URL of the recommendations.
        #[arg(long)]
        recommendations: String,
        /// Connections in use at once.
        #[arg(long)]
        pool: usize,
        /// How long one call may take.
        #[arg(long)]
        timeout_milliseconds: u64,
    },
    /// A dependency of the page.
    Dependency {
        /// Its name.
        #[arg(long)]
        name: String,
        /// The seed of its latencies.
        #[arg(long)]
        seed: u64,
        /// Their median.
        #[arg(long)]
        median_milliseconds: u64,
        /// The sigma of their logarithm.
        #[arg(long)]
        sigma: f64,
    },
    /// Starts a program and ends it with the drill.
    Keeper {
        /// What is in the file the program is told of by `--config`.
        #[arg(long)]
        config: String,
        /// The program and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
}

pub(crate) fn run(verb: DrillRole) -> Exit {
    // One thread: a service of the story must not take both cores from the load.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let ended = runtime.block_on(async move {
        match verb.role {
            Role::Page {
                inventory,
                pricing,
                recommendations,
                pool,
                timeout_milliseconds,
            } => {
                let timeout = Duration::from_millis(timeout_milliseconds);
                let page = page::Page {
                    inventory,
                    pricing,
                    recommendations,
                    pool,
                    timeout,
                };
                page::run(page, announce).await.map(|()| None)
            }
            Role::Dependency {
                name,
                seed,
                median_milliseconds,
                sigma,
            } => {
                let median = Duration::from_millis(median_milliseconds);
                let dependency = dependency::Dependency {
                    name,
                    seed,
                    median,
                    sigma,
                };
                dependency::run(dependency, announce).await.map(|()| None)
            }
            Role::Keeper {
                config,
                mut command,
            } => {
                let program = command.remove(0);
                keeper::run(&config, program, command).await
            }
        }
    });
    match ended {
        Ok(None) => Exit::Ok,
        Ok(Some(status)) => kept_program_ended(status),
        Err(error) => failed(&error),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the address is this role's only output"
)]
fn announce(address: SocketAddr) {
    println!("{LISTENING} {address}");
}

#[expect(clippy::print_stderr, reason = "the drill shows it")]
fn kept_program_ended(status: ExitStatus) -> Exit {
    eprintln!("ended on its own: {status}");
    if status.success() {
        Exit::Ok
    } else {
        Exit::Internal
    }
}

#[expect(clippy::print_stderr, reason = "the drill shows it")]
fn failed(error: &std::io::Error) -> Exit {
    eprintln!("{error}");
    Exit::Internal
}
