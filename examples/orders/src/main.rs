//! `orders serve` is the shop; `orders drive` starts one, cuts its clients' connections, kills it, and
//! counts.

#![expect(
    clippy::print_stdout,
    reason = "it is a program, and this is its answer"
)]

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use evenkeel_orders::drive::{Plan, drive};
use evenkeel_orders::shop;

/// A shop that takes no order twice and loses none.
#[derive(Parser)]
enum Command {
    /// Takes orders until SIGTERM. Says `listening on ADDRESS` when it does.
    Serve {
        /// The shop's database; it is made if it is not there.
        #[arg(long)]
        database: PathBuf,
        /// Where to listen; port 0 is any that is free.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Keeps the idempotency records there instead of in the database.
        #[arg(long, env = "REDIS_URL")]
        redis: Option<String>,
    },
    /// Starts a shop and orders from it, through connections that are cut and a shop that is killed.
    Drive {
        /// Orders, each of which is to be taken once.
        #[arg(long, default_value_t = 1000)]
        orders: u32,
        /// Connections that are cut: a third before anything is sent, a third after, a third after the shop
        /// has committed and before its answer arrives.
        #[arg(long, default_value_t = 60)]
        cuts: u32,
        /// Times that the shop is killed with SIGKILL.
        #[arg(long, default_value_t = 10)]
        kills: u32,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Command::parse() {
        Command::Serve {
            database,
            listen,
            redis,
        } => {
            let (address, run) = shop::open(&database, listen, redis.as_deref()).await?;
            println!("listening on {address}");
            let report = run.await;
            println!("{report}");
            ensure!(report.is_clean(), "the shop did not end cleanly");
            Ok(())
        }
        Command::Drive {
            orders,
            cuts,
            kills,
        } => {
            let shop = std::env::current_exe()?;
            let tally = drive(
                &shop,
                Plan {
                    orders,
                    cuts,
                    kills,
                },
            )
            .await?;
            println!("{tally}");
            ensure!(tally.holds(), "an order was lost or taken twice");
            Ok(())
        }
    }
}
