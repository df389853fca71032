//! The calls that README shows, against a database that fails now and then.
//!
//! Run it where a `policy.yaml` names `postgres`: `cargo run -p evenkeel --example invoices` in a folder
//! with a copy of `policies/library.yaml` under that name.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use evenkeel::Evenkeel;

#[derive(Debug, Clone, PartialEq)]
struct Invoice(u64);

impl Invoice {
    fn last_known(id: u64) -> Self {
        Self(id)
    }
}

/// Every third question fails.
struct Db(AtomicU32);

impl Db {
    async fn invoice(&self, id: u64, within: Duration) -> io::Result<Invoice> {
        tokio::time::sleep(within.min(Duration::from_millis(5))).await;
        match self.0.fetch_add(1, Ordering::Relaxed) % 3 {
            2 => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(Invoice(id)),
        }
    }

    async fn insert(&self, invoice: Invoice) -> io::Result<u64> {
        Ok(invoice.0)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (db, id) = (Db(AtomicU32::new(0)), 7);

    // README from here …
    let evenkeel = Evenkeel::from_path("policy.yaml")?;
    let postgres = evenkeel.dependency("postgres")?; // unknown name: error at start, "did you mean"

    // As many attempts as the policy allows; each is told how long it may take.
    let invoice = postgres
        .call(|attempt| db.invoice(id, attempt.remaining()))
        .await?;

    // What must not be done twice is done once, within the same bounds.
    postgres.call_once(|_| db.insert(invoice)).await?;

    // Something less, instead of nothing: labelled, and counted.
    let answer = postgres
        .with_fallback(|_| Some(Invoice::last_known(id)))
        .call(|attempt| db.invoice(id, attempt.remaining()))
        .await?;
    // … to here

    assert_eq!(answer.into_value(), Invoice(id));
    Ok(())
}
