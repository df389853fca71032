//! Which tenants send more than their share, in fixed memory.

use crate::sync::{AtomicU64, Mutex, Ordering};

const CELLS: usize = 1024;
const PER_WORD: usize = 64;

/// A tenant may send this many times what is begun for each, before some of it is refused.
const TOLERATED: u64 = 2;

/// Averages are kept in 256ths, and half of each is of the last step.
const UNIT: u64 = 256;

/// A cell counts as a tenant when it sees this much in a step, in units.
const ACTIVE: u64 = UNIT / 4;

/// Arrivals by tenant, each counted in two of a thousand cells: a tenant exceeds its share if both say so.
/// One that shares a cell with a loud one has another that it does not share.
#[derive(Debug)]
pub(super) struct Sketch {
    arrived: Box<[AtomicU64]>,
    /// One bit a cell.
    exceeds: [AtomicU64; CELLS / PER_WORD],
    averages: Mutex<Vec<u64>>,
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self {
            arrived: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            exceeds: core::array::from_fn(|_| AtomicU64::new(0)),
            averages: Mutex::new(vec![0; CELLS]),
        }
    }

    /// Counts an arrival; answers whether its tenant sends more than its share.
    pub(super) fn count(&self, tenant: u64) -> bool {
        let mut exceeds = true;
        for cell in cells(tenant) {
            self.arrived[cell].fetch_add(1, Ordering::Relaxed);
            let bits = self.exceeds[cell / PER_WORD].load(Ordering::Relaxed);
            exceeds &= bits >> (cell % PER_WORD) & 1 == 1;
        }
        exceeds
    }

    /// The end of a step in which `begun` were begun. `spares`: whether anybody is to be spared.
    pub(super) fn step(&self, begun: u64, spares: bool) {
        let Ok(mut averages) = self.averages.try_lock() else {
            return;
        };
        for (average, arrived) in averages.iter_mut().zip(&self.arrived) {
            let arrived = arrived.swap(0, Ordering::Relaxed);
            *average = *average / 2 + arrived.saturating_mul(UNIT / 2);
        }
        // Each tenant is counted in two cells.
        let active = averages.iter().filter(|one| **one >= ACTIVE).count() as u64;
        let tenants = active.div_ceil(2).max(1);
        let most = (begun * UNIT / tenants * TOLERATED).max(UNIT);
        for (word, averages) in self.exceeds.iter().zip(averages.chunks(PER_WORD)) {
            let exceeds = |average: &u64| !spares || *average > most;
            let bits = averages
                .iter()
                .rev()
                .fold(0, |bits, average| bits << 1 | u64::from(exceeds(average)));
            word.store(bits, Ordering::Relaxed);
        }
    }
}

const fn cells(tenant: u64) -> [usize; 2] {
    // The id is a hash, or a small number: spread it, and take both ends of the product.
    let spread = tenant.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    [
        (spread >> 54) as usize,
        (spread >> 32 & (CELLS as u64 - 1)) as usize,
    ]
}
