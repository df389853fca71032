use proptest::prelude::*;

use super::*;

fn waiter(tenant: u64, weight: u32, deadline: u64) -> Waiter {
    Waiter {
        since: Instant::ZERO,
        deadline: Instant::from_nanos(deadline),
        class: Criticality::Normal,
        tenant,
        weight,
        group: 0,
        cost: 1_000,
        waker: None,
    }
}

fn queue(window: usize) -> Queue {
    let mut queue = Queue::new();
    queue.set_plan(Plan {
        window,
        waiting: 12,
        ..Plan::UNKNOWN
    });
    queue
}

fn begin(queue: &mut Queue) -> Option<Waiter> {
    match queue.pop(Instant::ZERO, |_| true)? {
        Next::Begin(_, waiter) => Some(waiter),
        Next::TooLate(_, waiter) => panic!("{waiter:?} is in time"),
    }
}

fn deadlines(queue: &mut Queue) -> Vec<u64> {
    core::iter::from_fn(|| begin(queue).map(|waiter| waiter.deadline.as_nanos())).collect()
}

#[test]
fn the_newest_are_served_in_order_and_the_others_newest_first() {
    let mut queue = queue(3);
    for deadline in 1..=6 {
        queue.push(waiter(0, 1, deadline));
    }
    assert_eq!(deadlines(&mut queue), [4, 3, 2, 1, 5, 6]);
}

#[test]
fn within_the_window_the_earliest_deadline_is_first() {
    let mut queue = queue(10);
    for deadline in [30, 10, 20] {
        queue.push(waiter(0, 1, deadline));
    }
    assert_eq!(deadlines(&mut queue), [10, 20, 30]);
}

#[test]
fn turns_go_by_weight() {
    let mut queue = queue(1_000);
    for _ in 0..60 {
        queue.push(waiter(1, 1, 5));
        queue.push(waiter(2, 3, 5));
    }
    let served: Vec<_> = (0..40).filter_map(|_| begin(&mut queue)).collect();
    let of_two = served.iter().filter(|waiter| waiter.tenant == 2).count();
    assert!((29..=31).contains(&of_two), "{of_two} of 40");
}

#[test]
fn whoever_took_more_than_thought_waits_for_the_others() {
    let mut queue = queue(1_000);
    for _ in 0..40 {
        queue.push(waiter(1, 1, 5));
        queue.push(waiter(2, 1, 5));
    }
    let mut served = [0; 3];
    for _ in 0..40 {
        let waiter = begin(&mut queue).unwrap();
        served[usize::try_from(waiter.tenant).unwrap()] += 1;
        // The second tenant's requests take three times as long as was thought.
        let took = if waiter.tenant == 2 { 3_000 } else { 1_000 };
        queue.correct(Criticality::Normal, waiter.tenant, 1_000, took);
    }
    assert!((29..=31).contains(&served[1]), "{served:?}");
}

#[test]
fn a_tenant_that_had_nothing_waiting_may_make_up_for_a_burst_and_no_more() {
    let mut queue = queue(1_000);
    for _ in 0..200 {
        queue.push(waiter(1, 1, 5));
    }
    for _ in 0..100 {
        begin(&mut queue);
    }
    for _ in 0..100 {
        queue.push(waiter(2, 1, 5));
    }
    let served: Vec<_> = (0..100)
        .map(|_| begin(&mut queue).unwrap().tenant)
        .collect();
    let ahead = served.iter().take_while(|tenant| **tenant == 2).count() as u64;
    assert!(ahead.abs_diff(CREDIT) <= 2, "{ahead}");
    let of_two = served[20..].iter().filter(|tenant| **tenant == 2).count();
    assert!(of_two.abs_diff(40) <= 1, "{of_two} of 80");
}

#[test]
fn who_does_not_fit_is_the_oldest_of_the_longest_queue_for_its_weight() {
    let mut queue = queue(2);
    for deadline in 0..6 {
        queue.push(waiter(1, 1, 100 + deadline));
    }
    for deadline in 0..8 {
        queue.push(waiter(2, 4, 200 + deadline));
    }
    // Twelve may wait.
    let refused: Vec<_> = core::iter::from_fn(|| queue.pop_excess())
        .map(|(_, waiter)| waiter.deadline.as_nanos())
        .collect();
    assert_eq!(refused, [100, 101]);
}

#[test]
fn what_is_remembered_of_tenants_is_bounded() {
    let mut queue = queue(1_000);
    for tenant in 0..100_000 {
        queue.push(waiter(tenant, 1, 5));
        begin(&mut queue);
    }
    let remembered = queue.classes[Criticality::Normal.index()].flows.len();
    assert!(remembered <= IDLE_FLOWS + 1, "{remembered}");
}

proptest! {
    /// Against a list: whoever is pushed comes out once, in whatever way.
    #[test]
    fn everybody_leaves_once(
        moves in proptest::collection::vec((0..4_u8, 0..3_u64, 1..4_u32, 1..50_u64), 1..200),
        window in 1..8_usize,
    ) {
        let mut queue = queue(window);
        let mut inside = BTreeSet::new();
        for (what, tenant, weight, deadline) in moves {
            match what {
                0 | 1 => {
                    let mut waiter = waiter(tenant, weight, deadline);
                    waiter.class = Criticality::ALL[usize::try_from(deadline % 5).unwrap()];
                    prop_assert!(inside.insert(queue.push(waiter)));
                }
                2 => match queue.pop(Instant::from_nanos(20), |_| true) {
                    Some(Next::Begin(id, waiter)) => {
                        prop_assert!(inside.remove(&id) && waiter.deadline.as_nanos() > 20);
                    }
                    Some(Next::TooLate(id, waiter)) => {
                        prop_assert!(inside.remove(&id) && waiter.deadline.as_nanos() <= 20);
                    }
                    None => prop_assert!(inside.is_empty()),
                },
                _ => if let Some(id) = inside.pop_first() {
                    prop_assert!(queue.remove(id).is_some());
                    prop_assert!(queue.remove(id).is_none());
                },
            }
            prop_assert_eq!(queue.len(), inside.len());
            let waiting: usize = queue.classes.iter().map(|class| class.waiting).sum();
            prop_assert_eq!(waiting, inside.len());
            for class in &queue.classes {
                let lengths: usize = class.flows.values().map(Flow::len).sum();
                prop_assert_eq!(lengths, class.waiting);
                let weights: u64 = class.flows.values().filter(|flow| flow.len() > 0)
                    .map(|flow| u64::from(flow.weight)).sum();
                prop_assert_eq!(weights, class.weight);
            }
        }
    }
}
