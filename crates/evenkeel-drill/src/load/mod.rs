//! Load that does not wait for answers.
//!
//! Most load tools send the next request when the last one was answered. When the service stalls
//! they stall with it, measure a few slow requests instead of the thousands that users would have
//! sent, and report a fine 99th percentile for an outage. Gil Tene named this *coordinated
//! omission*. The cure has two parts, and this generator has both:
//!
//! 1. **Open loop**: when a request is due is decided before the run by [`Arrivals`]; nothing the
//!    service does moves it.
//! 2. **Latency from the intended start**: if a request leaves late, for whatever reason, the
//!    wait counts. That is the *corrected* latency. The *uncorrected* one, from the moment the
//!    request was really sent, is recorded beside it, and the two are never mixed.
//!
//! The generator watches itself too: the lag between intended and real sending is recorded, and
//! requests it could not send are counted. If it was the bottleneck, no figure of the service is
//! worth anything, and [`Pace`] says so.
//!
//! A measuring device with policies of its own falsifies the measurement: nothing here retries,
//! hedges, breaks or limits. Memory is fixed by rate and length, whatever the service does:
//! latencies go into HDR histograms with fixed bounds.

mod arrivals;
mod generator;
mod record;

pub use arrivals::Arrivals;
pub use generator::{Generator, run};
pub use record::{
    Answer, Counts, LATENCY_CEILING, Latency, PACE_LIMIT, Pace, Record, Sample, Second, Summary,
};
