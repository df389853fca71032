//! Goroutines of one origin, followed from dump to dump.
//!
//! A goroutine moves through its code, so its stack changes; where it was started does not. A
//! *family* is everything started at one place, a *track* those of a family that wait at one line.

use std::collections::BTreeMap;

use super::role::{Role, is_accepting, is_network, is_outbound_call};
use crate::capture::Capture;
use crate::goroutine::{DumpForm, Goroutines, Group, IdSketch, WaitState};
use crate::stack::{Frame, Owner, Stack};

/// Goroutines of one family that wait in one way at one line.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub(crate) state: WaitState,
    pub(crate) culprit: Frame,
    pub(crate) role: Role,
    /// Number at each moment.
    pub(crate) counts: Vec<u64>,
    pub(crate) long_waits: u64,
    pub(crate) longest_minutes: u32,
    pub(crate) leaked: u64,
    /// The lock most wait at, with its waiters, at the last moment.
    pub(crate) lock: Option<(u64, u64)>,
    /// The stack of the largest group.
    pub(crate) stack: Stack,
    /// Waits for somebody outside the process.
    pub(crate) outbound: bool,
    /// Share of those first seen that are there at the last moment.
    pub(crate) survival: Option<f64>,
    /// The largest share of those at one moment that is not at this line at the next. Whoever left has
    /// been served or gave up, and may be back in the queue by now: never more than the truth.
    pub(crate) turnover: Option<f64>,
    ids: Vec<IdSketch>,
    largest: u64,
}

/// Everything started at one place.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// The `go` statement, or the request handler where a server started it.
    pub(crate) origin: Frame,
    /// Whether the service's own `go` statement started it.
    pub(crate) spawned: bool,
    pub(crate) role: Role,
    /// Number at each moment.
    pub(crate) counts: Vec<u64>,
    pub(crate) tracks: Vec<Track>,
    /// Outermost functions of the service on their stacks.
    pub(crate) roots: Vec<String>,
    /// Stacks with their weight at all moments together.
    pub(crate) stacks: Vec<(Stack, WaitState, u64)>,
    pub(crate) survival: Option<f64>,
    ids: Vec<IdSketch>,
}

/// All families of a capture.
#[derive(Debug, Default)]
pub(crate) struct Families {
    /// Those that do the service's work, the largest at the last moment first.
    pub(crate) own: Vec<Family>,
    /// Loops of outbound HTTP connections, by state and line.
    pub(crate) transport: Vec<Family>,
    /// Times of the moments with a dump, in seconds.
    pub(crate) times: Vec<f64>,
}

impl Track {
    pub(crate) fn last(&self) -> u64 {
        self.counts.last().copied().unwrap_or(0)
    }

    pub(crate) fn fewest(&self) -> u64 {
        self.counts.iter().copied().min().unwrap_or(0)
    }
}

impl Family {
    pub(crate) fn last(&self) -> u64 {
        self.counts.last().copied().unwrap_or(0)
    }

    /// The track that holds most of it at the last moment.
    pub(crate) fn main_track(&self) -> Option<&Track> {
        self.tracks.iter().max_by_key(|track| track.last())
    }

    /// Goroutines, over all moments, that were neither parked for good nor idle: running, wanting to,
    /// asleep between tries, or talking to the network.
    pub(crate) fn restless(&self) -> u64 {
        self.stacks
            .iter()
            .filter(|(stack, state, _)| {
                matches!(
                    state,
                    WaitState::Running
                        | WaitState::Runnable
                        | WaitState::Sleep
                        | WaitState::Syscall
                        | WaitState::Unknown
                ) || is_network(stack)
            })
            .map(|(_, _, count)| count)
            .sum()
    }

    /// Whether at least a third of its restless stacks touch the network.
    pub(crate) fn on_network(&self) -> bool {
        let (network, total) = self.stacks.iter().fold((0, 0), |(network, total), stack| {
            let count = stack.2;
            (
                network + if is_network(&stack.0) { count } else { 0 },
                total + count,
            )
        });
        total > 0 && network * 3 >= total
    }

    fn new(origin: Frame, spawned: bool, role: Role, moments: usize) -> Self {
        Self {
            origin,
            spawned,
            role,
            counts: vec![0; moments],
            tracks: Vec::new(),
            roots: Vec::new(),
            stacks: Vec::new(),
            survival: None,
            ids: vec![IdSketch::default(); moments],
        }
    }

    fn add(&mut self, group: &Group, moment: usize, moments: usize, role: Role) {
        self.counts[moment] += group.count;
        self.ids[moment].merge(&group.ids);
        if let Some(root) = group.stack.service_frames().next_back()
            && !self.roots.contains(&root.function)
        {
            self.roots.push(root.function.clone());
        }
        self.stacks
            .push((group.stack.clone(), group.state.clone(), group.count));
        let culprit = group.culprit().cloned().unwrap_or_default();
        let slot = self
            .tracks
            .iter()
            .position(|track| track.state == group.state && track.culprit == culprit);
        let slot = slot.unwrap_or_else(|| {
            self.tracks.push(Track {
                state: group.state.clone(),
                culprit,
                role,
                counts: vec![0; moments],
                long_waits: 0,
                longest_minutes: 0,
                leaked: 0,
                lock: None,
                stack: group.stack.clone(),
                outbound: false,
                survival: None,
                turnover: None,
                ids: vec![IdSketch::default(); moments],
                largest: 0,
            });
            self.tracks.len() - 1
        });
        let track = &mut self.tracks[slot];
        track.counts[moment] += group.count;
        track.ids[moment].merge(&group.ids);
        track.longest_minutes = track.longest_minutes.max(group.longest_minutes);
        track.outbound |= is_outbound_call(&group.stack)
            || (group.state == WaitState::IoWait
                && role != Role::Inbound
                && !reads_request(&group.stack));
        if group.count > track.largest {
            track.largest = group.count;
            track.stack = group.stack.clone();
        }
        if moment + 1 == moments {
            track.long_waits += group.long_waits;
            track.leaked += group.leaked;
            if let Some((address, waiters)) = group.main_lock()
                && track.lock.is_none_or(|(_, known)| waiters > known)
            {
                track.lock = Some((address, waiters));
            }
        }
    }

    fn settle(&mut self) {
        self.survival = survival(&self.ids);
        for track in &mut self.tracks {
            track.survival = survival(&track.ids);
            track.turnover = track
                .ids
                .windows(2)
                .filter_map(|pair| pair[0].surviving_in(&pair[1]))
                .map(|stayed| 1.0 - stayed)
                .reduce(f64::max);
        }
    }
}

impl Families {
    pub(crate) fn of(capture: &Capture, times: &[f64]) -> Self {
        let mut dumps: Vec<(&Goroutines, f64)> = capture
            .moments
            .iter()
            .zip(times)
            .filter_map(|(moment, at)| Some((moment.goroutines.as_ref()?, *at)))
            .collect();
        // Goroutines without ids and states cannot be followed into a dump that has them, nor out of one.
        let whole = |dump: &Goroutines| dump.form == DumpForm::Text;
        if dumps.iter().filter(|(dump, _)| whole(dump)).count() >= 2 {
            dumps.retain(|(dump, _)| whole(dump));
        }
        let accepting: Vec<String> = dumps
            .iter()
            .flat_map(|(dump, _)| &dump.groups)
            .filter(|group| is_accepting(&group.stack))
            .flat_map(|group| {
                group
                    .stack
                    .service_frames()
                    .map(|frame| frame.function.clone())
            })
            .collect();
        let mut found: BTreeMap<(Role, String, u32), Family> = BTreeMap::new();
        for (moment, (dump, _)) in dumps.iter().enumerate() {
            for group in &dump.groups {
                let role = Role::of(group, &accepting);
                if role == Role::Plumbing {
                    continue;
                }
                let (origin, spawned) = origin(group);
                found
                    .entry((role, origin.function.clone(), origin.line))
                    .or_insert_with(|| Family::new(origin, spawned, role, dumps.len()))
                    .add(group, moment, dumps.len(), role);
            }
        }
        let mut families = Self {
            times: dumps.iter().map(|(_, at)| *at).collect(),
            ..Self::default()
        };
        for mut family in found.into_values() {
            family.settle();
            if family.role == Role::Transport {
                families.transport.push(family);
            } else {
                families.own.push(family);
            }
        }
        families
            .own
            .sort_by_key(|family| std::cmp::Reverse(family.last()));
        families
    }

    /// All tracks of all families that do the service's work.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = (&Family, &Track)> {
        self.own
            .iter()
            .flat_map(|family| family.tracks.iter().map(move |track| (family, track)))
    }

    /// Goroutines that do the service's work, at the last moment.
    pub(crate) fn at_work(&self) -> u64 {
        self.own.iter().map(Family::last).sum()
    }
}

/// Where a goroutine comes from: the service's own `go` statement, else the outermost function of
/// the service, which is the handler a server called or the closure a library started for it.
fn origin(group: &Group) -> (Frame, bool) {
    match &group.created_by {
        Some(creator) if creator.owner() == Owner::Service => (creator.clone(), true),
        Some(creator)
            if creator.owner() == Owner::Dependency
                && group.stack.service_frames().next().is_none() =>
        {
            (creator.clone(), true)
        }
        creator => {
            let handler = group
                .stack
                .0
                .iter()
                .rfind(|frame| frame.owner() == Owner::Service)
                .or_else(|| group.stack.culprit())
                .or(creator.as_ref());
            let mut handler = handler.cloned().unwrap_or_default();
            // A handler is one family whatever line it is at.
            handler.line = 0;
            (handler, false)
        }
    }
}

/// Whether the stack reads the request's own body: the peer is slow, not something called.
fn reads_request(stack: &Stack) -> bool {
    stack.any(|function| {
        function.starts_with("net/http.(*connReader).Read")
            || function.starts_with("net/http.(*body)")
    })
}

fn survival(ids: &[IdSketch]) -> Option<f64> {
    let (last, earlier) = ids.split_last()?;
    // A line nobody stood at in the beginning is judged from when somebody did.
    earlier
        .iter()
        .find(|sketch| !sketch.is_empty())?
        .surviving_in(last)
}
