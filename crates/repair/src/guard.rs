//! Second moments over the guard set.
//!
//! For a layer `z_t = W̃ φ_t` ([`Affine`]) and an output y_c let `D_c = Σ_t δ_{c,t} φ_tᵀ` be the
//! gradient with respect to W̃. A change Δ moves the outputs by `E‖Δy‖² ≈ E Σ_c ⟨D_c, Δ⟩²`,
//! approximated per group by a Kronecker product,
//!
//! ```text
//! E Σ_c ⟨D_c, Δ⟩²  ≈  Δᵀ (A ⊗ G) Δ
//! one position       A = E[φ φᵀ],                         G = E[Σ_c δ_c δ_cᵀ]
//! several positions  A = E[Σ_c D_cᵀ D_c] / E Σ_c ‖D_c‖²,  G = E[Σ_c D_c D_cᵀ]
//! ```
//!
//! With one position the two are taken as independent (Martens & Grosse, ICML 2015). The
//! positions of one example are anything but independent, so their sum is formed first and the
//! factors are the second moments of its rows and columns (as in Gupta, Koren & Singer,
//! ICML 2018). For images and texts, whose gradients cost more, the sum over c is estimated by one
//! random combination `Σ_c ±D_c` per example, whose expectation is the same.

use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use network::{Layer, Network, Target, Value};
use rayon::prelude::*;

use crate::RepairError;
use crate::affine::{Affine, Features};
use crate::summed::add_moments;

/// The moments of one group of a layer.
#[derive(Clone, Debug)]
pub struct GroupMoments {
    /// A, width x width.
    pub inputs: Mat<f64>,
    /// G, outputs of the group x the same.
    pub outputs: Mat<f64>,
}

/// The moments of one layer, a pair per group.
#[derive(Clone, Debug)]
pub struct LayerMoments {
    /// One entry per group of [`Affine::groups`].
    pub groups: Vec<GroupMoments>,
}

/// The moments of some layers.
#[derive(Clone, Debug)]
pub struct GuardMoments {
    layers: BTreeMap<usize, LayerMoments>,
}

/// Guard inputs that are pushed through the network at once.
const CHUNK: usize = 512;
/// Examples whose gradients are held together.
const TOGETHER: usize = 16;
/// Numbers of sensitivities and of gradients that are held at once.
const NUMBERS: usize = 1 << 25;
/// Up to this many outputs of a network of vectors each is differentiated; other outputs are
/// combined with random signs.
const EXACT_OUTPUTS: usize = 16;

impl GuardMoments {
    /// Streams the guard inputs (`n x shape`, row-major) through the network and collects the
    /// moments of `layers`.
    ///
    /// # Errors
    /// [`RepairError::NoGuard`] when there are none; [`RepairError::Unsupported`] for a layer
    /// without an affine form; [`RepairError::Network`].
    pub fn collect(
        network: &Network,
        inputs: &[f32],
        shape: &[usize],
        layers: &[Layer],
    ) -> Result<Self, RepairError> {
        let example: usize = shape.iter().product();
        let count = inputs.len() / example.max(1);
        if count == 0 {
            return Err(RepairError::NoGuard);
        }
        let mut sums = layers
            .iter()
            .map(|layer| Sums::new(network, layer))
            .collect::<Result<Vec<_>, _>>()?;
        let order = network.by_length(&inputs[..count * example], shape);
        let (mut alone, mut together): (Vec<_>, Vec<_>) =
            sums.iter_mut().partition(|sums| sums.channelwise);
        if together.len() == 1 {
            alone.append(&mut together);
        }
        let mut first = 0;
        while first < count {
            tracing::debug!(done = first, total = count, "guard moments");
            let chosen = chunk(network, &order[first..], shape, together.len());
            let (numbers, shape) = network.gathered(inputs, shape, chosen);
            let x = network.batch_of(&numbers, &shape)?;
            for sums in &mut alone {
                sums.collect_one(network, &x, first)?;
            }
            if !together.is_empty() {
                collect_all(network, &mut together, &x, first)?;
            }
            first += chosen.len();
        }
        Ok(Self {
            layers: sums.into_iter().map(|s| s.moments(count)).collect(),
        })
    }

    /// The moments of a layer.
    ///
    /// # Errors
    /// [`RepairError::Option`] when they were not collected.
    pub fn layer(&self, layer: &Layer) -> Result<&LayerMoments, RepairError> {
        self.layers
            .get(&layer.index)
            .ok_or_else(|| RepairError::Option {
                option: "guard",
                expected: format!("moments of layer `{}`", layer.name),
                got: format!("moments of {} other layers", self.layers.len()),
            })
    }
}

/// Running sums of one layer.
struct Sums {
    affine: Affine,
    inputs: Vec<Mat<f64>>,
    outputs: Vec<Mat<f64>>,
    /// Output c depends on channel c alone: one pass gives every D_c, as the rows of one matrix.
    channelwise: bool,
    /// Σ ‖D‖² per group; `None` while every example has one position.
    norms: Option<Vec<f64>>,
}

impl Sums {
    fn new(network: &Network, layer: &Layer) -> Result<Self, RepairError> {
        let affine = Affine::new(network, layer)?;
        let zeros = |n: usize| vec![Mat::<f64>::zeros(n, n); affine.groups()];
        Ok(Self {
            inputs: zeros(affine.width()),
            outputs: zeros(affine.group_outputs()),
            channelwise: network.is_channelwise_behind(layer),
            norms: None,
            affine,
        })
    }

    /// One layer alone: only the network behind it is differentiated.
    fn collect_one(
        &mut self,
        network: &Network,
        x: &Value,
        first: usize,
    ) -> Result<(), RepairError> {
        let size = x.shape()[0];
        let cut = network.run_until(self.affine.layer(), x.clone())?;
        let z = network.layer_output(&cut)?;
        let selectors = selectors(network, first, size, self.channelwise);
        let output = network.graph().output();
        let mut deltas = Vec::with_capacity(selectors.len());
        for selector in selectors {
            let classes = selector.len() / size;
            let targets: Vec<Target> = selector
                .chunks_exact(classes)
                .map(|row| {
                    let chosen = row.iter().copied().enumerate();
                    Target {
                        node: output,
                        selector: chosen.filter(|(_, s)| *s != 0.0).collect(),
                    }
                })
                .collect();
            let offsets = BTreeMap::new();
            let (delta, _) = network.sensitivities_behind(
                &cut,
                z.clone(),
                &offsets,
                &targets,
                &[],
                network::Mode::Free,
            )?;
            deltas.push(delta);
        }
        self.add(&cut.input, &deltas)
    }

    /// Adds the examples of a batch: the layer's inputs, and its sensitivities per selector.
    fn add(&mut self, input: &Value, deltas: &[Value]) -> Result<(), RepairError> {
        let shape = input.shape();
        let (batch, example) = (shape[0], shape[1..].iter().product::<usize>());
        let h = input.to_vec()?;
        let deltas = deltas
            .iter()
            .map(Value::to_vec)
            .collect::<Result<Vec<_>, _>>()?;
        let features = h
            .par_chunks_exact(example.max(1))
            .map(|h| self.affine.features(h, &shape[1..]))
            .collect::<Result<Vec<_>, _>>()?;
        let single = features.iter().all(|f| f.positions() == 1) && self.affine.groups() == 1;
        if single && self.norms.is_none() {
            self.add_independent(&features, &deltas);
            return Ok(());
        }
        for part in (0..batch).collect::<Vec<_>>().chunks(TOGETHER) {
            for delta in &deltas {
                let size = delta.len() / batch;
                let examples = part.iter().map(|&i| {
                    let delta = &delta[i * size..(i + 1) * size];
                    (delta, &features[i])
                });
                self.add_gradients(&examples.collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    /// One position per example: A and G are independent moments.
    fn add_independent(&mut self, features: &[Features], deltas: &[Vec<f64>]) {
        let rows: Vec<f64> = features
            .iter()
            .flat_map(|f| f.group(0).row(0).iter().copied().collect::<Vec<_>>())
            .collect();
        accumulate(&mut self.inputs[0], &rows, features.len());
        for delta in deltas {
            if self.channelwise {
                diagonal(&mut self.outputs[0], delta);
            } else {
                accumulate(&mut self.outputs[0], delta, features.len());
            }
        }
    }

    /// The gradients D of some examples.
    fn add_gradients(&mut self, examples: &[(&[f64], &Features)]) {
        let groups = self.affine.groups();
        let norms = self.norms.get_or_insert_with(|| vec![0.0; groups]);
        let moments = self.inputs.par_iter_mut().zip(&mut self.outputs).zip(norms);
        moments
            .enumerate()
            .for_each(|(group, ((inputs, outputs), norm))| {
                let pairs = examples.iter().map(|&(delta, features)| {
                    let delta = self.affine.sensitivity(delta, group);
                    (delta, features.group(group))
                });
                let examples: Vec<_> = pairs.collect();
                *norm += add_moments(inputs, outputs, &examples, self.channelwise);
            });
    }

    fn moments(self, count: usize) -> (usize, LayerMoments) {
        let scale = 1.0 / count as f64;
        let pairs = self.inputs.into_iter().zip(self.outputs).enumerate();
        let groups = pairs.map(|(group, (inputs, outputs))| {
            let norm = self.norms.as_ref().map(|norms| norms[group]);
            let inner = match norm {
                None => scale,
                Some(norm) if norm > 0.0 => 1.0 / norm,
                Some(_) => 0.0,
            };
            GroupMoments {
                inputs: faer::Scale(inner) * inputs,
                outputs: faer::Scale(scale) * outputs,
            }
        });
        let groups = groups.collect();
        (self.affine.layer().index, LayerMoments { groups })
    }
}

/// Several layers in one forward pass, and one forward and backward pass per selector.
fn collect_all(
    network: &Network,
    sums: &mut [&mut Sums],
    x: &Value,
    first: usize,
) -> Result<(), RepairError> {
    let size = x.shape()[0];
    let (traces, _) = network.activations(x.clone())?;
    let mut deltas: Vec<Vec<Value>> = vec![Vec::new(); sums.len()];
    for selector in selectors(network, first, size, false) {
        let all = differentiate(network, x, &selector, size)?;
        for (deltas, sums) in deltas.iter_mut().zip(&*sums) {
            deltas.push(all[sums.affine.layer().index].clone());
        }
    }
    for (sums, deltas) in sums.iter_mut().zip(deltas) {
        sums.add(&traces[sums.affine.layer().index].input, &deltas)?;
    }
    Ok(())
}

fn differentiate(
    network: &Network,
    x: &Value,
    selector: &[f64],
    size: usize,
) -> Result<Vec<Value>, RepairError> {
    let shape = [size, selector.len() / size];
    let selector = Value::from_f64(selector, &shape, network.device(), network.precision())?;
    Ok(network.sensitivities(x.clone(), selector)?)
}

/// The first of some examples, as many as fit in memory together when the values of `held` layers
/// are held at once.
fn chunk<'a>(network: &Network, order: &'a [usize], shape: &[usize], held: usize) -> &'a [usize] {
    let example: usize = shape.iter().product();
    let widest = network.layers().iter().map(|layer| layer.outputs).max();
    // An image's largest value has about as many numbers per channel as its input.
    let numbers = match shape.len() {
        1 => example.max(widest.unwrap_or(1)),
        _ => example * widest.unwrap_or(1) / 4,
    };
    let most = (CHUNK / held.max(1)).max(4);
    let size = (NUMBERS / numbers.max(1)).clamp(4, most);
    &order[..size.min(order.len())]
}

/// The combinations of outputs that are differentiated, each examples x outputs.
fn selectors(network: &Network, first: usize, size: usize, channelwise: bool) -> Vec<Vec<f64>> {
    let classes = network.classes();
    if channelwise {
        return vec![vec![1.0; size * classes]];
    }
    let flat = network.graph().input_shape().len() == 1;
    if !flat || classes > EXACT_OUTPUTS {
        let entries = (0..size * classes).map(|at| sign((first * classes + at) as u64));
        return vec![entries.collect()];
    }
    let one = |class: usize| {
        let entries = (0..size * classes).map(|at| f64::from(u8::from(at % classes == class)));
        entries.collect()
    };
    (0..classes).map(one).collect()
}

/// A random sign that depends on its position alone (the finaliser of SplitMix64).
fn sign(position: u64) -> f64 {
    let mut bits = position.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    if (bits ^ (bits >> 31)) & 1 == 0 {
        1.0
    } else {
        -1.0
    }
}

/// `moment += rowsᵀ rows`
fn accumulate(moment: &mut Mat<f64>, rows: &[f64], count: usize) {
    let rows = MatRef::from_row_major_slice(rows, count, moment.nrows());
    matmul(
        moment.as_mut(),
        Accum::Add,
        rows.transpose(),
        rows,
        1.0,
        Par::rayon(0),
    );
}

/// The diagonal of `moment += rowsᵀ rows`
fn diagonal(moment: &mut Mat<f64>, rows: &[f64]) {
    let width = moment.nrows();
    for (at, value) in rows.iter().enumerate() {
        moment[(at % width, at % width)] += value * value;
    }
}
