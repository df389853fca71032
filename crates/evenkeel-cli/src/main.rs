//! The `evenkeel` command: one file per verb, no logic of its own.

mod check;
mod doctor;
mod doctor_scale;
mod drill;
mod drill_role;
mod exit;
mod lint;
mod proxy;
mod schema;

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
    Check(check::Check),
    Doctor(Box<doctor::Doctor>),
    Drill(drill::Drill),
    Lint(Box<lint::Lint>),
    /// Plays one service of a drill; started by the drill itself.
    #[command(hide = true)]
    DrillRole(drill_role::DrillRole),
    Proxy(evenkeel_proxy::command::Args),
    /// Prints the schema that editors and the repository's own check use.
    #[command(hide = true)]
    Schema(schema::Schema),
}

fn main() -> Exit {
    match Cli::parse().verb {
        Verb::Check(verb) => check::run(&verb),
        Verb::Doctor(verb) => doctor::run(&verb),
        Verb::Drill(verb) => drill::run(&verb),
        Verb::DrillRole(verb) => drill_role::run(verb),
        Verb::Lint(verb) => lint::run(&verb),
        Verb::Proxy(verb) => proxy::run(&verb),
        Verb::Schema(verb) => schema::run(&verb),
    }
}
