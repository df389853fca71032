//! Claims idempotency keys, and answers every second one, until it is killed: the other half of
//! `tests/killed.rs`. It is told its file on standard input, and says what it has done on standard output.

#![expect(
    clippy::print_stdout,
    reason = "it is a program, and this is its answer"
)]

use std::error::Error;
use std::io::Write;

use evenkeel::idempotency::redb::RedbStore;
use evenkeel::idempotency::{Answer, Begun, Fingerprint, Place, Store, Terms};
use http::StatusCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut path = String::new();
    std::io::stdin().read_line(&mut path)?;
    let store = RedbStore::open(path.trim())?;
    for number in 0_u32.. {
        let place = Place::of(&[&number.to_be_bytes()]);
        let request = Fingerprint::of(&[]);
        let Begun::New(claim) = store.begin(place, request, &Terms::default()).await? else {
            return Err("a key that nobody has used is not new".into());
        };
        println!("claimed {number}");
        if number % 2 == 0 {
            let answer = Answer::new(StatusCode::CREATED, number.to_string());
            store.finish(&claim, &answer).await?;
            println!("done {number}");
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
