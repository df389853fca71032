//! The shop: an order and the record of its key are one transaction.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::{get, post};
use evenkeel::Context;
use evenkeel::idempotency::redb::RedbStore;
use evenkeel::idempotency::redis::RedisStore;
use evenkeel::idempotency::{Answer, Claim, Config, IdempotencyLayer};
use evenkeel::lifecycle::{Lifecycle, Phase, Report, Stop};
use evenkeel::retry::Failure;
use evenkeel::workers::{self, Workers};
use http::StatusCode;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// What was ordered, by the number of the order: the client's reference, and the article.
const ORDERS: TableDefinition<'_, u64, (&str, &str)> = TableDefinition::new("orders");
/// Orders that are to be shipped: written with the order, taken out with its shipment.
const TO_SHIP: TableDefinition<'_, u64, ()> = TableDefinition::new("to_ship");
/// Shipments: each with the number of its order.
const SHIPMENTS: TableDefinition<'_, u64, u64> = TableDefinition::new("shipments");

/// Enough to keep the disk busy; the transactions take turns anyway.
const SHIPPERS: usize = 2;

/// Shorter than a client waits; renewed three times as often.
const REDIS_LEASE: Duration = Duration::from_secs(2);

/// How often the shop looks for orders whose shipping nobody has taken on: those of a shop that was killed,
/// and those that found the shippers' queue full.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Shop {
    database: Arc<Database>,
    records: Records,
    shipping: Workers<u64>,
}

/// Where the idempotency records are.
#[derive(Clone)]
enum Records {
    /// Beside the orders: written in their transaction.
    Beside(RedbStore),
    /// In Redis, for several shops. An order is then found by its reference, in its own transaction.
    Elsewhere,
}

/// Opens the shop: answers its address, and what runs it until SIGTERM.
///
/// # Errors
/// The database cannot be opened, Redis does not answer, or the address is taken.
pub async fn open(
    path: &Path,
    listen: SocketAddr,
    redis: Option<&str>,
) -> Result<(SocketAddr, impl Future<Output = Report>)> {
    let database = Arc::new(Database::create(path).context("the shop's database")?);
    let records = RedbStore::in_database(database.clone())?;
    to_ship(&database)?;
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let mut terminate = signal(SignalKind::terminate())?;

    let (shipped, swept) = (database.clone(), database.clone());
    let shippers = NonZeroUsize::new(SHIPPERS).unwrap_or(NonZeroUsize::MIN);
    let shipping = Workers::start(
        workers::Config::new("shipping", shippers),
        move |_, order: Arc<u64>| {
            let database = shipped.clone();
            async move {
                let ship = move || ship(&database, *order).map_err(|error| format!("{error:#}"));
                tokio::task::spawn_blocking(ship)
                    .await
                    .map_err(|error| Failure::Transient(error.to_string()))?
                    .map_err(Failure::Transient)
            }
        },
    );
    let mut shop = Shop {
        database,
        records: Records::Beside(records.clone()),
        shipping: shipping.clone(),
    };
    let orders = post(order);
    let orders = match redis {
        None => orders.layer(IdempotencyLayer::new(records, keyed())),
        Some(url) => {
            shop.records = Records::Elsewhere;
            let records = RedisStore::connect(url, "orders:").await?;
            let mut config = keyed();
            // There nobody can know that a claim's shop was killed until its lease ends.
            config.terms.lease = REDIS_LEASE;
            orders.layer(IdempotencyLayer::new(records, config))
        }
    };
    let app = Router::new()
        .route("/orders", orders)
        .route("/orders", get(list))
        .with_state(shop);

    let run = async move {
        let life = Lifecycle::new();
        life.start(Phase::Server, "http", |stop| async move {
            // It ends when it is asked to, and its accept loop has no other end.
            let _ = axum::serve(listener, app)
                .with_graceful_shutdown(stop.draining())
                .await;
        });
        life.worker("sweeper", {
            let shipping = shipping.clone();
            move |stop| sweep(stop, swept.clone(), shipping.clone())
        });
        life.workers(&shipping);
        life.run_until(async move {
            terminate.recv().await;
        })
        .await
    };
    Ok((address, run))
}

fn keyed() -> Config {
    let mut config = Config::transactional();
    config.required = true;
    config
}

/// Takes an order: `REFERENCE ARTICLE`.
async fn order(
    State(shop): State<Shop>,
    Extension(claim): Extension<Claim>,
    ordered: String,
) -> Response {
    let (database, records) = (shop.database.clone(), shop.records.clone());
    let take = move || take(&database, &records, &claim, &ordered);
    let (number, answer) = match tokio::task::spawn_blocking(take).await {
        Ok(Ok(taken)) => taken,
        Ok(Err(_)) | Err(_) => {
            // Not committed: nothing was ordered.
            let mut failed = Response::new(Body::empty());
            *failed.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return failed;
        }
    };
    // It stands in the database: if the shippers have no room, or the shop is killed, it is found there.
    let _ = shop.shipping.try_submit(&Context::new(), number);
    answer.to_response()
}

/// The order, what is to be done for it, and the record of its key: all of it or nothing.
fn take(
    database: &Database,
    records: &Records,
    claim: &Claim,
    ordered: &str,
) -> Result<(u64, Answer)> {
    let (reference, article) = ordered.split_once(' ').context("REFERENCE ARTICLE")?;
    let transaction = database.begin_write()?;
    let number = {
        let mut orders = transaction.open_table(ORDERS)?;
        let known = match records {
            Records::Beside(_) => None,
            Records::Elsewhere => by_reference(&orders, reference)?,
        };
        match known {
            Some(number) => number,
            None => {
                let number = orders.last()?.map_or(1, |(last, _)| last.value() + 1);
                orders.insert(number, (reference, article))?;
                transaction.open_table(TO_SHIP)?.insert(number, ())?;
                number
            }
        }
    };
    let answer = Answer::new(StatusCode::CREATED, number.to_string());
    if let Records::Beside(records) = records {
        records.record(&transaction, claim, &answer)?;
    }
    transaction.commit()?;
    Ok((number, answer))
}

fn by_reference(
    orders: &impl ReadableTable<u64, (&'static str, &'static str)>,
    reference: &str,
) -> Result<Option<u64>> {
    for order in orders.iter()?.rev() {
        let (number, order) = order?;
        if order.value().0 == reference {
            return Ok(Some(number.value()));
        }
    }
    Ok(None)
}

fn ship(database: &Database, order: u64) -> Result<()> {
    let transaction = database.begin_write()?;
    // Done before, by an attempt that was killed after its commit: then there is nothing to do.
    if transaction.open_table(TO_SHIP)?.remove(order)?.is_some() {
        let mut shipments = transaction.open_table(SHIPMENTS)?;
        let number = shipments.last()?.map_or(1, |(last, _)| last.value() + 1);
        shipments.insert(number, order)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Hands the shippers whatever is to be shipped. One that they have already is shipped once all the same.
async fn sweep(stop: Stop, database: Arc<Database>, shipping: Workers<u64>) {
    while !stop.is_draining() {
        let database = database.clone();
        let waiting = tokio::task::spawn_blocking(move || to_ship(&database)).await;
        // A database that cannot be read now may be read the next time.
        for order in waiting.ok().and_then(Result::ok).unwrap_or_default() {
            if stop.is_draining() || shipping.submit(stop.context(), order).await.is_err() {
                return;
            }
        }
        stop.beat();
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = stop.draining() => {}
        }
    }
}

fn to_ship(database: &Database) -> Result<Vec<u64>> {
    let transaction = database.begin_write()?;
    let waiting = {
        transaction.open_table(ORDERS)?;
        transaction.open_table(SHIPMENTS)?;
        let waiting = transaction.open_table(TO_SHIP)?;
        let numbers = waiting.iter()?.map(|row| Ok(row?.0.value()));
        numbers.collect::<Result<Vec<_>>>()?
    };
    transaction.commit()?;
    Ok(waiting)
}

/// Every order, one a line: its number, how often it was shipped, and its reference.
async fn list(State(shop): State<Shop>) -> Result<String, StatusCode> {
    let listed = tokio::task::spawn_blocking(move || -> Result<String> {
        let transaction = shop.database.begin_read()?;
        let orders = transaction.open_table(ORDERS)?;
        let mut shipped = std::collections::BTreeMap::<u64, u32>::new();
        for shipment in transaction.open_table(SHIPMENTS)?.iter()? {
            *shipped.entry(shipment?.1.value()).or_default() += 1;
        }
        let mut lines = String::new();
        for order in orders.iter()? {
            let (number, order) = order?;
            let times = shipped.get(&number.value()).copied().unwrap_or_default();
            lines += &format!("{} {times} {}\n", number.value(), order.value().0);
        }
        Ok(lines)
    });
    match listed.await {
        Ok(Ok(lines)) => Ok(lines),
        Ok(Err(_)) | Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}
