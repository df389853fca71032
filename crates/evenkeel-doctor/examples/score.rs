//! Scores the doctor on a folder of labelled captures; `cargo xtask doctor-score DIR` runs it.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program of the gates, run by a person or by xtask"
)]

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: score DIR")?;
    let score = evenkeel_doctor::score(folder.as_ref(), |_| true)?;
    if score.cases == 0 {
        return Err("no folder with a label.json in it".into());
    }
    println!("{}", score.report());
    Ok(())
}
