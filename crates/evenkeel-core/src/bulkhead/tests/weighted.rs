//! Several slots at once, and another number of them.

use super::*;

fn slots(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

#[test]
fn a_heavy_caller_is_not_overtaken_by_light_ones() {
    let bulkhead = bulkhead(3, 3);
    let held = bulkhead.try_acquire_many(slots(2)).unwrap();
    let mut heavy = bulkhead.enqueue_many(slots(2), at(0)).unwrap();
    let mut light = bulkhead.enqueue(at(0)).unwrap();
    assert!(bulkhead.try_acquire().is_err(), "although one slot is free");
    assert!(light.try_fetch().is_none());
    drop(held);
    assert_eq!(heavy.try_fetch().map(|permit| permit.weight()), Some(2));
    assert!(light.try_fetch().is_some());
}

#[test]
fn a_heavy_caller_who_leaves_lets_the_light_ones_behind_it_pass() {
    let bulkhead = bulkhead(3, 3);
    let _held = bulkhead.try_acquire_many(slots(2)).unwrap();
    let heavy = bulkhead.enqueue_many(slots(2), at(0)).unwrap();
    let mut light = bulkhead.enqueue(at(0)).unwrap();
    let bell = Arc::new(Bell::default());
    light.wake_by(&Waker::from(bell.clone()));
    drop(heavy);
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    assert!(light.try_fetch().is_some());
}

#[test]
fn one_permit_given_back_serves_all_for_whom_there_is_room() {
    let bulkhead = bulkhead(4, 4);
    let held = bulkhead.try_acquire_many(slots(4)).unwrap();
    let mut tickets: Vec<_> = (0..4).map(|_| bulkhead.enqueue(at(0)).unwrap()).collect();
    drop(held);
    assert!(
        tickets
            .iter_mut()
            .all(|ticket| ticket.try_fetch().is_some())
    );
}

#[test]
fn a_caller_that_wants_more_slots_than_there_are_is_told_so_at_once() {
    let bulkhead = bulkhead(3, 3);
    for refused in [
        bulkhead.try_acquire_many(slots(4)).map(drop),
        bulkhead.enqueue_many(slots(4), at(0)).map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.reason, Reason::ExceedsLimit);
        assert_eq!(refused.to_string(), "asks for more slots than there are");
    }
    assert_eq!(bulkhead.snapshot(at(0)).waiting, 0);
}

#[test]
fn growing_serves_those_who_wait_in_order() {
    let bulkhead = bulkhead(1, 3);
    let _held = bulkhead.try_acquire().unwrap();
    let mut tickets: Vec<_> = (0..3).map(|_| bulkhead.enqueue(at(0)).unwrap()).collect();
    let bells: Vec<_> = (0..3).map(|_| Arc::new(Bell::default())).collect();
    for (ticket, bell) in tickets.iter_mut().zip(&bells) {
        ticket.wake_by(&Waker::from(bell.clone()));
    }
    bulkhead.resize(slots(3));
    let rung: Vec<_> = bells
        .iter()
        .map(|bell| bell.0.load(Ordering::Relaxed))
        .collect();
    assert_eq!(rung, [1, 1, 0]);
    assert!(tickets[0].try_fetch().is_some());
}

#[test]
fn shrinking_takes_nothing_away_and_admits_nobody_until_enough_is_given_back() {
    let bulkhead = bulkhead(3, 0);
    let mut held: Vec<_> = (0..3).map(|_| bulkhead.try_acquire().unwrap()).collect();
    bulkhead.resize(slots(1));
    assert_eq!(bulkhead.snapshot(at(0)).in_use, 3);
    for _ in 0..2 {
        held.pop();
        assert!(bulkhead.try_acquire().is_err());
    }
    held.pop();
    assert!(bulkhead.try_acquire().is_ok());
}

#[test]
fn a_waiter_who_wants_more_than_a_shrinking_left_is_served_when_all_is_free() {
    let bulkhead = bulkhead(3, 2);
    let held = bulkhead.try_acquire().unwrap();
    let mut heavy = bulkhead.enqueue_many(slots(3), at(0)).unwrap();
    bulkhead.resize(slots(2));
    assert!(heavy.try_fetch().is_none());
    drop(held);
    let heavy = heavy.try_fetch().unwrap();
    assert_eq!(bulkhead.snapshot(at(0)).in_use, 3);
    assert!(bulkhead.try_acquire().is_err());
    drop(heavy);
    assert!(bulkhead.try_acquire_many(slots(2)).is_ok());
}

#[test]
fn a_successor_keeps_what_is_held_and_who_waits() {
    let old = bulkhead(1, 2);
    let held = old.try_acquire().unwrap();
    let mut ticket = old.enqueue(at(0)).unwrap();
    let mut config = Config::new(slots(2));
    config.queue = 0;
    let new = old.successor(config);
    let fetched = ticket.try_fetch().expect("the second slot is the waiter's");
    assert_eq!(new.snapshot(at(0)).in_use, 2);
    drop((held, fetched));
    assert_eq!(new.snapshot(at(0)).in_use, 0);
}

#[test]
fn a_permit_that_is_held_for_long_shows_its_age() {
    let bulkhead = bulkhead(3, 0);
    let mut old = bulkhead.try_acquire().unwrap();
    let mut young = bulkhead.try_acquire().unwrap();
    assert_eq!(bulkhead.snapshot(at(50)).oldest_permit, None);
    young.register(at(40));
    old.register(at(10));
    old.register(at(30));
    let age = |millis| bulkhead.snapshot(at(millis)).oldest_permit;
    assert_eq!(age(50), Some(Duration::from_millis(40)));
    drop(old);
    assert_eq!(age(50), Some(Duration::from_millis(10)));
    drop(young);
    assert_eq!(age(50), None);
}
