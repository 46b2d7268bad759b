//! The time that a command may take.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Work that minds the limit itself has this share of it more, or at least this long, to say what it
/// came to.
const GRACE: f64 = 0.05;
const LEAST_GRACE: Duration = Duration::from_millis(250);
/// Stack of a thread, as of a main one.
const STACK: usize = 8 << 20;

/// When a command must have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    start: Instant,
    limit: Option<Duration>,
}

impl Deadline {
    /// A limit that counts from now; `None` is none.
    pub(crate) fn from_now(limit: Option<Duration>) -> Self {
        Self {
            start: Instant::now(),
            limit,
        }
    }

    /// The limit as it was given.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// What is left of the limit.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.elapsed()))
    }

    /// Whether the limit has passed.
    pub(crate) fn passed(&self) -> bool {
        self.remaining().is_some_and(|left| left.is_zero())
    }

    /// Does some work; `None` when it takes longer than there is time. What cannot be interrupted,
    /// the set-up of a solver for one, is then left behind in a thread that ends with the process, and
    /// so must not write anything.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let Some(limit) = self.limit else {
            return Some(work());
        };
        // One grace for all that a command does.
        let end = limit + limit.mul_f64(GRACE).max(LEAST_GRACE);
        let left = end.saturating_sub(self.elapsed());
        let (answer, answered) = channel();
        let named = std::thread::Builder::new().name("work".to_owned());
        let thread = named.stack_size(STACK).spawn(move || {
            // Nobody listens any more when the time is over.
            let _ = answer.send(work());
        });
        let Ok(thread) = thread else {
            return None;
        };
        match answered.recv_timeout(left) {
            Ok(found) => Some(found),
            Err(RecvTimeoutError::Timeout) => None,
            // The work panicked, which is no matter of time.
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_without_a_limit_and_within_one() {
        assert_eq!(Deadline::from_now(None).within(|| 3), Some(3));
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(Deadline::from_now(hour).within(|| 3), Some(3));
    }

    #[test]
    fn work_that_does_not_end_is_left_behind() {
        let deadline = Deadline::from_now(Some(Duration::from_millis(50)));
        let forever = || std::thread::sleep(Duration::from_secs(3600));
        assert_eq!(deadline.within(forever), None);
        assert!(deadline.passed() && deadline.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_panic_in_the_work_is_one_here() {
        let deadline = Deadline::from_now(Some(Duration::from_secs(3600)));
        let caught = std::panic::catch_unwind(|| deadline.within(|| panic!("at work")));
        assert!(caught.is_err());
    }
}
