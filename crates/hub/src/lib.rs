//! Downloads, cache and checksums of weights and datasets.
//!
//! A source is a name in a registry, a repository of the Hugging Face hub, or a local path; fetching
//! it gives local files, and a file is used only if its bytes are the promised ones:
//!
//! ```text
//! source  ->  { (file_i, path_i) },    sha256(path_i) = promised_i
//! ```
//!
//! `promised_i` is the registry's checksum, or else the one that a lock file next to the registry
//! pinned on first use, or else, on that first use, the hub's own checksum of a large file.
//!
//! ```
//! use hub::{Hub, Kind, Settings, Silent, Status};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let weights = folder.path();
//! # std::fs::write(weights.join("mine.safetensors"), [0; 8])?;
//! std::fs::write(
//!     weights.join("registry.toml"),
//!     r#"
//!     [[weights]]
//!     name = "squeezenet1.1"
//!     repository = "lmz/candle-onnx"
//!     revision = "main"
//!     architecture = "squeezenet1_1"
//!     licence = "Apache-2.0"
//!     files = [{ path = "squeezenet1.1-7.onnx" }]
//!
//!     [weights.input.image]
//!     short_side = 256
//!     crop = 224
//!     interpolation = "bilinear"
//!     channels = "rgb"
//!     mean = [0.485, 0.456, 0.406]
//!     std = [0.229, 0.224, 0.225]
//!     "#,
//! )?;
//! let settings = Settings::with_cache(weights.join("cache"));
//! let mut hub = Hub::open(weights, Kind::Model, settings)?;
//! assert_eq!(hub.registry().names(), ["squeezenet1.1"]);
//!
//! // `squeezenet1.1` or `owner/name@revision` in its place would be downloaded.
//! let path = weights.join("mine.safetensors");
//! let fetched = hub.fetch(&path.to_string_lossy(), &mut Silent)?;
//! assert_eq!(fetched.files[0].status, Status::Local);
//! assert_eq!(fetched.path("mine.safetensors"), Some(path.as_path()));
//! # Ok(())
//! # }
//! ```
//!
//! Supported:
//!
//! - models and datasets of a Hugging Face hub or a mirror of one, public, private or gated;
//! - the cache layout of the hub's other clients, so that files are shared with them;
//! - resuming with range requests, retries with growing pauses, timeouts, disk space checked first;
//! - work without a network on what is cached;
//! - registry and lock files in TOML with unknown keys refused and faults placed by line and column.
//!
//! Not supported: uploads, spaces, plain web addresses as sources, free space on systems other than
//! Unix (there the download itself fails when the disk is full).
//!
//! # What `hf-hub` does here, and what not
//!
//! Cache layout, the token file and the names of repositories in addresses are `hf-hub`'s. Requests are
//! not: its client appends whatever a server sends to a resumed file, takes a body that ends early for a
//! whole one, has no timeout, compares no checksum, and sends the token along where a listing or a file is
//! redirected to another port of the host. The requests here use the same HTTP client, `ureq`, which
//! `hf-hub` does not expose.
//!
//! # Whom it trusts
//!
//! The token, and the password of `HF_ENDPOINT`, go to that address's scheme, host and port alone; a
//! message shows neither. A redirect that gives up encryption, leads to anything but http or https, or
//! names a user is refused. What lies in the cache counts once its bytes are found to be the promised
//! ones, or those that the hub's entity tag names (a sha256, or git's name of a blob); the cache is
//! written through no link.

mod address;
mod cache;
mod card;
mod checksum;
mod client;
mod error;
mod failure;
mod fetch;
mod listing;
mod lock;
mod plain;
mod progress;
mod registry;
mod repository;
mod selection;
mod settings;
mod source;
mod space;
mod transfer;

pub use card::{Accuracy, Card, Channels, ImageInput, Input, Interpolation, TextInput};
pub use checksum::Checksum;
pub use error::{HubError, Mismatch, Missing, Promise};
pub use fetch::{Fetched, FetchedFile, Hub, Status};
pub use lock::{Lock, Pin};
pub use progress::{Progress, Silent};
pub use registry::{Entry, RegisteredFile, Registry};
pub use repository::{Kind, Repository};
pub use settings::{Settings, Token};
pub use source::Source;
