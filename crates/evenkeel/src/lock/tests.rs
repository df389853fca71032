use std::sync::Arc;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn lock(name: &'static str) -> Lock<u32> {
    Lock::new(name, 50 * MS, 0)
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_locks_time_or_the_callers_and_says_who_holds_it() {
    let (lock, patient, hasty) = (lock("ledger"), Context::new(), Context::within(10 * MS));
    let held = lock.take(&patient).await.unwrap();
    tokio::time::advance(5 * MS).await;
    let refused = lock.take(&patient).await.unwrap_err();
    assert_eq!((refused.waited, refused.ended), (50 * MS, None));
    let said = refused.to_string();
    assert!(
        said.contains("lock `ledger` not had within 50ms; held for 5"),
        "{said}"
    );
    assert!(said.contains("tests.rs"), "{said}");
    let hasty = hasty.with_timeout(10 * MS);
    let refused = lock.take(&hasty).await.unwrap_err();
    assert_eq!(refused.ended, Some(Ended::DeadlineExceeded));
    drop(held);
    assert_eq!(lock.holder(), None);
    assert!(lock.take(&patient).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_who_leaves_takes_nobodys_turn() {
    let (lock, cx) = (lock("ledger"), Context::new());
    let held = lock.take(&cx).await.unwrap();
    let leaves = tokio::time::timeout(MS, lock.take(&cx));
    let stays = lock.take(&cx);
    let gives_back = async {
        tokio::time::sleep(2 * MS).await;
        drop(held);
    };
    let (left, stayed, ()) = tokio::join!(leaves, stays, gives_back);
    assert!(left.is_err() && stayed.is_ok());
}

#[tokio::test(start_paused = true)]
async fn many_who_take_several_in_any_order_all_get_them() {
    let locks: Arc<[Lock<u32>; 3]> = Arc::new(["a", "b", "c"].map(lock));
    let transfers: Vec<_> = (0..60_usize)
        .map(|number| {
            let locks = locks.clone();
            tokio::spawn(async move {
                let (from, to) = (&locks[number % 3], &locks[(number + 1) % 3]);
                let wanted = if number % 2 == 0 {
                    [from, to]
                } else {
                    [to, from]
                };
                let mut held = take_all(&Context::new(), Duration::from_secs(9), &wanted)
                    .await
                    .unwrap();
                tokio::time::sleep(MS).await;
                *held[0] += 1;
                *held[1] += 1;
            })
        })
        .collect();
    for transfer in transfers {
        transfer.await.unwrap();
    }
    let cx = Context::new();
    for lock in &*locks {
        assert_eq!(*lock.take(&cx).await.unwrap(), 40);
    }
}

#[tokio::test(start_paused = true)]
async fn if_one_of_several_cannot_be_had_none_is_kept() {
    let (one, two, cx) = (lock("one"), lock("two"), Context::new());
    let held = two.take(&cx).await.unwrap();
    let refused = take_all(&cx, 20 * MS, &[&one, &two]).await.unwrap_err();
    assert_eq!((&*refused.lock, refused.waited), ("two", 20 * MS));
    assert_eq!(one.holder(), None);
    drop(held);
    let twice = take_all(&cx, 20 * MS, &[&one, &one]).await.unwrap_err();
    assert_eq!(twice.lock, "one");
}

#[tokio::test(start_paused = true)]
async fn a_lock_held_past_its_holders_deadline_is_in_the_report() {
    let register = Register::new();
    let cx = Context::in_register(register.clone()).with_timeout(MS);
    let lock = lock("ledger");
    let held = lock.take(&cx).await.unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(register.overdue()[0].name, "ledger");
    drop(held);
    assert!(register.live().is_empty());
}
