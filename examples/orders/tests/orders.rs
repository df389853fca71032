//! The shorter form of `cargo run --release -p evenkeel-orders -- drive`.

use std::path::Path;

use evenkeel_orders::drive::{Plan, drive};

#[tokio::test]
async fn no_order_is_lost_or_taken_twice_when_connections_are_cut_and_the_shop_is_killed() {
    let shop = Path::new(env!("CARGO_BIN_EXE_orders"));
    let plan = Plan {
        orders: 120,
        cuts: 18,
        kills: 3,
    };
    let tally = drive(shop, plan).await.unwrap();
    assert!(tally.holds(), "{tally}");
    assert_eq!((tally.cuts, tally.kills), ([6, 6, 6], 3));
    assert!(tally.attempts >= 120 + 18, "{tally}");
}
