//! Point specifications: what the output must be at each repair point.
//!
//! Every specification is a list of linear inequalities on the outputs y,
//!
//! ```text
//! Σ_c a_c y_c >= bound;      argmax with margin:  y_label - y_j >= margin  for every j != label
//! ```

use std::collections::HashMap;

use data::Dataset;
use network::Network;

use crate::{RepairError, predict};

/// `Σ terms a_c y_c >= bound`.
#[derive(Clone, Debug, PartialEq)]
pub struct Inequality {
    /// `(output, coefficient)`, each output at most once.
    pub terms: Vec<(usize, f64)>,
    /// The least value.
    pub bound: f64,
}

impl Inequality {
    /// How much the outputs exceed the bound; negative when it is violated.
    pub fn slack(&self, outputs: &[f64]) -> f64 {
        self.terms.iter().map(|&(c, a)| a * outputs[c]).sum::<f64>() - self.bound
    }
}

/// Inputs and what the network must answer there.
#[derive(Clone, Debug)]
pub struct RepairSet {
    /// `points x shape`, row-major.
    pub inputs: Vec<f32>,
    /// Extents of one input.
    pub shape: Vec<usize>,
    /// The inequalities of each point.
    pub points: Vec<Vec<Inequality>>,
    /// The label of each point, for argmax specifications.
    pub labels: Option<Vec<usize>>,
    /// How many of the last points are protected: guard inputs that must keep their answers.
    /// They get rows when a repair would break them.
    pub protected: usize,
}

/// What must not change at a protected input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protection {
    /// The class that wins.
    Answer,
    /// Every output, by at most this much.
    Within(f64),
}

impl RepairSet {
    /// Every example of `set` must be classified as its label, with a margin over
    /// every other class. Points that are right already are kept right.
    ///
    /// # Errors
    /// [`RepairError::Option`] for a negative or infinite margin.
    pub fn argmax(set: &Dataset, margin: f64) -> Result<Self, RepairError> {
        if !(margin.is_finite() && margin >= 0.0) {
            return Err(RepairError::Option {
                option: "margin",
                expected: "a finite number >= 0".into(),
                got: margin.to_string(),
            });
        }
        let specify = |&label: &usize| wins(label, set.classes, margin);
        Ok(Self {
            inputs: set.inputs.clone(),
            shape: set.shape.clone(),
            points: set.labels.iter().map(specify).collect(),
            labels: Some(set.labels.clone()),
            protected: 0,
        })
    }

    /// Adds inputs (`n x shape`, row-major) whose answers by `network` must stay.
    ///
    /// # Errors
    /// [`RepairError::Shape`] for inputs of another shape; [`RepairError::Option`] unless a
    /// bound on the outputs is a finite number > 0; [`RepairError::Network`].
    pub fn protect(
        mut self,
        network: &Network,
        inputs: &[f32],
        protection: Protection,
    ) -> Result<Self, RepairError> {
        let example = self.example();
        if example == 0 || !inputs.len().is_multiple_of(example) {
            return Err(RepairError::Shape {
                what: "numbers in all protected inputs, a multiple",
                expected: example,
                got: inputs.len(),
            });
        }
        if let Protection::Within(tau) = protection
            && !(tau > 0.0 && tau.is_finite())
        {
            return Err(RepairError::Option {
                option: "protect",
                expected: "a finite number > 0".into(),
                got: tau.to_string(),
            });
        }
        let outputs = predict::outputs(network, inputs, &self.shape)?;
        for outputs in outputs.chunks_exact(network.classes().max(1)) {
            let label = predict::largest(outputs);
            self.points.push(match protection {
                // In a tie the first class answers.
                Protection::Answer => wins(label, outputs.len(), f64::MIN_POSITIVE),
                Protection::Within(tau) => stays(outputs, tau),
            });
            self.protected += 1;
            if let Some(labels) = &mut self.labels {
                labels.push(label);
            }
        }
        self.inputs.extend_from_slice(inputs);
        Ok(self)
    }

    /// The outputs at each input must satisfy the given inequalities.
    pub fn linear(inputs: Vec<f32>, shape: &[usize], points: Vec<Vec<Inequality>>) -> Self {
        Self {
            inputs,
            shape: shape.to_vec(),
            points,
            labels: None,
            protected: 0,
        }
    }

    /// What each point lacks at its worst inequality, given the outputs (`points x classes`) of a
    /// network; infinite where one of them is no number.
    pub fn violations(&self, outputs: &[f64]) -> Vec<f64> {
        let classes = (outputs.len() / self.len().max(1)).max(1);
        let points = self.points.iter().zip(outputs.chunks_exact(classes));
        let worst = |(inequalities, y): (&Vec<Inequality>, &[f64])| {
            let slacks = inequalities.iter().map(|inequality| inequality.slack(y));
            slacks.fold(0.0, |worst: f64, slack| match slack.is_nan() {
                true => f64::INFINITY,
                false => worst.max(-slack),
            })
        };
        points.map(worst).collect()
    }

    /// At most `count` of the points that are to be repaired, evenly spaced over their order,
    /// without the protected ones.
    ///
    /// # Errors
    /// As [`RepairSet::subset`].
    pub fn thinned(&self, count: usize) -> Result<Self, RepairError> {
        let (all, count) = (self.repaired(), count.min(self.repaired()));
        let chosen: Vec<usize> = (0..count).map(|i| i * all / count.max(1)).collect();
        self.subset(&chosen)
    }

    /// The points at `positions`, which ascend.
    ///
    /// # Errors
    /// [`RepairError::Shape`] for a position without a point.
    pub fn subset(&self, positions: &[usize]) -> Result<Self, RepairError> {
        let example = self.example();
        let none = |got| RepairError::Shape {
            what: "position of a point, at most",
            expected: self.len().saturating_sub(1),
            got,
        };
        let mut subset = Self {
            inputs: Vec::with_capacity(positions.len() * example),
            shape: self.shape.clone(),
            points: Vec::with_capacity(positions.len()),
            labels: self.labels.as_ref().map(|_| Vec::new()),
            protected: positions.iter().filter(|&&i| i >= self.repaired()).count(),
        };
        for &i in positions {
            let point = self.points.get(i).ok_or_else(|| none(i))?;
            let input = self.inputs.get(i * example..(i + 1) * example);
            subset.inputs.extend(input.ok_or_else(|| none(i))?);
            subset.points.push(point.clone());
            if let (Some(kept), Some(labels)) = (&mut subset.labels, &self.labels) {
                kept.push(*labels.get(i).ok_or_else(|| none(i))?);
            }
        }
        Ok(subset)
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Number of points that are to be repaired, which come before the protected ones.
    pub fn repaired(&self) -> usize {
        self.len() - self.protected
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Numbers of one input.
    pub fn example(&self) -> usize {
        self.shape.iter().product()
    }

    /// Most outputs that one inequality reads.
    pub(crate) fn terms(&self) -> usize {
        let terms = self.points.iter().flatten().map(|row| row.terms.len());
        terms.max().unwrap_or(0)
    }

    /// Number of inequalities over all points.
    pub fn inequalities(&self) -> usize {
        self.points.iter().map(Vec::len).sum()
    }

    /// Finds everything that would make a repair meaningless, before any work.
    ///
    /// # Errors
    /// The first of: an empty set, a wrong input size, a number that is not
    /// finite, an output that the network lacks, two labels for one input.
    pub fn validate(&self, network: &Network, classes: usize) -> Result<(), RepairError> {
        if self.is_empty() {
            return Err(RepairError::EmptySet);
        }
        let usual = network.graph().input_shape();
        let shape = |what, expected, got| RepairError::Shape {
            what,
            expected,
            got,
        };
        // Images and token sequences may have other extents than the usual ones.
        if self.shape.len() != usual.len() {
            let (expected, got) = (usual.len(), self.shape.len());
            return Err(shape("axes of a repair input", expected, got));
        }
        if self.shape[0] != usual[0] {
            let what = match usual.len() {
                1 => "numbers per repair input",
                2 => "planes of a repair input",
                _ => "channels of a repair input",
            };
            return Err(shape(what, usual[0], self.shape[0]));
        }
        let example = self.example();
        if example == 0 || self.inputs.len() != example * self.len() {
            return Err(shape(
                "numbers in all repair inputs",
                example * self.len(),
                self.inputs.len(),
            ));
        }
        if let Some(at) = self.inputs.iter().position(|x| !x.is_finite()) {
            return Err(RepairError::NotFinite {
                point: at / example,
                position: at % example,
                value: self.inputs[at],
            });
        }
        if let Some(labels) = &self.labels
            && labels.len() != self.len()
        {
            return Err(shape(
                "labels of all repair points",
                self.len(),
                labels.len(),
            ));
        }
        for (point, &label) in self.labels.iter().flatten().enumerate() {
            if label >= classes {
                return Err(RepairError::Label {
                    point,
                    label,
                    classes,
                });
            }
        }
        if self.protected > self.len() {
            return Err(shape(
                "protected points, at most",
                self.len(),
                self.protected,
            ));
        }
        self.validate_inequalities(classes)?;
        self.validate_probabilities(network)?;
        self.find_contradiction()
    }

    fn validate_inequalities(&self, classes: usize) -> Result<(), RepairError> {
        for (point, inequalities) in self.points.iter().enumerate() {
            for (index, inequality) in inequalities.iter().enumerate() {
                let wrong = |reason: String| RepairError::Specification {
                    point,
                    inequality: index,
                    reason,
                };
                if inequality.terms.iter().all(|&(_, a)| a == 0.0) {
                    return Err(wrong(
                        "expected at least one coefficient that is not zero".into(),
                    ));
                }
                if let Some((c, _)) = inequality.terms.iter().find(|&&(c, _)| c >= classes) {
                    return Err(wrong(format!(
                        "expected an output below {classes}, got {c}"
                    )));
                }
                let mut outputs: Vec<usize> = inequality.terms.iter().map(|&(c, _)| c).collect();
                outputs.sort_unstable();
                if let Some(pair) = outputs.windows(2).find(|pair| pair[0] == pair[1]) {
                    return Err(wrong(format!(
                        "expected each output once, got {} twice",
                        pair[0]
                    )));
                }
                if !inequality.bound.is_finite()
                    || inequality.terms.iter().any(|(_, a)| !a.is_finite())
                {
                    return Err(wrong("expected finite numbers".into()));
                }
            }
        }
        Ok(())
    }

    /// A network that ends in softmax answers with probabilities, which differ by less than 1.
    fn validate_probabilities(&self, network: &Network) -> Result<(), RepairError> {
        if self.labels.is_none() || !network.ends_in_softmax() {
            return Ok(());
        }
        let margins = self
            .points
            .iter()
            .flatten()
            .map(|inequality| inequality.bound);
        match margins.fold(0.0, f64::max) {
            margin if margin < 1.0 => Ok(()),
            margin => Err(RepairError::Option {
                option: "margin",
                expected: "less than 1 for a network that ends in softmax".into(),
                got: margin.to_string(),
            }),
        }
    }

    fn find_contradiction(&self) -> Result<(), RepairError> {
        let Some(labels) = &self.labels else {
            return Ok(());
        };
        let mut seen: HashMap<Vec<u32>, usize> = HashMap::new();
        for (second, input) in self.inputs.chunks_exact(self.example().max(1)).enumerate() {
            // -0 and 0 are the same input.
            let key = input.iter().map(|x| (x + 0.0).to_bits()).collect();
            let first = *seen.entry(key).or_insert(second);
            if labels[first] != labels[second] {
                return Err(RepairError::Contradiction {
                    first,
                    second,
                    labels: (labels[first], labels[second]),
                });
            }
        }
        Ok(())
    }
}

/// One class wins by a margin over every other one.
fn wins(label: usize, classes: usize, margin: f64) -> Vec<Inequality> {
    (0..classes)
        .filter(|&other| other != label)
        .map(|other| Inequality {
            terms: vec![(label, 1.0), (other, -1.0)],
            bound: margin,
        })
        .collect()
}

/// Every output stays within τ of what it is.
fn stays(outputs: &[f64], tau: f64) -> Vec<Inequality> {
    let both = |(output, &y): (usize, &f64)| {
        [1.0, -1.0].map(|side| Inequality {
            terms: vec![(output, side)],
            bound: side * y - tau,
        })
    };
    outputs.iter().enumerate().flat_map(both).collect()
}
