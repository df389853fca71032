//! `evenkeel schema`: prints the JSON schemas of what evenkeel reads.

use std::io::Write as _;

use clap::{Args, Subcommand};

use crate::exit::Exit;

/// Print a JSON schema, for editors and for other checkers.
#[derive(Debug, Args)]
pub(crate) struct Schema {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// The schema of the policy file.
    Policy,
}

pub(crate) fn run(verb: &Schema) -> Exit {
    let Of::Policy = verb.of;
    // A reader that went away wants no more.
    let _ = write!(anstream::stdout(), "{}", evenkeel_policy::schema::policy());
    Exit::Ok
}
