use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::memory::MemoryStore;
use super::*;

type Body = Full<Bytes>;

fn order(key: &str, body: &str) -> Request<Body> {
    let order = Request::post("/orders").header("idempotency-key", key);
    order.body(Body::from(body.to_owned())).unwrap()
}

async fn text(response: Response<AnswerBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A service that answers with `status`, and how often it was called.
fn counting(
    config: Config,
    status: StatusCode,
) -> (
    impl Service<Request<Body>, Response = Response<AnswerBody>, Error = Infallible, Future: Send>
    + Clone
    + Send,
    Arc<AtomicU32>,
) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let handler = service_fn(move |_: Request<Body>| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let mut response = Response::new(Body::from(format!("order {number}")));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert("location", "/orders/1".parse().unwrap());
            response
                .headers_mut()
                .insert("x-request-cost", "7".parse().unwrap());
            Ok::<_, Infallible>(response)
        }
    });
    let layer = IdempotencyLayer::new(MemoryStore::new(), config);
    (layer.layer(handler), calls)
}

#[tokio::test]
async fn the_memory_engine_conforms() {
    conformance::holds(MemoryStore::new()).await;
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn the_redb_engine_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::holds(redb::RedbStore::open(folder.path().join("keys.redb")).unwrap()).await;
}

#[tokio::test]
async fn a_second_request_gets_the_first_ones_answer_marked() {
    let (service, calls) = counting(Config::default(), StatusCode::CREATED);
    let first = service.clone().oneshot(order("o-1", "{}")).await.unwrap();
    assert!(!first.headers().contains_key("idempotent-replayed"));
    assert_eq!(text(first).await, "order 1");
    let second = service
        .clone()
        .oneshot(order("\"o-1\"", "{}"))
        .await
        .unwrap();
    assert_eq!(second.status(), StatusCode::CREATED);
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(second.headers()["location"], "/orders/1");
    assert!(
        !second.headers().contains_key("x-request-cost"),
        "only what is listed is kept"
    );
    assert_eq!(text(second).await, "order 1");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_of_a_hundred_duplicates_is_done_and_all_get_its_answer() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let handler = service_fn(move |_: Request<Body>| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Ok::<_, Infallible>(Response::new(Body::from(format!("order {number}"))))
        }
    });
    let service = IdempotencyLayer::new(MemoryStore::new(), Config::default()).layer(handler);
    let duplicates: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(order("o-1", "{}"))))
        .collect();
    let mut replayed = 0;
    for duplicate in duplicates {
        let response = duplicate.await.unwrap().unwrap();
        replayed += u32::from(response.headers().contains_key("idempotent-replayed"));
        assert_eq!(text(response).await, "order 1");
    }
    assert_eq!((calls.load(Ordering::SeqCst), replayed), (1, 99));
}

#[tokio::test]
async fn a_key_with_another_request_is_a_mistake() {
    let (service, calls) = counting(Config::default(), StatusCode::CREATED);
    service
        .clone()
        .oneshot(order("o-1", "{\"cents\":1}"))
        .await
        .unwrap();
    let other = service
        .clone()
        .oneshot(order("o-1", "{\"cents\":2}"))
        .await
        .unwrap();
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.headers()["content-type"], "application/problem+json");
    assert!(
        text(other)
            .await
            .contains("\"reason\":\"idempotency_key_reused\"")
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_callers_key_does_not_find_anothers_answer() {
    let (service, calls) = counting(Config::default(), StatusCode::CREATED);
    for credential in ["Bearer alice", "Bearer bob"] {
        let mut order = order("o-1", "{}");
        order
            .headers_mut()
            .insert("authorization", credential.parse().unwrap());
        let response = service.clone().oneshot(order).await.unwrap();
        assert!(!response.headers().contains_key("idempotent-replayed"));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn keys_are_asked_for_where_they_are_required_and_only_where_they_matter() {
    let config = Config {
        required: true,
        ..Config::default()
    };
    let (service, calls) = counting(config, StatusCode::OK);
    let without = Request::post("/orders").body(Body::default()).unwrap();
    let refused = service.clone().oneshot(without).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let read = Request::get("/orders").body(Body::default()).unwrap();
    assert_eq!(
        service.clone().oneshot(read).await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn answers_that_say_not_now_are_not_kept_and_5xx_leave_doubt() {
    for (status, calls_made, second) in [
        (StatusCode::BAD_REQUEST, 1, StatusCode::BAD_REQUEST),
        (StatusCode::NOT_FOUND, 1, StatusCode::NOT_FOUND),
        (StatusCode::REQUEST_TIMEOUT, 2, StatusCode::REQUEST_TIMEOUT),
        (
            StatusCode::TOO_MANY_REQUESTS,
            2,
            StatusCode::TOO_MANY_REQUESTS,
        ),
        (StatusCode::CONFLICT, 2, StatusCode::CONFLICT),
        (StatusCode::TOO_EARLY, 2, StatusCode::TOO_EARLY),
        (StatusCode::INTERNAL_SERVER_ERROR, 1, StatusCode::CONFLICT),
    ] {
        let (service, calls) = counting(Config::default(), status);
        service.clone().oneshot(order("o-1", "")).await.unwrap();
        let again = service.clone().oneshot(order("o-1", "")).await.unwrap();
        assert_eq!(again.status(), second, "{status}");
        assert_eq!(calls.load(Ordering::SeqCst), calls_made, "{status}");
    }
}

#[tokio::test]
async fn what_a_failure_means_is_the_services_choice() {
    for (on_unknown, calls_made, second) in [
        (OnUnknown::Hold, 1, StatusCode::CONFLICT),
        (OnUnknown::Release, 2, StatusCode::BAD_GATEWAY),
        (OnUnknown::Replay, 1, StatusCode::BAD_GATEWAY),
    ] {
        let config = Config {
            on_unknown,
            ..Config::default()
        };
        let (service, calls) = counting(config, StatusCode::BAD_GATEWAY);
        service.clone().oneshot(order("o-1", "")).await.unwrap();
        let again = service.clone().oneshot(order("o-1", "")).await.unwrap();
        assert_eq!(again.status(), second, "{on_unknown:?}");
        assert_eq!(calls.load(Ordering::SeqCst), calls_made, "{on_unknown:?}");
    }
}

#[tokio::test]
async fn a_panic_leaves_doubt_and_no_second_time() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let handler = service_fn(move |_: Request<Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { panic!("on purpose") as Result<Response<Body>, Infallible> }
    });
    let service = IdempotencyLayer::new(MemoryStore::new(), Config::default()).layer(handler);
    for _ in 0..2 {
        let told = service.clone().oneshot(order("o-1", "")).await.unwrap();
        assert_eq!(told.status(), StatusCode::CONFLICT);
        assert!(text(told).await.contains("\"reason\":\"in_doubt\""));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_who_hangs_up_does_not_leave_the_work_half_done() {
    let (go, done) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (gate, finished) = (go.clone(), done.clone());
    let handler = service_fn(move |_: Request<Body>| {
        let (gate, finished) = (gate.clone(), finished.clone());
        async move {
            gate.notified().await;
            finished.store(true, Ordering::SeqCst);
            Ok::<_, Infallible>(Response::new(Body::from("order 1")))
        }
    });
    let service = IdempotencyLayer::new(MemoryStore::new(), Config::default()).layer(handler);
    let hung_up = service.clone().oneshot(order("o-1", ""));
    assert!(
        tokio::time::timeout(Duration::from_millis(10), hung_up)
            .await
            .is_err()
    );
    go.notify_one();
    let again = service.clone().oneshot(order("o-1", "")).await.unwrap();
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(again.headers()["idempotent-replayed"], "true");
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_a_little_and_is_told_when_to_come_back() {
    let handler = service_fn(|_: Request<Body>| async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        Ok::<_, Infallible>(Response::new(Body::from("at last")))
    });
    let service = IdempotencyLayer::new(MemoryStore::new(), Config::default()).layer(handler);
    let first = tokio::spawn(service.clone().oneshot(order("o-1", "")));
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    let told = service.clone().oneshot(order("o-1", "")).await.unwrap();
    assert_eq!(told.status(), StatusCode::CONFLICT);
    assert_eq!(told.headers()["retry-after"], "5");
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(
        text(first.await.unwrap().unwrap()).await,
        "at last",
        "its lease was renewed"
    );
    let again = service.clone().oneshot(order("o-1", "")).await.unwrap();
    assert_eq!(text(again).await, "at last");
}

#[tokio::test]
async fn an_answer_too_large_to_keep_is_given_once_whole() {
    let config = Config {
        max_answer: 10,
        ..Config::default()
    };
    let handler = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::from("x".repeat(11))))
    });
    let service = IdempotencyLayer::new(MemoryStore::new(), config).layer(handler);
    let first = service.clone().oneshot(order("o-1", "")).await.unwrap();
    assert_eq!(text(first).await.len(), 11);
    let again = service.clone().oneshot(order("o-1", "")).await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert!(text(again).await.contains("it was done, with status 200"));
}

#[tokio::test]
async fn a_request_too_large_to_compare_is_refused() {
    let config = Config {
        max_request: 10,
        ..Config::default()
    };
    let (service, calls) = counting(config, StatusCode::OK);
    let refused = service
        .clone()
        .oneshot(order("o-1", "eleven byte"))
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_store_that_is_full_refuses_rather_than_forgets() {
    let handler = service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::from("done")))
    });
    for (open, expected) in [
        (false, StatusCode::SERVICE_UNAVAILABLE),
        (true, StatusCode::OK),
    ] {
        let config = Config {
            open_when_store_is_down: open,
            ..Config::default()
        };
        let service = IdempotencyLayer::new(MemoryStore::at_most(1), config).layer(handler);
        service.clone().oneshot(order("o-1", "")).await.unwrap();
        let other = service.clone().oneshot(order("o-2", "")).await.unwrap();
        assert_eq!(other.status(), expected);
        let replayed = service.clone().oneshot(order("o-1", "")).await.unwrap();
        assert!(replayed.headers().contains_key("idempotent-replayed"));
    }
}

#[cfg(feature = "redb")]
mod in_one_transaction {
    use ::redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};

    use super::redb::RedbStore;
    use super::*;

    const ORDERS: TableDefinition<'_, u64, &str> = TableDefinition::new("orders");

    #[tokio::test]
    async fn work_and_record_become_true_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::create(folder.path().join("shop.redb")).unwrap());
        let store = RedbStore::in_database(database.clone()).unwrap();
        let fails = Arc::new(AtomicBool::new(true));
        let (shop, records, failing) = (database.clone(), store.clone(), fails.clone());
        let handler = service_fn(move |request: Request<Body>| {
            let claim = request.extensions().get::<Claim>().cloned().unwrap();
            let (shop, records, failing) = (shop.clone(), records.clone(), failing.clone());
            async move {
                let transaction = shop.begin_write().unwrap();
                transaction
                    .open_table(ORDERS)
                    .unwrap()
                    .insert(1, "a book")
                    .unwrap();
                let answer = Answer::new(StatusCode::CREATED, "order 1");
                records.record(&transaction, &claim, &answer).unwrap();
                if failing.swap(false, Ordering::SeqCst) {
                    // Not committed: neither the order nor its record exists.
                    let mut failed = Response::new(Body::default());
                    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    return Ok::<_, Infallible>(failed);
                }
                transaction.commit().unwrap();
                panic!("after the commit, before the answer")
            }
        });
        let service = IdempotencyLayer::new(store, Config::transactional()).layer(handler);
        let first = service.clone().oneshot(order("o-1", "")).await.unwrap();
        assert_eq!(first.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let second = service.clone().oneshot(order("o-1", "")).await.unwrap();
        assert_eq!(
            second.status(),
            StatusCode::CONFLICT,
            "its owner has no answer to give"
        );
        let third = service.clone().oneshot(order("o-1", "")).await.unwrap();
        assert_eq!(text(third).await, "order 1", "and the record has");
        let read = database.begin_read().unwrap();
        assert_eq!(read.open_table(ORDERS).unwrap().len().unwrap(), 1);
    }

    #[tokio::test]
    async fn expired_records_leave_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(folder.path().join("keys.redb")).unwrap();
        let terms = Terms {
            ttl: Duration::ZERO,
            ..Terms::default()
        };
        for number in 0..50_u32 {
            let place = Place::of(&[&number.to_be_bytes()]);
            let request = Fingerprint::of(&[]);
            store.begin(place, request, &terms).await.unwrap();
        }
        let left = store.count().unwrap();
        assert!(left <= 2, "{left} records of 50 that have expired");
    }

    #[tokio::test]
    async fn who_lost_the_claim_cannot_commit_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::create(folder.path().join("shop.redb")).unwrap());
        let store = RedbStore::in_database(database.clone()).unwrap();
        let mut terms = Terms::default();
        (terms.lease, terms.recovery) = (Duration::ZERO, Recovery::RunAgain);
        let (place, request) = (Place::of(&[b"o-1"]), Fingerprint::of(&[b"{}"]));
        let mut claims = Vec::new();
        for _ in 0..2 {
            match store.begin(place, request, &terms).await.unwrap() {
                Begun::New(claim) => claims.push(claim),
                other => panic!("{other:?}"),
            }
        }
        let answer = Answer::new(StatusCode::CREATED, "order 1");
        let transaction = database.begin_write().unwrap();
        assert!(store.record(&transaction, &claims[0], &answer).is_err());
        store.record(&transaction, &claims[1], &answer).unwrap();
    }
}
