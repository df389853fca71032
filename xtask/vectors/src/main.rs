//! Reference vectors of other systems' algorithms, against the core.
//!
//! A formula that is re-implemented from memory is right in the cases one remembers. A vector file holds
//! what a published algorithm answers to given inputs, its random draws pinned; this program feeds the same
//! to evenkeel's form of that algorithm and compares. What evenkeel does in a way of its own is skipped, by
//! name.
//!
//! `evenkeel-vectors DIR` reads every `.json` of a folder, prints a line for each file and, as its last
//! line, `N passed, N failed, N skipped`. It ends with 1 if a number differs or a file has a shape it does
//! not know, with 2 if there is nothing to read.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a gate talks to the person who runs it"
)]

mod dice;
mod folder;
mod limits;
mod rates;
mod report;
mod retries;
mod shape;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory] = arguments.as_slice() else {
        eprintln!("usage: cargo xtask vectors DIR");
        return ExitCode::from(2);
    };
    match folder::run(Path::new(directory)) {
        Ok(files) => {
            for file in &files {
                print!("{file}");
            }
            let total = report::total(&files);
            println!("{total}");
            ExitCode::from(u8::from(total.failed != 0))
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
