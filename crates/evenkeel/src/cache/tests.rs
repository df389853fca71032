use std::sync::atomic::AtomicU32;

use super::*;

const S: Duration = Duration::from_secs(1);

type Prices = Cache<u32, u32, &'static str>;

/// Fresh for a minute, stale for an hour, one attempt a filling.
fn prices() -> Prices {
    let mut config = Config::new(100, 60 * S);
    config.stale_for = 3600 * S;
    config.retry = evenkeel_core::retry::Config::new(std::num::NonZeroU32::MIN);
    Cache::new("prices", config)
}

fn down() -> impl Future<Output = Result<u32, Failure<&'static str>>> + Send + 'static {
    std::future::ready(Err(Failure::Transient("down")))
}

#[tokio::test(start_paused = true)]
async fn a_fresh_value_answers_without_a_question() {
    let (prices, cx) = (prices(), Context::new());
    let filled = prices.get(&cx, 7, || async { Ok(700) }).await;
    assert_eq!(filled, Ok(Cached::Fresh(700)));
    tokio::time::advance(60 * S).await;
    assert_eq!(prices.get(&cx, 7, down).await, Ok(Cached::Fresh(700)));
}

#[tokio::test(start_paused = true)]
async fn an_expired_value_is_filled_once_for_all() {
    let (prices, cx, asked) = (prices(), Context::new(), Arc::new(AtomicU32::new(0)));
    let get = || {
        let asked = asked.clone();
        prices.get(&cx, 7, move || {
            let asked = asked.clone();
            async move {
                tokio::time::sleep(S).await;
                Ok(asked.fetch_add(1, Ordering::Relaxed))
            }
        })
    };
    let answers = tokio::join!(get(), get(), get());
    assert_eq!(
        answers,
        (
            Ok(Cached::Fresh(0)),
            Ok(Cached::Fresh(0)),
            Ok(Cached::Fresh(0))
        )
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_value_answers_while_filling_fails_and_says_so() {
    let (prices, cx) = (prices(), Context::new());
    prices.get(&cx, 7, || async { Ok(700) }).await.unwrap();
    tokio::time::advance(61 * S).await;
    let stale = prices.get(&cx, 7, down).await;
    assert_eq!(
        stale,
        Ok(Cached::Stale {
            value: 700,
            age: 61 * S
        })
    );
    assert_eq!(prices.stale(), 1);
    tokio::time::advance(3600 * S).await;
    assert!(prices.get(&cx, 7, down).await.is_err(), "not for ever");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_is_left_alone_for_longer_and_longer() {
    let (prices, cx, asked) = (prices(), Context::new(), Arc::new(AtomicU32::new(0)));
    // Somebody asks every 100 ms for ten minutes.
    for _ in 0..6000 {
        let asked = asked.clone();
        let answer = prices.get(&cx, 7, move || {
            asked.fetch_add(1, Ordering::Relaxed);
            down()
        });
        assert!(answer.await.is_err());
        tokio::time::advance(S / 10).await;
    }
    let asked = asked.load(Ordering::Relaxed);
    assert!(
        (10..60).contains(&asked),
        "{asked} questions in ten minutes"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_works_again_is_forgiven() {
    let (prices, cx) = (prices(), Context::new());
    let error = prices.get(&cx, 7, down).await.unwrap_err();
    assert!(matches!(error, Error::Fill(_)));
    let left_alone = prices.get(&cx, 7, || async { Ok(1) }).await.unwrap_err();
    let Error::LeftAlone { retry_after } = left_alone else {
        panic!("{left_alone}")
    };
    tokio::time::advance(retry_after).await;
    assert_eq!(
        prices.get(&cx, 7, || async { Ok(1) }).await,
        Ok(Cached::Fresh(1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_any_more_is_not_hidden_behind_an_old_value() {
    let (prices, cx) = (prices(), Context::new());
    prices.get(&cx, 7, || async { Ok(700) }).await.unwrap();
    tokio::time::advance(61 * S).await;
    let gone = || std::future::ready(Err(Failure::Permanent("no such article")));
    assert!(prices.get(&cx, 7, gone).await.unwrap_err().is_permanent());
    assert!(
        prices.get(&cx, 7, down).await.is_err(),
        "the old value is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_invalidated_while_it_was_fetched_is_fetched_again() {
    let (prices, cx) = (prices(), Context::new());
    let slow = prices.get(&cx, 7, || async {
        tokio::time::sleep(S).await;
        Ok(1)
    });
    let new = async {
        prices.invalidate(&7);
        prices.get(&cx, 7, || async { Ok(2) }).await
    };
    let (old, new) = tokio::join!(slow, new);
    assert_eq!((old, new), (Ok(Cached::Fresh(1)), Ok(Cached::Fresh(2))));
    let kept = prices.get(&cx, 7, || async { Ok(3) }).await;
    assert_ne!(
        kept,
        Ok(Cached::Fresh(1)),
        "what is known to be wrong is not kept"
    );
}
