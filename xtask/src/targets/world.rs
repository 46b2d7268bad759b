//! What the rows of a run share: the assets, the device, and everything that is loaded once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use data::Dataset;
use experiments::laboratory::HeapCounter;
use experiments::terminal;
use miette::{Context, IntoDiagnostic};
use network::{Device, DeviceChoice, Model, Network, Precision};

use super::measure::{Bench, Moments};
use super::row::Sample;
use super::score::Probe;

/// Things that are made once, by name.
pub(super) struct Shelf<T>(RefCell<BTreeMap<String, Rc<T>>>);

impl<T> Shelf<T> {
    fn new() -> Self {
        Self(RefCell::new(BTreeMap::new()))
    }

    /// The thing of that name, made when it is first asked for.
    pub(super) fn get(
        &self,
        name: &str,
        make: impl FnOnce() -> miette::Result<T>,
    ) -> miette::Result<Rc<T>> {
        if let Some(found) = self.0.borrow().get(name) {
            return Ok(found.clone());
        }
        let made = Rc::new(make()?);
        self.0.borrow_mut().insert(name.to_owned(), made.clone());
        Ok(made)
    }

    /// Drops what has another name.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.0.borrow_mut().retain(|name, _| keep(name));
    }
}

/// A network and the file that it was loaded from.
pub(super) struct Subject {
    pub(super) checkpoint: Model,
    pub(super) network: Network,
}

/// What the rows of a run share.
pub(super) struct World {
    pub(super) assets: PathBuf,
    pub(super) device: Device,
    pub(super) heap: HeapCounter,
    /// The margin that the command line asks for.
    pub(super) margin: Option<f64>,
    pub(super) datasets: Shelf<Dataset>,
    pub(super) subjects: Shelf<Subject>,
    pub(super) benches: Shelf<Bench>,
    pub(super) moments: Shelf<Moments>,
    pub(super) probes: Shelf<Probe>,
    pub(super) samples: Shelf<Sample>,
    /// What the original networks answer.
    pub(super) answers: Shelf<Vec<usize>>,
}

impl World {
    pub(super) fn new(
        assets: PathBuf,
        heap: HeapCounter,
        margin: Option<f64>,
    ) -> miette::Result<Self> {
        Ok(Self {
            assets,
            device: DeviceChoice::Flex.open().into_diagnostic()?,
            heap,
            margin,
            datasets: Shelf::new(),
            subjects: Shelf::new(),
            benches: Shelf::new(),
            moments: Shelf::new(),
            probes: Shelf::new(),
            samples: Shelf::new(),
            answers: Shelf::new(),
        })
    }

    /// A file or folder of the assets.
    pub(super) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.assets.join(relative)
    }

    /// The network in a file of the assets.
    pub(super) fn subject(&self, file: &str, precision: Precision) -> miette::Result<Rc<Subject>> {
        self.subjects.get(file, || {
            say(&format!("loads {file}"));
            let path = self.path(file);
            let load = || {
                let checkpoint = Model::open(&path)?;
                let network = Network::load(&checkpoint, &self.device, precision)?;
                Ok(Subject {
                    checkpoint,
                    network,
                })
            };
            let loaded: Result<_, network::NetworkError> = load();
            loaded
                .into_diagnostic()
                .wrap_err_with(|| format!("network {}", path.display()))
        })
    }
}

/// Progress goes to stderr, so that stdout holds the table alone.
pub(super) fn say(line: &str) {
    terminal::say(format_args!("  {line}"));
}
