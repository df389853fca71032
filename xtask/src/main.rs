//! The project's own gates: what a reviewer would otherwise have to remember.
//!
//! `cargo xtask` lists the verbs. Each verb prints what it looked at and ends with exit code 0 when
//! everything holds, 1 when something does not, 2 when it could not be asked: an unknown verb, a
//! rule file that does not parse, a tool that is missing.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a gate talks to the person who runs it"
)]

mod bench;
mod codegen;
mod command;
mod doctor;
mod faults;
mod loom;
mod nightly;
mod tidy;
mod vectors;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
The project's own gates.

usage: cargo xtask <verb>

  tidy               who imports whom, length, words, left-overs (rules: architecture.toml)
  faults             every fault of docs/peer-faults.toml that is due has its test
  loom               the loom models of the core pass, and fail once their protocol is broken
  bench [WORD...]    what calls cost beside the peers, as ratios: all races, or those with a word in their path
  vectors DIR        the reference vectors of a folder, against the core
  codegen [--check]  write the generated files; with --check, fail if one is out of date
  doctor-score DIR   how often the doctor is right on a folder of labelled captures
  nightly [STEP...]  the heavy gates of .ci/nightly.toml: all, or the named ones
  help               this text

.ci/run runs README's test command and then every gate but bench and nightly.
";

/// What a gate found, as opposed to a gate that could not run (which is an error).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    Broken,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root();
    let verdict = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["tidy"] => tidy::run(&root),
        ["faults"] => faults::run(&root),
        ["loom"] => loom::run(&root),
        ["bench", paths @ ..] => bench::run(&root, paths),
        ["vectors", folder] => vectors::run(&root, folder),
        ["codegen"] => codegen::run(&root, codegen::Mode::Write),
        ["codegen", "--check"] => codegen::run(&root, codegen::Mode::Check),
        ["doctor-score", folder] => doctor::score(&root, folder),
        ["nightly", steps @ ..] => nightly::run(&root, steps),
        _ => Err(anyhow::anyhow!(
            "no such gate: `cargo xtask {}`; `cargo xtask help` lists them",
            words.join(" ")
        )),
    };
    match verdict {
        Ok(Verdict::Holds) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The checkout in which cargo runs this program.
///
/// Asked at run time: two checkouts may share a target folder, and the path compiled in is that of
/// whichever was built first.
fn workspace_root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().unwrap_or(&xtask).to_path_buf()
}
