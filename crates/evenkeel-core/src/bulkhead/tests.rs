mod model;
mod weighted;

use super::*;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;
use std::task::Wake;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn bulkhead(limit: u32, queue: u32) -> Bulkhead {
    let mut config = Config::new(NonZeroU32::new(limit).unwrap());
    config.queue = queue;
    Bulkhead::new(config)
}

#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn as_many_are_admitted_as_there_are_slots() {
    let bulkhead = bulkhead(3, 0);
    let permits: Vec<_> = (0..10)
        .filter_map(|_| bulkhead.try_acquire().ok())
        .collect();
    assert_eq!(permits.len(), 3);
    assert_eq!(
        bulkhead.enqueue(at(0)).unwrap_err().reason,
        Reason::BulkheadFull
    );
    drop(permits);
    assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
}

#[test]
fn waiters_are_served_in_the_order_in_which_they_came() {
    let bulkhead = bulkhead(1, 8);
    let mut held = Some(bulkhead.try_acquire().unwrap());
    let mut tickets: Vec<_> = (0..8).map(|_| bulkhead.enqueue(at(0)).unwrap()).collect();
    for turn in 0..8 {
        drop(held.take());
        let served: Vec<_> = (0..8)
            .filter(|&at| {
                (held.is_none() || at != turn) && {
                    let fetched = tickets[at].try_fetch();
                    let is_served = fetched.is_some();
                    held = held.take().or(fetched);
                    is_served
                }
            })
            .collect();
        assert_eq!(served, [turn]);
    }
}

#[test]
fn nobody_who_comes_later_snatches_a_freed_slot() {
    let bulkhead = bulkhead(1, 1);
    let permit = bulkhead.try_acquire().unwrap();
    let mut ticket = bulkhead.enqueue(at(0)).unwrap();
    drop(permit);
    assert!(bulkhead.try_acquire().is_err());
    assert!(ticket.try_fetch().is_some());
}

#[test]
fn a_freed_slot_wakes_the_first_waiter_and_nobody_else() {
    let bulkhead = bulkhead(1, 2);
    let permit = bulkhead.try_acquire().unwrap();
    let bells = [Arc::new(Bell::default()), Arc::new(Bell::default())];
    let tickets: Vec<_> = bells
        .iter()
        .map(|bell| {
            let mut ticket = bulkhead.enqueue(at(0)).unwrap();
            ticket.wake_by(&Waker::from(bell.clone()));
            ticket
        })
        .collect();
    drop(permit);
    let rung = bells.each_ref().map(|bell| bell.0.load(Ordering::Relaxed));
    assert_eq!(rung, [1, 0]);
    drop(tickets);
    assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
}

#[test]
fn peer_fault_28_a_waiter_who_leaves_with_a_slot_hands_it_on() {
    let bulkhead = bulkhead(1, 2);
    let permit = bulkhead.try_acquire().unwrap();
    let abandoned = bulkhead.enqueue(at(0)).unwrap();
    let mut next = bulkhead.enqueue(at(0)).unwrap();
    drop(permit); // the abandoned ticket is granted the slot, and never fetches it
    drop(abandoned);
    let permit = next
        .try_fetch()
        .expect("the slot went on to the next in line");
    drop(permit);
    assert_eq!(bulkhead.snapshot(at(0)).in_use, 0);
}

#[test]
fn a_waker_may_own_a_ticket_of_the_same_bulkhead() {
    struct Task(Mutex<Option<Ticket>>);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }
    let bulkhead = bulkhead(1, 4);
    let _permit = bulkhead.try_acquire().unwrap();
    let owned = bulkhead.enqueue(at(0)).unwrap();
    let mut mine = bulkhead.enqueue(at(0)).unwrap();
    // The queue's waker is the last that holds the task, and the task a ticket: dropping one drops all.
    mine.wake_by(&Waker::from(Arc::new(Task(Mutex::new(Some(owned))))));
    drop(mine);
    assert_eq!(bulkhead.snapshot(at(0)).waiting, 0);
}

#[test]
fn the_queue_is_bounded_and_shows_who_has_waited_longest() {
    let bulkhead = bulkhead(1, 2);
    let _permit = bulkhead.try_acquire().unwrap();
    let _first = bulkhead.enqueue(at(10)).unwrap();
    let _second = bulkhead.enqueue(at(20)).unwrap();
    assert_eq!(
        bulkhead.enqueue(at(30)).unwrap_err().reason,
        Reason::QueueFull
    );
    let snapshot = bulkhead.snapshot(at(40));
    assert_eq!((snapshot.in_use, snapshot.waiting), (1, 2));
    assert_eq!(snapshot.oldest_wait, Some(Duration::from_millis(30)));
}

#[test]
fn a_caller_waits_a_tenth_of_its_time_at_most() {
    let config = Config::new(NonZeroU32::MIN);
    assert_eq!(
        config.wait_within(Duration::from_millis(200)),
        Duration::from_millis(20)
    );
    assert_eq!(
        config.wait_within(Duration::from_secs(5)),
        Duration::from_millis(50)
    );
}
