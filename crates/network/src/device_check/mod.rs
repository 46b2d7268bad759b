//! Whether a device computes what the reference device does, before anything that counts runs on it.
//!
//! Every distinct operator shape of a network (its operator, that operator's parameters, the
//! shapes of its operands) runs once alone on the device and on `flex`, in the same precision, on
//! seeded inputs and weights; and so does the network as a whole, forward, with its own weights.
//! With ŷ the device's numbers and y those of `flex`, of the outputs and of each gradient, the
//! device is refused by the name of the operator shape unless
//!
//! ```text
//! max |ŷ - y| <= 1e-4 · max |y|
//! ```
//!
//! | part | holds |
//! |---|---|
//! | `question` | the operator shapes of a network |
//! | `seeded` | the numbers that are put in |
//! | `answer` | what a device makes of them |
//!
//! The whole network has no backward row: where rounding moves a unit over the kink of a ReLU, two
//! right devices differ by that unit's whole part of the gradient.

mod answer;
mod question;
mod seeded;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use burn::tensor::Device;

use crate::{DeviceChoice, Model, NetworkError, Precision};
use answer::{Answer, Answers, Part};
use question::{Question, questions};

/// The largest difference that is accepted, as a share of the largest number of the reference.
pub const TOLERANCE: f64 = 1e-4;

/// How many times the reference's own rounding a whole network may be off: the sums of a long
/// network lose more than those of an operator.
const ROUNDINGS: f64 = 4.0;

/// One operator shape, and how far the device is from the reference there.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CheckedOperator {
    /// The operator, its parameters and the shapes of its operands, batch first.
    pub operator: String,
    /// The nodes of the network that have it.
    pub nodes: Vec<String>,
    /// Largest difference of the outputs, as a share of their scale.
    pub forward: f64,
    /// Largest difference of the gradients with respect to operands and weights, each as a share
    /// of its scale; `None` where nothing is differentiated.
    pub backward: Option<f64>,
    /// Seconds that the device took, its preparation of kernels included.
    pub seconds: f64,
}

/// What was found of a device for a network; there is one only where the device is right.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DeviceCheck {
    /// The device.
    pub device: DeviceChoice,
    /// The float type in which it computes.
    pub precision: Precision,
    /// Whether this build lets the device fuse operators.
    pub fusion: bool,
    /// Whether this build lets the device choose kernels by trying them.
    pub autotune: bool,
    /// Examples of a batch.
    pub batch: usize,
    /// Extents of an example.
    pub shape: Vec<usize>,
    /// The largest difference that is accepted, as a share of the scale.
    pub tolerance: f64,
    /// Seconds that everything took, the reference's part included.
    pub seconds: f64,
    /// A row per distinct operator shape, in the order of the network, the whole network last.
    pub operators: Vec<CheckedOperator>,
}

impl DeviceCheck {
    /// Checks an opened device for batches of `batch` examples of `shape`; `None` for `flex`,
    /// which is the reference.
    ///
    /// # Errors
    /// [`NetworkError::DeviceWrong`] names the operator shape where the device computes something
    /// else, [`NetworkError::DeviceFailed`] the one that it cannot compute; as [`crate::Network::forward`]
    /// when the network cannot take such examples.
    pub fn of(
        model: &Model,
        choice: DeviceChoice,
        device: &Device,
        precision: Precision,
        batch: usize,
        shape: &[usize],
    ) -> Result<Option<Self>, NetworkError> {
        let choice = choice.resolve();
        if choice == DeviceChoice::Flex {
            return Ok(None);
        }
        let start = Instant::now();
        let asked = questions(model.graph(), model.checkpoint(), precision, batch, shape)?;
        let operators = examine(&asked, choice, device, precision)?;
        Ok(Some(Self {
            device: choice,
            precision,
            fusion: choice == DeviceChoice::Wgpu && cfg!(feature = "wgpu-fusion"),
            autotune: choice == DeviceChoice::Wgpu && cfg!(feature = "wgpu-autotune"),
            batch,
            shape: shape.to_vec(),
            tolerance: TOLERANCE,
            seconds: start.elapsed().as_secs_f64(),
            operators,
        }))
    }

    /// The largest difference of all outputs, and that of all gradients.
    pub fn worst(&self) -> [f64; 2] {
        let forward = self.operators.iter().map(|row| row.forward);
        let backward = self.operators.iter().filter_map(|row| row.backward);
        [forward.fold(0.0, f64::max), backward.fold(0.0, f64::max)]
    }
}

/// One line: the device, how many operator shapes at which batch, and the worst of both directions.
impl fmt::Display for DeviceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [forward, backward] = self.worst();
        write!(
            f,
            "device {} checked: {} operator shapes at batch {} of {:?}, worst forward {forward:.1e}, \
             backward {backward:.1e} of the scale, {:.1} s",
            self.device,
            self.operators.len(),
            self.batch,
            self.shape,
            self.seconds,
        )
    }
}

/// Asks the candidate and the reference everything, and compares.
fn examine(
    questions: &[Question<'_>],
    choice: DeviceChoice,
    candidate: &impl Answers,
    precision: Precision,
) -> Result<Vec<CheckedOperator>, NetworkError> {
    let rows = questions.iter();
    rows.map(|question| checked(question, choice, candidate, precision))
        .collect()
}

fn checked(
    question: &Question<'_>,
    choice: DeviceChoice,
    candidate: &impl Answers,
    precision: Precision,
) -> Result<CheckedOperator, NetworkError> {
    let expected = Device::flex().answer(question, precision)?;
    let start = Instant::now();
    let got = attempt(candidate, question, precision);
    let seconds = start.elapsed().as_secs_f64();
    let failed = |reason| NetworkError::DeviceFailed {
        device: choice.name(),
        operator: question.title().to_owned(),
        reason,
    };
    let got = got.map_err(failed)?;
    if got.len() != expected.len() {
        let (wanted, given) = (expected.len(), got.len());
        return Err(failed(format!("expected {wanted} results, got {given}")));
    }
    let (mut forward, mut backward) = (0.0, None);
    for ((part, expected), (_, got)) in expected.iter().zip(&got) {
        let found = Difference::between(got, expected);
        if !found.is_within(TOLERANCE) && !found.is_within(rounding(question, precision, part)?) {
            return Err(NetworkError::DeviceWrong {
                device: choice.name(),
                operator: question.title().to_owned(),
                part: part.to_string(),
                expected: found.expected,
                got: found.got,
                share: found.share,
            });
        }
        match part.is_forward() {
            true => forward = found.share.max(forward),
            false => backward = Some(found.share.max(backward.unwrap_or(0.0))),
        }
    }
    Ok(CheckedOperator {
        operator: question.title().to_owned(),
        nodes: question.nodes().to_vec(),
        forward,
        backward,
        seconds,
    })
}

/// What the candidate answers, or why it does not: drivers panic where they cannot compute.
fn attempt(
    candidate: &impl Answers,
    question: &Question<'_>,
    precision: Precision,
) -> Result<Answer, String> {
    let answer = || candidate.answer(question, precision);
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("it panicked without a message").to_owned())
        }
    }
}

/// The difference that rounding explains beyond the tolerance: for a whole network in f32 some
/// times that of the reference from itself in f64.
fn rounding(
    question: &Question<'_>,
    precision: Precision,
    part: &Part,
) -> Result<f64, NetworkError> {
    if !matches!(question, Question::Network { .. }) || precision == Precision::F64 {
        return Ok(0.0);
    }
    let [single, double] =
        Precision::ALL.map(|precision| Device::flex().answer(question, precision));
    let (single, double) = (single?, double?);
    let of = |answer: &Answer| answer.iter().position(|(other, _)| other == part);
    Ok(match (of(&single), of(&double)) {
        (Some(a), Some(b)) => ROUNDINGS * Difference::between(&single[a].1, &double[b].1).share,
        _ => 0.0,
    })
}

/// Where two lists of numbers differ most.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Difference {
    /// As a share of the largest expected number; infinite where one side is not finite and the
    /// other another number, or where the lists have other lengths.
    share: f64,
    expected: f64,
    got: f64,
}

impl Difference {
    fn between(got: &[f64], expected: &[f64]) -> Self {
        let finite = expected.iter().filter(|y| y.is_finite());
        let scale = finite.fold(0.0f64, |scale, y| scale.max(y.abs()));
        let mut worst = Self {
            share: 0.0,
            expected: expected.first().copied().unwrap_or_default(),
            got: got.first().copied().unwrap_or_default(),
        };
        if got.len() != expected.len() {
            worst.share = f64::INFINITY;
            return worst;
        }
        for (&got, &expected) in got.iter().zip(expected) {
            let same = got == expected || (got.is_nan() && expected.is_nan());
            let share = match (same, got - expected) {
                (true, _) => 0.0,
                (false, apart) if apart.is_finite() && scale > 0.0 => apart.abs() / scale,
                (false, _) => f64::INFINITY,
            };
            if share > worst.share {
                worst = Self {
                    share,
                    expected,
                    got,
                };
            }
        }
        worst
    }

    fn is_within(&self, tolerance: f64) -> bool {
        self.share <= tolerance
    }
}
