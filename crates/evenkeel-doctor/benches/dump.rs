//! How fast and how small a large `debug=2` dump is read.
//!
//! `cargo bench -p evenkeel-doctor` writes a dump of 200,000 goroutines (over 100 MB) to a temporary
//! file, reads it five times, and fails when the median is under 500 MB/s or when the process, file
//! excluded, ever held more than 64 MiB. `DUMP_GOROUTINES=2000000` makes it one of over 1 GB.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark talks to the person who runs it"
)]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use evenkeel_doctor::goroutine::DumpReader;

const LEAST_MB_PER_SECOND: f64 = 500.0;
const MOST_MIB: f64 = 64.0;
const ROUNDS: usize = 5;
const DISTINCT: u64 = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let goroutines = std::env::var("DUMP_GOROUTINES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(200_000_u64);
    let mut file = tempfile::NamedTempFile::new()?;
    write_dump(BufWriter::new(file.as_file_mut()), goroutines)?;
    let megabytes = file.as_file().metadata()?.len() as f64 / 1e6;
    let mut speeds = Vec::new();
    for _ in 0..ROUNDS {
        let source = File::open(file.path())?;
        let begun = Instant::now();
        let mut reader = DumpReader::default();
        reader.read_from(source)?;
        let (dump, _) = reader.finish();
        speeds.push(megabytes / begun.elapsed().as_secs_f64());
        assert_eq!(dump.read, goroutines);
        assert_eq!(dump.groups.len() as u64, DISTINCT * 5);
    }
    speeds.sort_by(f64::total_cmp);
    let (median, peak) = (speeds[ROUNDS / 2], peak_mib()?);
    println!(
        "{goroutines} goroutines, {megabytes:.0} MB: {median:.0} MB/s, peak memory {peak:.0} MiB"
    );
    if median < LEAST_MB_PER_SECOND || peak > MOST_MIB {
        return Err(format!("wanted {LEAST_MB_PER_SECOND} MB/s and {MOST_MIB} MiB").into());
    }
    Ok(())
}

/// The most memory this process ever held, in MiB.
fn peak_mib() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

/// Five states over 400 stacks, each goroutine with arguments, addresses and minutes of its own.
fn write_dump(mut out: impl Write, goroutines: u64) -> std::io::Result<()> {
    const STATES: [&str; 5] = [
        "chan receive",
        "select",
        "IO wait",
        "sync.Mutex.Lock",
        "sleep",
    ];
    for id in 0..goroutines {
        let noise = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let stack = id % DISTINCT;
        let state = STATES[usize::try_from(id / DISTINCT % 5).unwrap_or(0)];
        writeln!(
            out,
            "goroutine {} [{state}, {} minutes]:",
            id + 10,
            1 + noise % 30
        )?;
        if state == "sync.Mutex.Lock" {
            writeln!(
                out,
                "internal/sync.(*Mutex).lockSlow({:#x})\n\tinternal/sync/mutex.go:149 +0x15d",
                0xc000 + id % 7
            )?;
        }
        for depth in 0..4 + stack % 5 {
            writeln!(
                out,
                "shop/service{stack}.(*Type{depth}).Method({noise:#x}, {{{:#x}, {:#x}}})\n\t/src/shop/service{stack}/file{depth}.go:{} +{:#x}",
                noise >> 7,
                noise >> 31,
                10 + depth,
                noise >> 53
            )?;
        }
        writeln!(
            out,
            "created by shop/service{stack}.Start in goroutine {}\n\t/src/shop/service{stack}/start.go:7 +0x1a\n",
            noise % 5_000
        )?;
    }
    out.flush()
}
