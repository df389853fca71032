//! The `evenkeel` command: one file per verb, no logic of its own.

mod doctor;
mod drill;
mod drill_role;
mod exit;

use clap::{Parser, Subcommand};

use exit::Exit;

/// Keeps a service inside named bounds, shows how close it is to each, and practises what happens
/// when one is reached.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, after_help = exit::TABLE)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Doctor(doctor::Doctor),
    Drill(drill::Drill),
    /// Plays one service of a drill; started by the drill itself.
    #[command(hide = true)]
    DrillRole(drill_role::DrillRole),
}

fn main() -> Exit {
    match Cli::parse().verb {
        Verb::Doctor(verb) => doctor::run(&verb),
        Verb::Drill(verb) => drill::run(&verb),
        Verb::DrillRole(verb) => drill_role::run(verb),
    }
}
