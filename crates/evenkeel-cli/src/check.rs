//! `evenkeel check`: reads policy files and says everything that is wrong with them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use evenkeel_policy::{LoadError, Loaded, Look, explain};

use crate::exit::Exit;

/// Read policy files and report every error in them, and what is odd.
///
/// Nothing is started. Errors and warnings go to stderr, the table of --explain to stdout.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel check policy.yaml
  evenkeel check --explain policy.yaml
  evenkeel check --strict policies/*.yaml
  helm template … | evenkeel check -

Exit codes: 0 every file is valid; 1 with --strict, a file has warnings; 2 a file has errors.")]
pub(crate) struct Check {
    /// Policy files; `-` is stdin.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show every value that holds, and whether the file, a preset or a default decided it.
    #[arg(long)]
    explain: bool,
    /// Exit with 1 if there are warnings.
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(verb: &Check) -> Exit {
    let mut worst = Exit::Ok;
    for file in &verb.files {
        let exit = match load(file) {
            Ok(loaded) => accepted(verb, file, &loaded),
            Err(error) => {
                // A reader that went away wants no more.
                let _ = writeln!(anstream::stderr(), "{}", error.render(Look::Styled));
                Exit::Usage
            }
        };
        if exit.code() > worst.code() {
            worst = exit;
        }
    }
    worst
}

fn load(file: &Path) -> Result<Loaded, LoadError> {
    if file != Path::new("-") {
        return evenkeel_policy::load(file);
    }
    evenkeel_policy::read("<stdin>", std::io::stdin().lock())
}

fn accepted(verb: &Check, file: &Path, loaded: &Loaded) -> Exit {
    let _ = write!(
        anstream::stderr(),
        "{}",
        loaded.render_warnings(Look::Styled)
    );
    let mut out = anstream::stdout();
    if verb.explain {
        let _ = write!(out, "{}", explain::table(&loaded.settings));
    }
    let file = file.display();
    let odd = loaded.warnings.len();
    let _ = match odd {
        0 => writeln!(anstream::stderr(), "{file}: valid"),
        1 => writeln!(anstream::stderr(), "{file}: valid, with 1 warning"),
        _ => writeln!(anstream::stderr(), "{file}: valid, with {odd} warnings"),
    };
    if verb.strict && odd > 0 {
        Exit::Failed
    } else {
        Exit::Ok
    }
}
