//! What a repair is doing, from the `tracing` events of the library.
//!
//! The library says where it is and never prints. [`Phases`] puts an event into words,
//!
//! ```text
//! margin 0.3: sequential step: rounds 4, rows 512, violation 0.021
//! guard moments: 512 of 5000
//! ```
//!
//! with the fields of the spans around it in front; `done` and `total` become one number.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::progress::Progress;
use crate::terminal::Log;

/// The crate whose events tell the phases.
const TARGETS: [&str; 2] = ["repair", "heuristics"];

/// A [`Layer`] that hands every event, in words, to a function.
pub struct Phases<F> {
    show: F,
}

impl<F: Fn(&str)> Phases<F> {
    /// A layer that calls `show` with a line for every event that it is given.
    pub fn new(show: F) -> Self {
        Self { show }
    }
}

/// Writes log records to standard error as `RUST_LOG` says. Where it is not set, those are errors,
/// and the phases of a repair go to `progress`.
///
/// # Errors
/// [`TryInitError`] when the process has a subscriber already.
pub fn install(progress: &Progress) -> Result<(), TryInitError> {
    let logs = tracing_subscriber::fmt::layer().with_writer(|| Log);
    let phases = std::env::var_os("RUST_LOG").is_none().then(|| {
        let progress = progress.clone();
        let targets =
            Targets::new().with_targets(TARGETS.map(|target| (target, LevelFilter::DEBUG)));
        Phases::new(move |line: &str| progress.note(line)).with_filter(targets)
    });
    tracing_subscriber::registry()
        .with(logs.with_filter(EnvFilter::from_default_env()))
        .with(phases)
        .try_init()
}

/// The fields of a span in words.
struct Place(String);

impl<S, F> Layer<S> for Phases<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut words = Words::default();
        attributes.record(&mut words);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Place(words.fields()));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = String::new();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Place(place)) = span.extensions().get() {
                line = format!("{place}: {line}");
            }
        }
        let mut words = Words::default();
        event.record(&mut words);
        line += &words.message;
        let fields = words.fields();
        if !fields.is_empty() {
            line = format!("{line}: {fields}");
        }
        (self.show)(&line);
    }
}

/// The fields of a span or event, as they come.
#[derive(Default)]
struct Words {
    message: String,
    done: Option<u64>,
    fields: Vec<String>,
}

impl Words {
    fn fields(&self) -> String {
        self.fields.join(", ")
    }
}

impl Visit for Words {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match (field.name(), self.done) {
            ("done", _) => self.done = Some(value),
            ("total", Some(done)) => self.fields.push(format!("{done} of {value}")),
            (name, _) => self.fields.push(format!("{name} {value}")),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields
            .push(format!("{} {}", field.name(), Short(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => {
                // Writing to a string succeeds.
                let _ = write!(self.message, "{value:?}");
            }
            name => self.fields.push(format!("{name} {value:?}")),
        }
    }
}

/// A number to three digits.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number) = self;
        if *number == 0.0 || (1e-2..1e4).contains(&number.abs()) {
            let text = format!("{number:.3}");
            f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
        } else {
            write!(f, "{number:.2e}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The lines that are shown of what `act` emits, through the filter that the commands use.
    fn lines(act: impl FnOnce()) -> Vec<String> {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let sink = shown.clone();
        let show = move |line: &str| sink.lock().unwrap().push(line.to_owned());
        let targets =
            Targets::new().with_targets(TARGETS.map(|target| (target, LevelFilter::DEBUG)));
        let layer = Phases::new(show).with_filter(targets);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
        shown.lock().unwrap().clone()
    }

    #[test]
    fn an_event_is_a_line_behind_the_spans_around_it() {
        let found = lines(|| {
            tracing::debug!(target: "repair::guard", done = 512_usize, total = 5000_usize, "guard moments");
            let span = tracing::info_span!(target: "repair", "trial", margin = 0.3);
            let _entered = span.entered();
            let fraction: Option<f64> = None;
            tracing::debug!(target: "repair", rounds = 4, violation = 0.0213, cost = 1e-7, fraction, "step");
            tracing::info!(target: "repair", "verified");
        });
        assert_eq!(
            found,
            [
                "guard moments: 512 of 5000",
                "margin 0.3: step: rounds 4, violation 0.021, cost 1.00e-7",
                "margin 0.3: verified",
            ]
        );
    }

    #[test]
    fn what_other_crates_and_finer_levels_say_is_not_shown() {
        let found = lines(|| {
            tracing::info!(target: "optim", "residual");
            tracing::trace!(target: "repair", "detail");
        });
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn numbers_have_three_digits() {
        let texts = [0.0, 1.0, 0.25, 123.4567, 1e-5, -2e6].map(|x| Short(x).to_string());
        assert_eq!(texts, ["0", "1", "0.25", "123.457", "1.00e-5", "-2.00e6"]);
    }
}
