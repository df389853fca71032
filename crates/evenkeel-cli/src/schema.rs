//! `evenkeel schema`: prints the JSON schemas of what evenkeel reads and reports.

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
    /// The schema of what `doctor --format json` prints.
    Doctor,
}

pub(crate) fn run(verb: &Schema) -> Exit {
    let schema = match verb.of {
        Of::Policy => evenkeel_policy::schema::policy(),
        Of::Doctor => evenkeel_doctor::render::diagnosis_schema(),
    };
    // A reader that went away wants no more.
    let _ = write!(anstream::stdout(), "{schema}");
    Exit::Ok
}
