//! How far a run is, on standard error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal;

/// Lines are written at most this often where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// And notes of what is being done.
const NOTE_INTERVAL: Duration = Duration::from_secs(5);
/// Time between two pictures of a bar.
const TICK: Duration = Duration::from_millis(200);

/// A bar on a terminal, lines elsewhere, or nothing; clones share it.
#[derive(Clone, Debug)]
pub struct Progress {
    view: View,
}

#[derive(Clone, Debug)]
enum View {
    Bar(ProgressBar),
    Lines(Arc<Mutex<Lines>>),
    Silent,
}

#[derive(Debug)]
struct Lines {
    total: usize,
    already: usize,
    position: usize,
    started: Instant,
    written: Instant,
}

impl Lines {
    fn new(now: Instant) -> Self {
        Self {
            total: 0,
            already: 0,
            position: 0,
            started: now,
            written: now,
        }
    }

    /// The line to write of what is being done at `now`, if it is time for one.
    fn note(&mut self, doing: &str, now: Instant) -> Option<String> {
        let due = now.saturating_duration_since(self.written) >= NOTE_INTERVAL;
        if self.total > 0 || !due {
            return None;
        }
        self.written = now;
        let elapsed = now.saturating_duration_since(self.started);
        Some(format!("{}  {doing}", seconds(elapsed)))
    }
}

impl Progress {
    /// A bar if standard error is a terminal, otherwise a line now and then.
    pub fn detect() -> Self {
        if !terminal::is_interactive() {
            return Self::lines();
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let view = View::Bar(bar);
        Self { view }
    }

    /// Lines, also on a terminal.
    pub fn lines() -> Self {
        let lines = Lines::new(Instant::now());
        let view = View::Lines(Arc::new(Mutex::new(lines)));
        Self { view }
    }

    /// Shows nothing.
    pub fn silent() -> Self {
        Self { view: View::Silent }
    }

    /// A bar that is drawn nowhere, and a handle to it.
    #[cfg(test)]
    pub(crate) fn hidden() -> (Self, ProgressBar) {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let view = View::Bar(bar.clone());
        (Self { view }, bar)
    }

    /// Writes a line.
    pub(crate) fn say(&self, line: &str) {
        match &self.view {
            View::Bar(bar) => bar.suspend(|| terminal::say(line)),
            View::Lines(_) => terminal::say(line),
            View::Silent => {}
        }
    }

    /// Shows what is being done, unless steps are counted: beside a spinner on a terminal, elsewhere
    /// as a line now and then.
    pub(crate) fn note(&self, doing: &str) {
        match &self.view {
            View::Bar(bar) if bar.length() == Some(0) => {
                if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}") {
                    bar.set_style(style);
                }
                terminal::message(bar, doing);
                bar.enable_steady_tick(TICK);
            }
            View::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines.note(doing, Instant::now()) {
                    terminal::say(line);
                }
            }
            View::Bar(_) | View::Silent => {}
        }
    }

    pub(crate) fn start(&self, total: usize, already: usize) {
        match &self.view {
            View::Bar(bar) => {
                let template = "{bar:32} {pos}/{len}  {elapsed} elapsed, {eta} left  {wide_msg}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_length(total as u64);
                bar.set_position(already as u64);
                bar.reset_eta();
                bar.enable_steady_tick(TICK);
            }
            View::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.total = total;
                lines.already = already;
                lines.position = already;
                lines.started = Instant::now();
                lines.written = lines.started;
                terminal::say(format_args!("{total} steps, {already} done before"));
            }
            View::Silent => {}
        }
    }

    pub(crate) fn advance(&self, name: &str) {
        match &self.view {
            View::Bar(bar) => {
                bar.inc(1);
                terminal::message(bar, name);
            }
            View::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.position += 1;
                if lines.written.elapsed() >= LINE_INTERVAL || lines.position == lines.total {
                    lines.written = Instant::now();
                    let elapsed = lines.started.elapsed();
                    let done = lines.position - lines.already;
                    let left = remaining(elapsed, done, lines.total - lines.position);
                    terminal::say(format_args!(
                        "{}/{}  {} elapsed, about {} left  {name}",
                        lines.position,
                        lines.total,
                        seconds(elapsed),
                        seconds(left)
                    ));
                }
            }
            View::Silent => {}
        }
    }

    pub(crate) fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

/// The time left if the rest takes as long per item as what is done.
fn remaining(elapsed: Duration, done: usize, left: usize) -> Duration {
    elapsed.mul_f64(left as f64 / done.max(1) as f64)
}

/// A duration for people, such as `1m20s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_extrapolates_the_mean_time() {
        let left = remaining(Duration::from_secs(30), 10, 20);
        assert_eq!(left, Duration::from_secs(60));
        assert_eq!(remaining(Duration::from_secs(30), 10, 0), Duration::ZERO);
    }

    #[test]
    fn notes_are_written_at_most_every_few_seconds_and_never_between_counted_steps() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lines = Lines::new(start);
        assert_eq!(lines.note("moments", at(4)), None);
        assert_eq!(lines.note("moments", at(5)), Some("5s  moments".into()));
        assert_eq!(lines.note("step", at(9)), None);
        assert_eq!(lines.note("step", at(70)), Some("1m10s  step".into()));
        lines.total = 3;
        assert_eq!(lines.note("step", at(99)), None);
    }

    #[test]
    fn durations_read_as_clock_times() {
        assert_eq!(seconds(Duration::from_millis(900)), "1s");
        assert_eq!(seconds(Duration::from_secs(80)), "1m20s");
        assert_eq!(seconds(Duration::from_secs(3720)), "1h02m");
    }
}
