//! A hub on loopback that can be told to misbehave.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hub::{Checksum, Hub, Kind, Settings};
use sha1::{Digest, Sha1};
use tempfile::TempDir;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub does instead of answering well.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, with these headers.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// So many bytes of the body, then the connection ends.
    Cut(usize),
    /// So many bytes of the body, then silence.
    Stall(usize),
    /// The whole file with status 200, whatever range was asked for.
    NoRanges,
    /// Status 206 from the first byte on, whatever range was asked for.
    WrongRange,
    /// More bytes than the file has.
    Longer(usize),
    /// As many bytes as the file has, but others.
    OtherBytes,
    /// A redirect.
    Redirect(String),
    /// Bytes that claim to be compressed.
    Compressed,
    /// The connection ends without an answer.
    HangUp,
}

/// A file of the hub.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) bytes: Vec<u8>,
    /// Large files have their checksum as entity tag.
    pub(crate) large: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// First byte that was asked for.
    pub(crate) from: Option<u64>,
    pub(crate) authorization: Option<String>,
}

#[derive(Default)]
struct State {
    /// By path of the address.
    files: BTreeMap<String, Served>,
    requests: Vec<Request>,
    /// One for each coming request for bytes.
    bodies: VecDeque<Fault>,
    /// For every later one.
    bodies_from_then_on: Option<Fault>,
    /// One for each coming request for metadata.
    heads: VecDeque<Fault>,
    heads_from_then_on: Option<Fault>,
    listings_from_then_on: Option<Fault>,
    /// Headers that metadata have instead of their own.
    altered: Vec<(String, String)>,
}

pub(crate) struct MockHub {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MockHub {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (state, stop) = (Arc::clone(&state), Arc::clone(&stop));
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let state = Arc::clone(&state);
                    // A client that has given up is no failure of the test.
                    thread::spawn(move || drop(answer(stream.unwrap(), &state)));
                }
            }
        });
        Self {
            endpoint,
            state,
            stop,
            thread: Some(thread),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Serves a large file of a model or, as `datasets/owner/name`, of a dataset.
    pub(crate) fn serve(&self, repository: &str, revision: &str, file: &str, bytes: &[u8]) {
        self.serve_at(
            &format!("/{repository}/resolve/{revision}/{file}"),
            bytes,
            true,
        );
    }

    /// Serves a file whose entity tag is git's name of its bytes.
    pub(crate) fn serve_small(&self, repository: &str, revision: &str, file: &str, bytes: &[u8]) {
        self.serve_at(
            &format!("/{repository}/resolve/{revision}/{file}"),
            bytes,
            false,
        );
    }

    pub(crate) fn serve_at(&self, path: &str, bytes: &[u8], large: bool) {
        let served = Served {
            bytes: bytes.to_vec(),
            large,
        };
        self.with(|state| state.files.insert(path.to_owned(), served));
    }

    /// Faults of the coming requests for bytes, one each.
    pub(crate) fn bodies(&self, faults: impl IntoIterator<Item = Fault>) {
        self.with(|state| state.bodies.extend(faults));
    }

    pub(crate) fn all_bodies(&self, fault: Fault) {
        self.with(|state| state.bodies_from_then_on = Some(fault));
    }

    pub(crate) fn heads(&self, faults: impl IntoIterator<Item = Fault>) {
        self.with(|state| state.heads.extend(faults));
    }

    pub(crate) fn all_heads(&self, fault: Fault) {
        self.with(|state| state.heads_from_then_on = Some(fault));
    }

    pub(crate) fn all_listings(&self, fault: Fault) {
        self.with(|state| state.listings_from_then_on = Some(fault));
    }

    pub(crate) fn alter(&self, header: &str, value: &str) {
        self.with(|state| state.altered.push((header.to_owned(), value.to_owned())));
    }

    /// Ends every fault.
    pub(crate) fn behave(&self) {
        self.with(|state| {
            state.bodies.clear();
            state.heads.clear();
            state.bodies_from_then_on = None;
            state.heads_from_then_on = None;
            state.listings_from_then_on = None;
            state.altered.clear();
        });
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.with(|state| std::mem::take(&mut state.requests))
    }

    /// First bytes asked for by the requests for bytes since the last call.
    pub(crate) fn ranges(&self) -> Vec<Option<u64>> {
        let requests = self.requests().into_iter();
        let bodies = requests.filter(|request| request.method == "GET");
        bodies.map(|request| request.from).collect()
    }
}

impl Drop for MockHub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let address = self.endpoint.trim_start_matches("http://");
        drop(TcpStream::connect(address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let request = read_request(&stream)?;
    let is_head = request.method == "HEAD";
    let is_listing = request.path.starts_with("/api/");
    let (served, fault, altered, listing) = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        let fault = if is_listing {
            state.listings_from_then_on.clone()
        } else if is_head {
            state
                .heads
                .pop_front()
                .or_else(|| state.heads_from_then_on.clone())
        } else {
            state
                .bodies
                .pop_front()
                .or_else(|| state.bodies_from_then_on.clone())
        };
        let served = state.files.get(&request.path).cloned();
        let listing = listing(&state, &request.path);
        (served, fault, state.altered.clone(), listing)
    };
    match &fault {
        Some(Fault::HangUp) => return stream.shutdown(Shutdown::Both),
        Some(Fault::Status(status, headers)) => return send(&stream, *status, headers, b""),
        Some(Fault::Redirect(target)) => {
            let mut headers = vec![("Location", target.as_str())];
            let tags = served.as_ref().map(tags).unwrap_or_default();
            headers.extend(tags.iter().map(|(name, value)| (*name, value.as_str())));
            return send(&stream, 302, &headers, b"");
        }
        _ => {}
    }
    if is_listing {
        return match listing {
            Some(listing) => send(&stream, 200, &[], listing.as_bytes()),
            None => send(&stream, 404, &[], b""),
        };
    }
    let Some(served) = served else {
        return send(&stream, 404, &[], b"");
    };
    if is_head {
        if let Some(Fault::Stall(_)) = fault {
            await_end(&stream)?;
        }
        let mut headers = tags(&served);
        headers.retain(|(name, _)| altered.iter().all(|(other, _)| other != name));
        let altered = altered
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = headers
            .chain(altered)
            .filter(|(_, v)| !v.is_empty())
            .collect();
        return send_head(&stream, 200, &headers, served.bytes.len());
    }
    send_body(&stream, &request, &served, fault)
}

fn send_body(
    mut stream: &TcpStream,
    request: &Request,
    served: &Served,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let mut bytes = served.bytes.clone();
    if let Some(Fault::OtherBytes) = fault {
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    }
    let size = bytes.len();
    let from = match (&fault, request.from) {
        (Some(Fault::NoRanges), _) | (_, None) => None,
        (Some(Fault::WrongRange), Some(_)) => Some(0),
        (_, Some(from)) => Some(from as usize),
    };
    if from.is_some_and(|from| from >= size) {
        return send(stream, 416, &[], b"");
    }
    bytes.drain(..from.unwrap_or(0));
    if let Some(Fault::Longer(more)) = fault {
        bytes.extend(std::iter::repeat_n(7, more));
    }
    let range = from.map(|from| format!("bytes {from}-{}/{size}", size - 1));
    let mut headers: Vec<(&str, &str)> = Vec::new();
    headers.extend(range.as_deref().map(|range| ("Content-Range", range)));
    if let Some(Fault::Compressed) = fault {
        headers.push(("Content-Encoding", "gzip"));
    }
    let status = if range.is_some() { 206 } else { 200 };
    send_head(stream, status, &headers, bytes.len())?;
    match fault {
        Some(Fault::Cut(n)) => stream.write_all(&bytes[..n.min(bytes.len())])?,
        Some(Fault::Stall(n)) => {
            stream.write_all(&bytes[..n.min(bytes.len())])?;
            await_end(stream)?;
        }
        _ => stream.write_all(&bytes)?,
    }
    stream.shutdown(Shutdown::Both)
}

/// Waits until the client has had enough.
fn await_end(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut nothing = [0];
    while stream.read(&mut nothing)? > 0 {}
    Ok(())
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut words = first.split(' ');
    let mut request = Request {
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().to_owned(),
        from: None,
        authorization: None,
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "range" => {
                let from = value.trim_start_matches("bytes=").trim_end_matches('-');
                request.from = Some(from.parse().unwrap());
            }
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(request)
}

/// Headers that describe a file.
fn tags(served: &Served) -> Vec<(&'static str, String)> {
    let sha256 = Checksum::of(&served.bytes).to_string();
    let mut tags = vec![("X-Repo-Commit", COMMIT.to_owned())];
    if served.large {
        tags.push(("X-Linked-Etag", format!("\"{sha256}\"")));
        tags.push(("X-Linked-Size", served.bytes.len().to_string()));
    } else {
        tags.push(("ETag", format!("W/\"{}\"", git_tag(&served.bytes))));
    }
    tags
}

/// The entity tag of a small file: git's name of a blob with these bytes.
pub(crate) fn git_tag(bytes: &[u8]) -> String {
    let mut state = Sha1::new();
    state.update(format!("blob {}\0", bytes.len()));
    state.update(bytes);
    let digest = state.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `/api/models/owner/name/revision/main` as the hub answers it, if a file of it is served.
fn listing(state: &State, path: &str) -> Option<String> {
    let path = path.strip_prefix("/api/")?;
    let path = path.strip_prefix("models/").unwrap_or(path);
    let prefix = format!("/{}/", path.replace("/revision/", "/resolve/"));
    let files = state
        .files
        .keys()
        .filter_map(|file| file.strip_prefix(&prefix));
    let siblings: Vec<_> = files
        .map(|file| format!("{{\"rfilename\": \"{file}\"}}"))
        .collect();
    let siblings = siblings.join(", ");
    let listing = format!("{{\"sha\": \"{COMMIT}\", \"siblings\": [{siblings}]}}");
    (!siblings.is_empty()).then_some(listing)
}

fn send_head(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    length: usize,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    stream.write_all(head.as_bytes())
}

fn send(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<()> {
    send_head(stream, status, headers, body.len())?;
    stream.write_all(body)?;
    stream.shutdown(Shutdown::Both)
}

/// A hub and a folder with a registry, a lock file and a cache.
pub(crate) struct Fixture {
    pub(crate) server: MockHub,
    pub(crate) folder: TempDir,
}

/// The repository of most tests, and its registered file.
pub(crate) const REPOSITORY: &str = "owner/net";
pub(crate) const FILE: &str = "model.safetensors";

impl Fixture {
    /// With one entry `net`, the file [`FILE`] of [`REPOSITORY`], without a checksum.
    pub(crate) fn new() -> Self {
        Self::with_registry(&entry(None))
    }

    /// With one entry `net` whose file has this checksum.
    pub(crate) fn with_checksum(sha256: Checksum) -> Self {
        Self::with_registry(&entry(Some(sha256)))
    }

    pub(crate) fn with_registry(registry: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("registry.toml"), registry).unwrap();
        Self {
            server: MockHub::start(),
            folder,
        }
    }

    /// Settings that lose no time, yet do not give up on a busy machine.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::with_cache(self.cache());
        settings.endpoint = self.server.endpoint.clone();
        settings.retries = 2;
        settings.backoff = Duration::from_millis(1);
        settings.connect_timeout = Duration::from_secs(60);
        settings.read_timeout = Duration::from_secs(60);
        settings
    }

    pub(crate) fn hub(&self) -> Hub {
        self.hub_with(self.settings())
    }

    pub(crate) fn offline(&self) -> Hub {
        let mut settings = self.settings();
        settings.offline = true;
        self.hub_with(settings)
    }

    pub(crate) fn hub_with(&self, settings: Settings) -> Hub {
        Hub::open(self.folder.path(), Kind::Model, settings).unwrap()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub(crate) fn lock_file(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("hub.lock")).unwrap_or_default()
    }

    /// Names in the cache that stand for something whole: blobs, snapshots and references.
    pub(crate) fn finished(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.cache(), &mut names);
        names.retain(|name| !name.ends_with(".part") && !name.ends_with(".lock"));
        names.sort();
        names
    }

    /// The bytes that wait to be continued.
    pub(crate) fn partial(&self) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        collect(&self.cache(), &mut names);
        let part = names.iter().find(|name| name.ends_with(".part"))?;
        Some(std::fs::read(part).unwrap())
    }
}

fn collect(folder: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, names);
        } else {
            names.push(path.display().to_string());
        }
    }
}

fn entry(sha256: Option<Checksum>) -> String {
    let sha256 = sha256
        .map(|sha256| format!(", sha256 = \"{sha256}\""))
        .unwrap_or_default();
    format!(
        "[[weights]]\n\
         name = \"net\"\n\
         repository = \"{REPOSITORY}\"\n\
         revision = \"main\"\n\
         licence = \"MIT\"\n\
         architecture = \"mobilevit_xxs\"\n\
         files = [{{ path = \"{FILE}\"{sha256} }}]\n\
         [weights.input.image]\n\
         short_side = 284\n\
         crop = 256\n\
         interpolation = \"bicubic\"\n\
         channels = \"rgb\"\n\
         mean = [0.0, 0.0, 0.0]\n\
         std = [1.0, 1.0, 1.0]\n"
    )
}

/// Bytes without a pattern that a wrong offset would keep.
pub(crate) fn bytes(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}
