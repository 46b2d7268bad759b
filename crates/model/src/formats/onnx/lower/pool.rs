//! Pools. A mean over windows that stick out of the image is the mean over zeros, times what the window
//! has more than it counts:
//!
//! ```text
//! mean of the members = Σ members / count = (area / count) · (Σ window) / area
//! ```

use super::Lowering;
use super::convolution::{Windows, image, like, windows};
use crate::Op;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{Live, Reason, Value, count};
use crate::ops::{AveragePool, MaxPool};

impl Lowering<'_> {
    pub(super) fn pool(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let [channels, height, width] = image(&x)?;
        if node.int("storage_order")?.unwrap_or(0) != 0 {
            return Err("has another storage_order".to_owned());
        }
        let mut windows = windows(node, None, [height, width], x.shape.len() - 2)?;
        if windows.dilation != [1, 1] {
            return Err(format!(
                "has dilation {:?}: windows with holes are not read",
                windows.dilation
            ));
        }
        for axis in [0, 1] {
            if windows.before[axis].max(windows.after[axis]) >= windows.kernel[axis] {
                return Err("has padding as wide as its windows".to_owned());
            }
        }
        let padding = windows.after;
        let size = fit(&mut windows, [height, width]);
        self.charge(count(&[channels, size[0], size[1]])?)?;
        if node.op_type == "MaxPool" {
            return Ok(self
                .max(&x, [channels, height, width], &windows, size)?
                .into());
        }
        let counted = node.flag("count_include_pad", false)?;
        let counts = |axis: usize, position: usize| {
            let start = (position * windows.stride[axis]) as i64 - windows.before[axis] as i64;
            let end = start + windows.kernel[axis] as i64;
            let extent = [height, width][axis] as i64;
            if counted {
                end.min(extent + padding[axis] as i64) - start
            } else {
                end.min(extent) - start.max(0)
            }
        };
        let mut factors = Vec::with_capacity(size[0] * size[1]);
        let area = windows.kernel[0] * windows.kernel[1];
        for (i, j) in (0..size[0]).flat_map(|i| (0..size[1]).map(move |j| (i, j))) {
            factors.push(area as f64 / (counts(0, i) * counts(1, j)) as f64);
        }
        let framed = match (windows.before, windows.after) {
            ([0, 0], [0, 0]) => x.clone(),
            (before, after) => self.framed(&x, [height, width], before, after)?,
        };
        let [_, h, w] = image(&framed)?;
        let source = self.shaped(&framed, &[channels, h, w])?;
        let op = Op::AveragePool(AveragePool {
            kernel: windows.kernel,
            stride: windows.stride,
        });
        let shape = [channels, size[0], size[1]];
        let built = self.push(op, &[source], &shape);
        let means = self.made(built, &like(&x, shape), &x);
        if factors.iter().all(|&factor| factor == 1.0) {
            return Ok(means.into());
        }
        let factors = factors.repeat(channels);
        Ok(self
            .with_numbers(&means, factors, false, &Default::default())?
            .into())
    }

    fn max(
        &mut self,
        x: &Live,
        [channels, height, width]: [usize; 3],
        windows: &Windows,
        size: [usize; 2],
    ) -> Result<Live, Reason> {
        let source = self.shaped(x, &[channels, height, width])?;
        let op = Op::MaxPool(MaxPool {
            kernel: windows.kernel,
            stride: windows.stride,
            before: windows.before,
            after: windows.after,
            ceil: false,
        });
        let shape = [channels, size[0], size[1]];
        let built = self.push(op, &[source], &shape);
        Ok(self.made(built, &like(x, shape), x))
    }

    pub(super) fn global_pool(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let [channels, height, width] = image(&x)?;
        let shape = like(&x, [channels, 1, 1]);
        if node.op_type == "GlobalMaxPool" {
            let whole = Windows {
                kernel: [height, width],
                stride: [1; 2],
                dilation: [1; 2],
                before: [0; 2],
                after: [0; 2],
                ceil: false,
            };
            return Ok(self
                .max(&x, [channels, height, width], &whole, [1, 1])?
                .into());
        }
        let source = self.shaped(&x, &[channels, height, width])?;
        let built = self.push(Op::GlobalAveragePool, &[source], &[channels]);
        Ok(self.made(built, &shape, &x).into())
    }
}

/// The windows along both axes; what is behind the image becomes as wide as they need.
fn fit(windows: &mut Windows, input: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|axis| {
        let (stride, before) = (windows.stride[axis], windows.before[axis]);
        let padded = input[axis] + before + windows.after[axis];
        let room = padded - windows.kernel[axis];
        let mut steps = room / stride + 1;
        // A window that would start behind the image holds nothing and does not count.
        if windows.ceil && !room.is_multiple_of(stride) && steps * stride < input[axis] + before {
            steps += 1;
        }
        let needed = (steps - 1) * stride + windows.kernel[axis];
        windows.after[axis] = needed.saturating_sub(input[axis] + before);
        steps
    })
}
