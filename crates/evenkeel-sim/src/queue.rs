//! What happens next: events in the order of their time, and of their making where times are equal.
//!
//! A simulation takes the earliest event and adds a few later ones, millions of times a second, with
//! anything from ten to a million of them waiting. A heap costs its depth in cache misses on each of
//! these; this queue is a wheel instead (Varghese and Lauck, *Hashed and hierarchical timing wheels*,
//! 1987), which costs the same however many wait. Time is cut into slots of 65 µs; the slots of the next
//! 67 ms lie in the first wheel, those of the next 69 s, coarser, in a second, those of the next 19 h in a
//! third. The events of one fine slot are sorted when its turn comes, so nothing is rounded: events come
//! out in the exact order of `(time, number of making)`.

use core::cmp::Reverse;

/// One fine slot is `2^16` ns.
const SLOT_BITS: u32 = 16;
/// A wheel has `2^10` slots.
const WHEEL_BITS: u32 = 10;
const SLOTS: usize = 1 << WHEEL_BITS;
const WHEELS: usize = 3;
/// A coarse slot that held more than this gives its memory back.
const KEPT: usize = 1 << 12;

/// A timer that can be cancelled as long as it has not gone off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    slot: u32,
    generation: u32,
}

impl Timer {
    /// No timer: cancelling it does nothing.
    pub const NONE: Self = Self {
        slot: u32::MAX,
        generation: 0,
    };
}

#[derive(Debug, Clone, Copy)]
struct Entry<T> {
    at: u64,
    order: u64,
    timer: Timer,
    event: T,
}

/// The events to come. `T` is what happens.
#[derive(Debug)]
pub struct Queue<T> {
    /// The fine slot whose turn it is, sorted, the earliest last.
    turn: Vec<Entry<T>>,
    /// Its number: time in fine slots.
    tick: u64,
    wheels: [Wheel<T>; WHEELS],
    /// Beyond the last wheel.
    beyond: Vec<Entry<T>>,
    made: u64,
    waiting: usize,
    generations: Vec<u32>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Wheel<T> {
    slots: Vec<Vec<Entry<T>>>,
    /// Which slots hold anything.
    occupied: [u64; SLOTS / 64],
}

impl<T: Copy> Wheel<T> {
    fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; SLOTS / 64],
        }
    }

    fn push(&mut self, slot: usize, entry: Entry<T>) {
        self.slots[slot].push(entry);
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    fn take(&mut self, slot: usize) -> Vec<Entry<T>> {
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        core::mem::take(&mut self.slots[slot])
    }

    fn give_back(&mut self, slot: usize, mut emptied: Vec<Entry<T>>) {
        emptied.clear();
        if emptied.capacity() <= KEPT {
            self.slots[slot] = emptied;
        }
    }

    /// The first slot after `slot` that holds anything.
    fn next_after(&self, slot: usize) -> Option<usize> {
        let first = slot + 1;
        let mut word = first / 64;
        let mut bits = *self.occupied.get(word)? & (u64::MAX << (first % 64));
        loop {
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            word += 1;
            bits = *self.occupied.get(word)?;
        }
    }
}

impl<T: Copy> Default for Queue<T> {
    fn default() -> Self {
        Self {
            turn: Vec::new(),
            tick: 0,
            wheels: core::array::from_fn(|_| Wheel::new()),
            beyond: Vec::new(),
            made: 0,
            waiting: 0,
            generations: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T: Copy> Queue<T> {
    /// Adds an event that will happen at `at`, in nanoseconds.
    #[inline]
    pub fn push(&mut self, at: u64, event: T) {
        self.insert(at, Timer::NONE, event);
    }

    /// Adds an event that [`Queue::cancel`] can take back.
    #[inline]
    pub fn push_timer(&mut self, at: u64, event: T) -> Timer {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            index(self.generations.len() - 1)
        });
        let timer = Timer {
            slot,
            generation: self.generations[slot as usize],
        };
        self.insert(at, timer, event);
        timer
    }

    /// Takes a timer back. One that has gone off, or was taken back before, is left as it is.
    #[inline]
    pub fn cancel(&mut self, timer: Timer) {
        let current = self.generations.get_mut(timer.slot as usize);
        if let Some(generation) = current.filter(|current| **current == timer.generation) {
            *generation = generation.wrapping_add(1);
            self.waiting -= 1;
        }
    }

    /// The next event and its time; none if there is none before `until`.
    #[inline]
    pub fn pop(&mut self, until: u64) -> Option<(u64, T)> {
        loop {
            let Some(entry) = self.turn.last().copied() else {
                if !self.turn_to_next(until) {
                    return None;
                }
                continue;
            };
            if entry.at >= until {
                return None;
            }
            self.turn.pop();
            if entry.timer != Timer::NONE {
                self.free.push(entry.timer.slot);
                let generation = &mut self.generations[entry.timer.slot as usize];
                if *generation != entry.timer.generation {
                    continue;
                }
                *generation = generation.wrapping_add(1);
            }
            self.waiting -= 1;
            return Some((entry.at, entry.event));
        }
    }

    /// How many events wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nothing will happen any more.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    fn insert(&mut self, at: u64, timer: Timer, event: T) {
        let entry = Entry {
            at,
            order: self.made,
            timer,
            event,
        };
        self.made += 1;
        self.waiting += 1;
        self.place(entry);
    }

    #[inline]
    fn place(&mut self, entry: Entry<T>) {
        let tick = entry.at >> SLOT_BITS;
        if tick <= self.tick {
            // Due in the slot whose turn it is; mostly soon, so near the end.
            let key = (entry.at, entry.order);
            let place = self
                .turn
                .partition_point(|other| (other.at, other.order) > key);
            self.turn.insert(place, entry);
            return;
        }
        for (wheel, bits) in self
            .wheels
            .iter_mut()
            .zip((0..).step_by(WHEEL_BITS as usize))
        {
            if tick >> (bits + WHEEL_BITS) == self.tick >> (bits + WHEEL_BITS) {
                wheel.push(within(tick >> bits), entry);
                return;
            }
        }
        self.beyond.push(entry);
    }

    /// Turns to the next slot that holds anything; false if none does before `until`.
    #[cold]
    fn turn_to_next(&mut self, until: u64) -> bool {
        let last = until >> SLOT_BITS;
        loop {
            if let Some(slot) = self.wheels[0].next_after(within(self.tick)) {
                let tick = (self.tick >> WHEEL_BITS << WHEEL_BITS) | slot as u64;
                if tick > last {
                    return false;
                }
                self.tick = tick;
                let mut taken = self.wheels[0].take(slot);
                taken.sort_unstable_by_key(|entry| Reverse((entry.at, entry.order)));
                let emptied = core::mem::replace(&mut self.turn, taken);
                self.wheels[0].give_back(slot, emptied);
                return true;
            }
            if !self.unroll(last) {
                return false;
            }
            if !self.turn.is_empty() {
                return true;
            }
        }
    }

    /// Spreads the next coarse slot over the finer wheels; false if none is left before `last`.
    fn unroll(&mut self, last: u64) -> bool {
        for (coarse, bits) in (1..WHEELS).zip((WHEEL_BITS..).step_by(WHEEL_BITS as usize)) {
            let Some(slot) = self.wheels[coarse].next_after(within(self.tick >> bits)) else {
                continue;
            };
            let above = self.tick >> (bits + WHEEL_BITS) << WHEEL_BITS;
            let tick = (above | slot as u64) << bits;
            if tick > last {
                return false;
            }
            self.tick = tick;
            let taken = self.wheels[coarse].take(slot);
            for entry in &taken {
                self.place(*entry);
            }
            self.wheels[coarse].give_back(slot, taken);
            return true;
        }
        let Some(first) = self.beyond.iter().map(|entry| entry.at >> SLOT_BITS).min() else {
            return false;
        };
        if first > last {
            return false;
        }
        self.tick = first;
        for entry in core::mem::take(&mut self.beyond) {
            self.place(entry);
        }
        true
    }
}

fn within(tick: u64) -> usize {
    index_of(tick & (SLOTS as u64 - 1))
}

#[expect(clippy::cast_possible_truncation, reason = "below the number of slots")]
const fn index_of(slot: u64) -> usize {
    slot as usize
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "four thousand million timers fit no machine"
)]
const fn index(at: usize) -> u32 {
    at as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use evenkeel_core::entropy::Entropy;

    use super::*;

    /// The same with a sorted map, to compare with.
    #[test]
    fn events_come_out_in_the_order_of_time_and_making_whatever_their_distance() {
        let mut dice = Entropy::new(5);
        let (mut queue, mut model) = (Queue::default(), BTreeMap::new());
        let (mut now, mut timers) = (0, Vec::new());
        for made in 0..40_000_u64 {
            // From the same instant to days ahead.
            let ahead = dice.next_u64() >> dice.between(16, 63);
            let at = now + ahead % (200 * 3_600 * 1_000_000_000);
            if dice.between(0, 2) == 0 {
                timers.push((queue.push_timer(at, made), (at, made)));
            } else {
                queue.push(at, made);
            }
            model.insert((at, made), made);
            if dice.between(0, 5) == 0 && !timers.is_empty() {
                let place = usize::try_from(dice.next_u64()).unwrap() % timers.len();
                let (timer, key) = timers.swap_remove(place);
                queue.cancel(timer);
                model.remove(&key);
            }
            if dice.between(0, 1) == 0 {
                let expected = model.pop_first();
                let popped = queue.pop(u64::MAX);
                assert_eq!(popped, expected.map(|((at, _), made)| (at, made)));
                now = popped.map_or(now, |(at, _)| at);
            }
            assert_eq!(queue.len(), model.len());
        }
        while let Some(((at, _), made)) = model.pop_first() {
            assert_eq!(queue.pop(u64::MAX), Some((at, made)));
        }
        assert!(queue.is_empty() && queue.pop(u64::MAX).is_none());
    }

    #[test]
    fn nothing_is_taken_from_beyond_the_end_and_nothing_is_lost_there() {
        let mut queue = Queue::default();
        for at in [
            0,
            70_000,
            90_000_000,
            100_000_000_000,
            90_000_000_000_000_000,
        ] {
            queue.push(at, at);
        }
        assert_eq!(queue.pop(70_000), Some((0, 0)));
        assert_eq!(queue.pop(70_000), None);
        queue.push(60_000, 60_000);
        let rest: Vec<_> = core::iter::from_fn(|| queue.pop(u64::MAX))
            .map(|(at, _)| at)
            .collect();
        assert_eq!(
            rest,
            [
                60_000,
                70_000,
                90_000_000,
                100_000_000_000,
                90_000_000_000_000_000
            ]
        );
    }

    #[test]
    fn a_timer_that_went_off_cannot_take_back_another() {
        let mut queue = Queue::default();
        let first = queue.push_timer(1, 'a');
        assert_eq!(queue.pop(10), Some((1, 'a')));
        let _second = queue.push_timer(2, 'b');
        queue.cancel(first);
        queue.cancel(Timer::NONE);
        assert_eq!(queue.pop(10), Some((2, 'b')));
    }
}
