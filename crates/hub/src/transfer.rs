//! One file, from a hub into a part file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, StatusCode};

use crate::checksum::{BLOCK, Running};
use crate::client::{Client, number, text};
use crate::failure::{Cause, Failure};
use crate::{HubError, Progress, Repository, Settings, plain, space};

/// The longest pause between attempts that nobody asked for.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// A file that is to be transferred.
pub(crate) struct Transfer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) settings: &'a Settings,
    pub(crate) repository: &'a Repository,
    pub(crate) file: &'a str,
    /// Size in bytes, if the hub says it.
    pub(crate) size: Option<u64>,
}

/// A part file and what is in it.
struct Part<'a> {
    path: &'a Path,
    file: File,
    content: Running,
}

/// Runs `attempt` until it succeeds, fails for good, or fails `retries` times in a row after the first.
/// An attempt that returns `true` in its failure made progress, and the count begins again.
pub(crate) fn retrying<T>(
    settings: &Settings,
    url: &str,
    progress: &mut dyn Progress,
    mut attempt: impl FnMut(&mut dyn Progress) -> Result<T, (Failure, bool)>,
) -> Result<T, HubError> {
    let mut failed = 0;
    loop {
        let (cause, asked, progressed) = match attempt(progress) {
            Ok(value) => return Ok(value),
            Err((Failure::Final(error), _)) => return Err(error),
            Err((Failure::Transient { cause, pause }, progressed)) => (cause, pause, progressed),
        };
        failed = if progressed { 1 } else { failed + 1 };
        if failed > settings.retries {
            return Err(cause.into_error(url, failed, settings));
        }
        let doubled = settings.backoff.saturating_mul(1 << (failed - 1).min(16));
        let pause = asked.unwrap_or(doubled.min(MAX_BACKOFF));
        progress.retry(&cause.brief(), failed, pause);
        sleep(pause);
    }
}

impl Transfer<'_> {
    /// Fills the part file and returns what is in it; what is there already is continued.
    pub(crate) fn run(
        &self,
        path: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Running, HubError> {
        let mut part = Part::open(path)?;
        if self.size.is_some_and(|size| part.content.size() > size) {
            part.clear()?;
        }
        let needed = self.size.map(|size| size - part.content.size());
        check_space(path, needed.unwrap_or(0))?;
        progress.begin(self.file, self.size, part.content.size());
        let url = self.client.url(self.repository, self.file);
        let mut most = part.content.size();
        let outcome = retrying(self.settings, &url, progress, |progress| {
            let outcome = self.attempt(&mut part, progress);
            let progressed = part.content.size() > most;
            most = most.max(part.content.size());
            outcome.map_err(|failure| (failure, progressed))
        });
        progress.end();
        outcome.map(|()| part.content)
    }

    /// One request, and its body to the end.
    fn attempt(&self, part: &mut Part, progress: &mut dyn Progress) -> Result<(), Failure> {
        let start = part.content.size();
        if start > 0 && self.size == Some(start) {
            return Ok(());
        }
        let url = self.client.url(self.repository, self.file);
        let response = self.client.open(self.repository, self.file, start)?;
        if let Some(encoding) = text(response.headers(), "content-encoding")
            && encoding != "identity"
        {
            let problem = format!("expected the file's own bytes, got them encoded as {encoding}");
            return Err(HubError::protocol(&url, problem).into());
        }
        match self.position(&response, start) {
            Ok(position) if position == start => {}
            // A server that knows no ranges sends the whole file.
            Ok(_) => part.clear()?,
            Err(problem) => {
                part.clear()?;
                return Err(Cause::Unusable(problem).into());
            }
        }
        progress.at(part.content.size());

        let length = number(response.headers(), "content-length");
        let announced = length.map(|length| part.content.size().saturating_add(length));
        if self.size.is_none() {
            check_space(part.path, length.unwrap_or(0))?;
        }
        let expected = self.size.or(announced);
        if let (Some(expected), Some(got)) = (expected, announced)
            && got > expected
        {
            return Err(too_long(&url, expected, got));
        }
        self.receive(response, part, expected, &url, progress)
    }

    /// Byte of the file at which the body begins, or what is wrong with the answer.
    fn position(&self, response: &Response<Body>, start: u64) -> Result<u64, String> {
        match response.status() {
            StatusCode::OK => Ok(0),
            StatusCode::PARTIAL_CONTENT => {
                let range = text(response.headers(), "content-range").unwrap_or("none");
                let (position, total) = parse_range(range)
                    .ok_or_else(|| format!("expected a Content-Range, got `{range}`"))?;
                if position != start {
                    return Err(format!(
                        "expected bytes from {start} on, got from {position}"
                    ));
                }
                match (total, self.size) {
                    (Some(total), Some(size)) if total != size => Err(format!(
                        "expected a file of {size} bytes, got one of {total}"
                    )),
                    _ => Ok(position),
                }
            }
            other => Err(format!(
                "no bytes from {start} on: status {}",
                other.as_u16()
            )),
        }
    }

    fn receive(
        &self,
        response: Response<Body>,
        part: &mut Part,
        expected: Option<u64>,
        url: &str,
        progress: &mut dyn Progress,
    ) -> Result<(), Failure> {
        let mut body = response.into_body().into_reader();
        let mut block = vec![0; BLOCK];
        loop {
            let n = match body.read(&mut block) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => {
                    let cause = Cause::from(error);
                    if let Cause::Unusable(_) = cause {
                        part.clear()?;
                    }
                    return Err(cause.into());
                }
            };
            let got = part.content.size() + n as u64;
            if let Some(expected) = expected
                && got > expected
            {
                return Err(too_long(url, expected, got));
            }
            part.append(&block[..n], expected)?;
            progress.at(part.content.size());
        }
        let got = part.content.size();
        match expected {
            Some(expected) if got < expected => Err(Cause::Short { expected, got }.into()),
            _ => Ok(()),
        }
    }
}

impl<'a> Part<'a> {
    fn open(path: &'a Path) -> Result<Self, HubError> {
        let mut file = plain::open(path).map_err(HubError::io("write", path))?;
        let mut content = Running::default();
        content
            .read(&mut file)
            .map_err(HubError::io("read", path))?;
        Ok(Self {
            path,
            file,
            content,
        })
    }

    fn clear(&mut self) -> Result<(), HubError> {
        self.file
            .set_len(0)
            .map_err(HubError::io("write", self.path))?;
        self.content = Running::default();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8], expected: Option<u64>) -> Result<(), HubError> {
        let missing = expected.unwrap_or(0).saturating_sub(self.content.size());
        self.file
            .write_all(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    disk_full(self.path, missing.max(bytes.len() as u64))
                }
                _ => HubError::io("write", self.path)(error),
            })?;
        self.content.add(bytes);
        Ok(())
    }
}

fn too_long(url: &str, expected: u64, got: u64) -> Failure {
    Failure::Final(HubError::TooLong {
        url: url.to_owned(),
        expected,
        got,
    })
}

fn check_space(path: &Path, needed: u64) -> Result<(), HubError> {
    let folder = path.parent().unwrap_or(path);
    match space::free(folder) {
        Some(free) if free < needed => Err(disk_full(path, needed)),
        _ => Ok(()),
    }
}

fn disk_full(path: &Path, needed: u64) -> HubError {
    let folder = path.parent().unwrap_or(path);
    HubError::DiskFull {
        folder: folder.to_owned(),
        needed,
        free: space::free(folder).unwrap_or(0),
    }
}

/// First byte and size of the whole file in `bytes 5-9/10`; the size may be `*`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    (first <= last).then_some((first, total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    #[test]
    fn ranges_are_read() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 0-0/*"), Some((0, None)));
        for bad in [
            "",
            "bytes */10",
            "bytes 9-5/10",
            "items 5-9/10",
            "bytes 5-9",
            "bytes -1-9/10",
        ] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }

    /// Pauses that `retrying` announces before it gives up.
    fn pauses(settings: &Settings, mut failures: Vec<(Failure, bool)>) -> (Vec<u64>, String) {
        struct Pauses(Vec<u64>);
        impl Progress for Pauses {
            fn retry(&mut self, _: &str, _: u32, pause: Duration) {
                self.0.push(pause.as_micros() as u64);
            }
        }
        let mut seen = Pauses(Vec::new());
        failures.reverse();
        let outcome = retrying(settings, "url", &mut seen, |_| match failures.pop() {
            Some(failure) => Err(failure),
            None => Ok(()),
        });
        (
            seen.0,
            outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
        )
    }

    #[test]
    fn pauses_double_and_progress_starts_the_count_again() {
        let mut settings = Settings::with_cache("cache");
        settings.backoff = Duration::from_micros(10);
        settings.retries = 3;
        let failure = || Failure::from(Cause::Timeout);
        let four = (0..4).map(|_| (failure(), false)).collect();
        let (seen, outcome) = pauses(&settings, four);
        assert_eq!(seen, [10, 20, 40]);
        assert!(outcome.contains("after 4 attempts"), "{outcome}");

        let progressing = [false, false, true, false, false];
        let (seen, outcome) = pauses(&settings, progressing.map(|p| (failure(), p)).into());
        assert_eq!((seen, outcome.as_str()), (vec![10, 20, 10, 20, 40], "ok"));
    }

    #[test]
    fn asked_pause_is_kept_and_final_failures_end_at_once() {
        let settings = Settings::with_cache("cache");
        let asked = Failure::Transient {
            cause: Cause::Timeout,
            pause: Some(Duration::from_micros(7)),
        };
        let last = Failure::Final(HubError::NoCache);
        let (seen, outcome) = pauses(&settings, vec![(asked, false), (last, false)]);
        assert_eq!(seen, [7]);
        assert_eq!(outcome, HubError::NoCache.to_string());
        assert!(retrying(&settings, "url", &mut Silent, |_| Ok(())).is_ok());
    }
}
