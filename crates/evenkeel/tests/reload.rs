//! Bounds that change while calls are under way.
#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what it cannot go on without"
)]

use std::num::NonZeroU32;
use std::time::Duration;

use evenkeel::core::{bulkhead, policy::Config};
use evenkeel::{CallError, Clock, Dependency, Evenkeel};
use tokio::time::sleep;

fn slots(limit: u32) -> Config {
    let mut config = Config::new(Duration::from_secs(10));
    let mut slots = bulkhead::Config::new(NonZeroU32::new(limit).unwrap());
    slots.queue = 0;
    config.bulkhead = Some(slots);
    config
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_keeps_its_slot_and_every_handle_has_the_new_bounds() {
    let search = Dependency::with_clock("shop", "search", slots(1), Clock::runtime());
    let suggest = search.operation("suggest");
    let slow = suggest.clone();
    let slow = tokio::spawn(async move {
        let call = slow.call(|_| async {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, ()>("slow")
        });
        call.await.unwrap()
    });
    while search.snapshot().tally.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let quick = || suggest.call(|_| async { Ok::<_, ()>(()) });
    assert!(matches!(quick().await, Err(CallError::Rejected { .. })));
    search.reload(slots(2));
    assert!(quick().await.is_ok(), "one of two is free");
    suggest.reload(slots(1));
    assert!(matches!(quick().await, Err(CallError::Rejected { .. })));
    assert_eq!(slow.await.unwrap(), "slow");
    assert!(quick().await.is_ok());
    let snapshot = search.snapshot();
    assert_eq!(snapshot.bulkhead.unwrap().in_use, 0);
    assert_eq!(snapshot.operations[1].progress.succeeded, 3);
}

fn policy(dependencies: &str) -> evenkeel_policy::Policy {
    let text = format!("version: 1\nservice: shop\ndependencies: {{ {dependencies} }}\n");
    evenkeel_policy::parse("policy.yaml", &text).unwrap().policy
}

#[test]
fn a_changed_file_says_what_it_changed_and_handles_serve_it() {
    let before = policy("a: { deadline: 1s }, b: { deadline: 1s }, c: { deadline: 1s }");
    let evenkeel = Evenkeel::new(&before);
    let [a, c] = ["a", "c"].map(|name| evenkeel.dependency(name).unwrap());
    let changed = evenkeel.reload(&policy(
        "a: { deadline: 2s }, b: { deadline: 1s }, d: { deadline: 1s }",
    ));
    assert_eq!(changed.changed, ["a"]);
    assert_eq!(changed.added, ["d"]);
    assert_eq!(changed.removed, ["c"]);
    assert_eq!(a.config().deadline, Duration::from_secs(2));
    assert_eq!(
        c.config().deadline,
        Duration::from_secs(1),
        "its last bounds"
    );
    assert!(evenkeel.dependency("c").is_err() && evenkeel.dependency("d").is_ok());
}

#[test]
fn a_file_that_says_nonsense_changes_nothing() {
    let folder = std::env::temp_dir().join(format!("evenkeel-reload-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("policy.yaml");
    let write = |deadlines: [&str; 2]| {
        let [a, b] = deadlines;
        let text = format!(
            "version: 1\nservice: shop\ndependencies: {{ a: {{ deadline: {a} }}, b: {{ deadline: {b} }} }}\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write(["1s", "1s"]);
    let evenkeel = Evenkeel::from_path(&file).unwrap();
    let a = evenkeel.dependency("a").unwrap();
    write(["2s", "soon"]);
    let error = evenkeel.reload_from_path(&file).unwrap_err();
    assert!(error.to_string().contains("soon"), "{error}");
    assert_eq!(a.config().deadline, Duration::from_secs(1));
    write(["2s", "1s"]);
    assert_eq!(evenkeel.reload_from_path(&file).unwrap().changed, ["a"]);
    assert_eq!(a.config().deadline, Duration::from_secs(2));
    std::fs::remove_dir_all(&folder).unwrap();
}
