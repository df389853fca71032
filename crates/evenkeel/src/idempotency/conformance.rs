//! What every engine does, on the same trace.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::*;

const PLACE: Place = Place([7; 32]);

fn request(number: u8) -> Fingerprint {
    Fingerprint([number; 32])
}

fn terms() -> Terms {
    Terms::default()
}

fn answer(text: &'static str) -> Answer {
    Answer::new(StatusCode::CREATED, text).header("location", "/orders/7")
}

async fn claim(store: &impl Store, place: Place, terms: &Terms) -> Claim {
    match store.begin(place, request(1), terms).await.unwrap() {
        Begun::New(claim) => claim,
        other => panic!("{other:?}"),
    }
}

fn place(number: u32) -> Place {
    Place::of(&[b"conformance", &number.to_be_bytes()])
}

/// Runs the suite on an empty store.
pub(crate) async fn holds<S: Store>(store: S) {
    let store = Arc::new(store);
    an_answer_is_replayed_and_a_mistake_is_told_apart(&*store).await;
    one_of_a_hundred_claims(Arc::clone(&store)).await;
    what_was_abandoned_is_free_and_what_is_in_doubt_stays(&*store).await;
    a_lease_that_ends_without_a_word_leaves_doubt(&*store).await;
    who_lost_its_claim_changes_nothing(&*store).await;
    an_answer_is_not_unsaid(&*store).await;
    records_expire(&*store).await;
}

async fn an_answer_is_replayed_and_a_mistake_is_told_apart(store: &impl Store) {
    let claim = claim(store, PLACE, &terms()).await;
    let flying = store.begin(PLACE, request(1), &terms()).await.unwrap();
    let Begun::InFlight { lease_left } = flying else {
        panic!("{flying:?}")
    };
    assert!(lease_left <= Duration::from_secs(60) && lease_left > Duration::from_secs(50));
    assert!(store.is_in_flight(PLACE).await.unwrap());
    let other = store.begin(PLACE, request(2), &terms()).await.unwrap();
    assert_eq!(
        other,
        Begun::Mismatch,
        "a mistake is told at once, not to wait"
    );

    assert!(store.finish(&claim, &answer("done")).await.unwrap());
    assert!(!store.is_in_flight(PLACE).await.unwrap());
    let again = store.begin(PLACE, request(1), &terms()).await.unwrap();
    assert_eq!(again, Begun::Replay(answer("done")));
    let other = store.begin(PLACE, request(2), &terms()).await.unwrap();
    assert_eq!(other, Begun::Mismatch);
    let elsewhere = store.begin(place(1), request(2), &terms()).await.unwrap();
    assert!(
        matches!(elsewhere, Begun::New(_)),
        "another place is another key"
    );
}

async fn one_of_a_hundred_claims<S: Store>(store: Arc<S>) {
    let claims: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.begin(place(2), request(1), &terms()).await.unwrap() })
        })
        .collect();
    let (mut new, mut flying) = (0, 0);
    for claim in claims {
        match claim.await.unwrap() {
            Begun::New(_) => new += 1,
            Begun::InFlight { .. } => flying += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, flying), (1, 99));
}

async fn what_was_abandoned_is_free_and_what_is_in_doubt_stays(store: &impl Store) {
    let first = claim(store, place(3), &terms()).await;
    store.abandon(&first).await.unwrap();
    let second = claim(store, place(3), &terms()).await;
    store.doubt(&second).await.unwrap();
    let third = store.begin(place(3), request(1), &terms()).await.unwrap();
    assert_eq!(third, Begun::InDoubt);
    let mut again = terms();
    again.recovery = Recovery::RunAgain;
    claim(store, place(3), &again).await;
}

async fn a_lease_that_ends_without_a_word_leaves_doubt(store: &impl Store) {
    let mut short = terms();
    short.lease = Duration::from_millis(100);
    let held = claim(store, place(4), &short).await;
    assert!(store.renew(&held).await.unwrap());
    // Redis keeps its own time, so the end is waited for, not computed.
    while store.is_in_flight(place(4)).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let late = store.begin(place(4), request(1), &short).await.unwrap();
    assert_eq!(late, Begun::InDoubt);
    // It was alive after all, only slow; nobody took over, so its word counts.
    assert!(store.finish(&held, &answer("late")).await.unwrap());
    let replayed = store.begin(place(4), request(1), &short).await.unwrap();
    assert_eq!(replayed, Begun::Replay(answer("late")));
}

async fn who_lost_its_claim_changes_nothing(store: &impl Store) {
    let mut short = terms();
    (short.lease, short.recovery) = (Duration::from_millis(1), Recovery::RunAgain);
    let slow = claim(store, place(5), &short).await;
    while store.is_in_flight(place(5)).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut heirs = terms();
    heirs.recovery = Recovery::RunAgain;
    let heir = claim(store, place(5), &heirs).await;
    assert!(
        !store
            .finish(&slow, &answer("from the grave"))
            .await
            .unwrap()
    );
    assert!(!store.renew(&slow).await.unwrap());
    store.abandon(&slow).await.unwrap();
    store.doubt(&slow).await.unwrap();
    assert!(
        store.is_in_flight(place(5)).await.unwrap(),
        "the heir's claim holds"
    );
    assert!(store.finish(&heir, &answer("done")).await.unwrap());
}

async fn an_answer_is_not_unsaid(store: &impl Store) {
    let claim = claim(store, place(6), &terms()).await;
    assert!(store.finish(&claim, &answer("done")).await.unwrap());
    store.abandon(&claim).await.unwrap();
    store.doubt(&claim).await.unwrap();
    assert!(store.finish(&claim, &answer("done again")).await.unwrap());
    let said = store.begin(place(6), request(1), &terms()).await.unwrap();
    assert_eq!(said, Begun::Replay(answer("done")));
}

async fn records_expire(store: &impl Store) {
    let mut brief = terms();
    brief.ttl = Duration::from_millis(100);
    let held = claim(store, place(7), &brief).await;
    assert!(store.finish(&held, &answer("done")).await.unwrap());
    while store.begin(place(7), request(1), &brief).await.unwrap() == Begun::Replay(answer("done"))
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
