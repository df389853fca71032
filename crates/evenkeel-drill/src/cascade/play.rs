//! One run: load, fault and repair at their times, and somebody who watches.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::outcome::{Moment, Observed, Run, Story};
use super::stage::Stage;
use super::{GIVE_UP, GOOD_WITHIN, Progress, Settings, Side};
use crate::DrillError;
use crate::load::{Arrivals, Generator, Record};

/// How often pool and breaker are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How many looks in a row may be missed: one is a machine that is busy, so many are a process that
/// is gone.
const MOST_MISSED: u32 = 20;

/// Between the start of the processes and the first page.
const LEAD: Duration = Duration::from_millis(100);

/// The path of a product page.
const PATH: &str = "/product";

/// Plays one side. Ends early when `stop` resolves; the run then says that it is not complete.
pub(super) async fn run(
    settings: &Settings,
    story: &Story,
    side: Side,
    progress: &mut (dyn FnMut(&Progress) + Send),
    mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
) -> Result<Run, DrillError> {
    let phases = story.phases;
    progress(&Progress::Begins {
        side,
        seconds: phases.total(),
        rate: settings.rate,
    });
    let record = Arc::new(Record::new(&phases.lengths(), GOOD_WITHIN));
    let mut stage = tokio::select! {
        biased;
        () = stop.as_mut() => return Ok(Run::not_begun(side)),
        stage = Stage::open(settings, side) => stage?,
    };
    let policy = stage.policy();
    let seen = Mutex::new(Observed::default());
    let scene = Scene {
        story,
        stage: &stage,
        record: &record,
        seen: &seen,
    };
    let played = tokio::select! {
        biased;
        () = stop => None,
        played = scene.play(settings, progress) => Some(played),
    };
    // Whatever failed, a process that ended on its own is the better explanation.
    let trouble = stage.still_runs();
    stage.close().await;
    let complete = match played {
        None => false,
        Some(Ok(())) => true,
        Some(Err(error)) => return Err(trouble.err().unwrap_or(error)),
    };
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Run::of(side, complete, story, &record, seen, policy))
}

/// What one run is played with.
struct Scene<'a> {
    story: &'a Story,
    stage: &'a Stage,
    record: &'a Arc<Record>,
    seen: &'a Mutex<Observed>,
}

impl Scene<'_> {
    async fn play(
        &self,
        settings: &Settings,
        progress: &mut (dyn FnMut(&Progress) + Send),
    ) -> Result<(), DrillError> {
        let start = Instant::now() + LEAD;
        let total = self.story.phases.total();
        let in_flight = u64::from(settings.rate) * GIVE_UP.as_secs();
        let generator = Generator {
            target: self.stage.page_address,
            path: PATH.to_owned(),
            arrivals: Arrivals::new(settings.rate, total, settings.seed),
            give_up: GIVE_UP,
            in_flight: usize::try_from(in_flight).unwrap_or(usize::MAX),
        };
        // The load runs in a task of its own, so that nothing here delays it. The set ends it if
        // this future is dropped.
        let mut load = JoinSet::new();
        let record = Arc::clone(self.record);
        load.spawn(async move { crate::load::run(&generator, start, &record).await });

        let loaded = async {
            while load.join_next().await.is_some() {}
            Ok(())
        };
        let mut reporter = Reporter {
            scene: self,
            progress,
            told: 0,
        };
        let watched = async { tokio::try_join!(self.fault(start), self.watch(start), loaded) };
        let watched = tokio::select! {
            biased;
            watched = watched => watched,
            never = reporter.follow(start) => match never {},
        };
        watched?;
        // What the reporter still waited for is known now that every page has ended.
        while reporter.told < total {
            reporter.tell_next();
        }
        let calls = self.stage.calls().await?;
        self.with(|seen| seen.calls = Some(calls));
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Observed) -> T) -> T {
        work(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Injects the fault and repairs it, each at its time, and notes when it took effect.
    async fn fault(&self, start: Instant) -> Result<(), DrillError> {
        let phases = self.story.phases;
        sleep_until(start + Duration::from_secs(phases.injection().into())).await;
        self.stage.inject().await?;
        self.with(|seen| seen.injected_at_s = Some(start.elapsed().as_secs_f64()));
        sleep_until(start + Duration::from_secs(phases.repair().into())).await;
        self.stage.repair().await?;
        self.with(|seen| seen.repaired_at_s = Some(start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Looks at pool and breaker until the run is over.
    async fn watch(&self, start: Instant) -> Result<(), DrillError> {
        let end = start + Duration::from_secs(self.story.phases.total().into());
        let mut look = interval_at(start, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut missed = 0;
        while look.tick().await < end {
            match tokio::try_join!(self.stage.pool(), self.stage.breaker()) {
                Ok((pool, breaker)) => {
                    missed = 0;
                    let at_s = start.elapsed().as_secs_f64();
                    let moment = Moment {
                        at_s,
                        pool,
                        breaker,
                    };
                    self.with(|seen| seen.moments.push(moment));
                }
                Err(_) if missed < MOST_MISSED => missed += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Tells how it goes, second by second.
struct Reporter<'a> {
    scene: &'a Scene<'a>,
    progress: &'a mut (dyn FnMut(&Progress) + Send),
    told: u32,
}

impl Reporter<'_> {
    /// Tells each second when the next one is over too: only then it is known for every page
    /// whether it was of use.
    async fn follow(&mut self, start: Instant) -> Infallible {
        while self.told < self.scene.story.phases.total() {
            let over = start + Duration::from_secs(u64::from(self.told) + 1);
            sleep_until(over + GOOD_WITHIN).await;
            self.tell_next();
        }
        std::future::pending().await
    }

    fn tell_next(&mut self) {
        let second = self.told;
        let phases = self.scene.story.phases;
        if second == phases.injection() {
            (self.progress)(&Progress::Injected);
        }
        if second == phases.repair() {
            (self.progress)(&Progress::Repaired);
        }
        let over = f64::from(second + 1);
        let last = self.scene.with(|seen| {
            let moments = seen.moments.iter().rev();
            moments.copied().find(|moment| moment.at_s < over)
        });
        (self.progress)(&Progress::Second {
            second,
            phase: phases.at(second),
            seen: self.scene.record.second(second),
            pool_in_use: last.map_or(0, |moment| moment.pool.in_use),
            breaker: last.and_then(|moment| moment.breaker),
        });
        self.told += 1;
    }
}
