//! The races, one by one, with criterion's statistics and its memory of the last run.

mod paths;

use std::time::Duration;

use criterion::{Criterion, criterion_main};

fn races() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    else {
        return;
    };
    let _entered = runtime.enter();
    let mut criterion = Criterion::default().configure_from_args();
    for mut race in paths::all() {
        let mut group = criterion.benchmark_group(race.path);
        for contender in &mut race.contenders {
            group.bench_function(contender.name, |bencher| {
                bencher.iter_custom(|n| {
                    Duration::from_secs_f64(contender.nanos_per_operation(n) * n as f64 / 1e9)
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

criterion_main!(races);
