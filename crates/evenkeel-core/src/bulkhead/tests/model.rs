//! Random operations, against slots that are counted under no protocol at all.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Debug, Clone)]
enum Move {
    Acquire(u32),
    Enqueue(u32),
    Release(usize),
    Leave(usize),
    Fetch(usize),
    Resize(u32),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (1..6_u32).prop_map(Move::Acquire),
        3 => (1..6_u32).prop_map(Move::Enqueue),
        3 => any::<usize>().prop_map(Move::Release),
        1 => any::<usize>().prop_map(Move::Leave),
        2 => any::<usize>().prop_map(Move::Fetch),
        1 => (1..6_u32).prop_map(Move::Resize),
    ];
    proptest::collection::vec(one, 1..150)
}

/// The same bulkhead, written to be seen through.
struct Reference {
    limit: u32,
    most_waiting: usize,
    /// Weights of what is held, fetched or not.
    in_use: u32,
    waiting: VecDeque<(u64, u32)>,
    granted: Vec<(u64, u32)>,
}

impl Reference {
    fn acquire(&mut self, weight: u32) -> Result<(), Reason> {
        if weight > self.limit {
            Err(Reason::ExceedsLimit)
        } else if !self.waiting.is_empty() || self.in_use + weight > self.limit {
            Err(Reason::BulkheadFull)
        } else {
            self.in_use += weight;
            Ok(())
        }
    }

    fn enqueue(&mut self, id: u64, weight: u32) -> Result<(), Reason> {
        if self.most_waiting == 0 {
            return match self.acquire(weight) {
                Err(Reason::ExceedsLimit) => Err(Reason::ExceedsLimit),
                taken => {
                    // Nobody may queue, not even for what is free.
                    self.in_use -= if taken.is_ok() { weight } else { 0 };
                    Err(Reason::BulkheadFull)
                }
            };
        }
        match self.acquire(weight) {
            Ok(()) => self.granted.push((id, weight)),
            Err(Reason::BulkheadFull) if self.waiting.len() < self.most_waiting => {
                self.waiting.push_back((id, weight));
            }
            Err(Reason::BulkheadFull) => return Err(Reason::QueueFull),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    fn free(&mut self, weight: u32) {
        self.in_use -= weight;
        self.serve();
    }

    fn leave(&mut self, id: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
        let granted = self.granted.iter().position(|(granted, _)| *granted == id);
        let freed = granted.map_or(0, |at| self.granted.remove(at).1);
        self.free(freed);
    }

    fn fetch(&mut self, id: u64) -> bool {
        let before = self.granted.len();
        self.granted.retain(|(granted, _)| *granted != id);
        self.granted.len() < before
    }

    fn serve(&mut self) {
        while let Some(&(id, weight)) = self.waiting.front() {
            if self.in_use != 0 && self.in_use + weight > self.limit {
                return;
            }
            self.in_use += weight;
            self.waiting.pop_front();
            self.granted.push((id, weight));
        }
    }
}

proptest! {
    /// Whoever is admitted, refused, served or left waiting is so by the reference too, and permits are
    /// conserved under any order of taking, waiting, leaving, resizing and dropping.
    #[test]
    fn slots_change_hands_as_a_plain_list_of_them_does(
        moves in moves(), limit in 1..6_u32, queue in 0..4_u32,
    ) {
        let bulkhead = bulkhead(limit, queue);
        let mut reference = Reference {
            limit,
            most_waiting: queue as usize,
            in_use: 0,
            waiting: VecDeque::new(),
            granted: Vec::new(),
        };
        let (mut permits, mut tickets) = (Vec::new(), Vec::<(u64, Ticket)>::new());
        let mut most = limit;
        for (id, step) in (0..).zip(moves) {
            match step {
                Move::Acquire(weight) => {
                    let taken = bulkhead.try_acquire_many(NonZeroU32::new(weight).unwrap());
                    let reason = taken.as_ref().map(|_| ()).map_err(|refused| refused.reason);
                    prop_assert_eq!(reason, reference.acquire(weight));
                    permits.extend(taken.ok());
                }
                Move::Enqueue(weight) => {
                    let queued = bulkhead.enqueue_many(NonZeroU32::new(weight).unwrap(), at(0));
                    let reason = queued.as_ref().map(|_| ()).map_err(|refused| refused.reason);
                    prop_assert_eq!(reason, reference.enqueue(id, weight));
                    tickets.extend(queued.ok().map(|ticket| (id, ticket)));
                }
                Move::Release(at) if !permits.is_empty() => {
                    let permit: Permit = permits.swap_remove(at % permits.len());
                    reference.free(permit.weight());
                }
                Move::Leave(at) if !tickets.is_empty() => {
                    let (id, ticket) = tickets.swap_remove(at % tickets.len());
                    drop(ticket);
                    reference.leave(id);
                }
                Move::Fetch(at) if !tickets.is_empty() => {
                    let at = at % tickets.len();
                    let (id, ticket) = &mut tickets[at];
                    let fetched = ticket.try_fetch();
                    prop_assert_eq!(fetched.is_some(), reference.fetch(*id));
                    if let Some(permit) = fetched {
                        permits.push(permit);
                        drop(tickets.swap_remove(at));
                    }
                }
                Move::Resize(limit) => {
                    most = most.max(limit);
                    bulkhead.resize(NonZeroU32::new(limit).unwrap());
                    reference.limit = limit;
                    reference.serve();
                }
                _ => {}
            }
            let shown = bulkhead.snapshot(at(0));
            prop_assert_eq!(shown.in_use, reference.in_use);
            prop_assert_eq!(shown.waiting as usize, reference.waiting.len());
            prop_assert!(shown.in_use <= most && shown.waiting <= queue);
        }
        drop(tickets);
        drop(permits);
        let shown = bulkhead.snapshot(at(0));
        prop_assert_eq!((shown.in_use, shown.waiting), (0, 0));
    }
}
