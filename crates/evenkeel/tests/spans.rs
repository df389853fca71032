//! A span for each attempt, for whoever listens.
#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what it cannot go on without"
)]

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evenkeel::core::{policy::Config, retry};
use evenkeel::{Attempt, Clock, Dependency};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Notes the fields of every span.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "evenkeel::attempt"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        let mut spans = self.0.lock().unwrap();
        spans.push(fields.0);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_span_that_says_whose_it_is_and_why_it_was_made() {
    let notes = Notes::default();
    let listening = tracing::subscriber::set_default(notes.clone());
    let mut config = Config::new(Duration::from_secs(10));
    config.retry = Some(retry::Config::default());
    let suggest =
        Dependency::with_clock("shop", "search", config, Clock::runtime()).operation("suggest");
    let answer = suggest.call(|attempt: Attempt| async move {
        if attempt.number() == 1 {
            Err(())
        } else {
            Ok(())
        }
    });
    answer.await.unwrap();
    drop(listening);
    let spans = notes.0.lock().unwrap();
    let whose = "attempt service=shop dependency=search operation=suggest";
    assert_eq!(
        *spans,
        [
            format!("{whose} number=1 kind=\"first\" endpoint=0"),
            format!("{whose} number=2 kind=\"retry\" endpoint=0"),
        ]
    );
}
