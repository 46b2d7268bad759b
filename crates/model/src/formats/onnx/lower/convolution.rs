//! Conv of one or two dimensions: a convolution of `[channels, height, width]`, one dimension as height 1.
//! Padding that differs by side is a rearrangement in front.

use super::Lowering;
use crate::Op;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{Live, Map, Reason, Value, count};
use crate::ops::Conv2d;

/// Windows over an image: pairs are those of height and width.
pub(super) struct Windows {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    /// Before and behind the image.
    pub(super) before: [usize; 2],
    pub(super) after: [usize; 2],
    /// Whether windows that stick out behind count.
    pub(super) ceil: bool,
}

impl Windows {
    /// Height and width that a window spans.
    pub(super) fn span(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.dilation[axis] * (self.kernel[axis] - 1) + 1)
    }
}

/// Channels, height and width of a value `[1, channels, width]` or `[1, channels, height, width]`.
pub(super) fn image(live: &Live) -> Result<[usize; 3], Reason> {
    match live.shape[..] {
        [1, channels, width] if live.batch.is_none_or(|axis| axis == 0) => Ok([channels, 1, width]),
        [1, channels, height, width] if live.batch.is_none_or(|axis| axis == 0) => {
            Ok([channels, height, width])
        }
        _ => Err(format!(
            "expects one example of an image or a sequence, got shape {:?}",
            live.shape
        )),
    }
}

/// The file's shape of an image.
pub(super) fn like(live: &Live, [channels, height, width]: [usize; 3]) -> Vec<usize> {
    match live.shape.len() {
        3 => vec![1, channels, width],
        _ => vec![1, channels, height, width],
    }
}

/// The windows that the attributes of a node describe; `kernel` is the weight's.
pub(super) fn windows(
    node: &NodeProto,
    kernel: Option<&[usize]>,
    input: [usize; 2],
    dimensions: usize,
) -> Result<Windows, Reason> {
    let listed = |name: &str, default: usize| -> Result<[usize; 2], Reason> {
        let Some(listed) = node.ints(name)? else {
            return Ok(if dimensions == 1 {
                [1, default]
            } else {
                [default; 2]
            });
        };
        let numbers: Option<Vec<usize>> = listed
            .iter()
            .map(|&n| usize::try_from(n).ok().filter(|&n| n > 0 && n < 1 << 28))
            .collect();
        match (numbers.as_deref(), dimensions) {
            (Some([across]), 1) => Ok([1, *across]),
            (Some([down, across]), 2) => Ok([*down, *across]),
            _ => Err(format!("has the {name} {listed:?}")),
        }
    };
    let stated = listed("kernel_shape", 0)?;
    let kernel = match kernel {
        Some([across]) => [1, *across],
        Some([down, across]) => [*down, *across],
        _ => stated,
    };
    if node.has("kernel_shape") && kernel != stated {
        return Err(format!(
            "has the kernel_shape {stated:?}, its weight {kernel:?}"
        ));
    }
    if kernel.contains(&0) {
        return Err("has no kernel_shape".to_owned());
    }
    let mut windows = Windows {
        kernel,
        stride: listed("strides", 1)?,
        dilation: listed("dilations", 1)?,
        before: [0; 2],
        after: [0; 2],
        ceil: node.flag("ceil_mode", false)?,
    };
    pad(node, &mut windows, input, dimensions)?;
    let span = windows.span();
    for axis in [0, 1] {
        let padded = input[axis] + windows.before[axis] + windows.after[axis];
        if padded < span[axis] {
            return Err(format!("has windows of {span:?} for an image of {input:?}"));
        }
    }
    Ok(windows)
}

/// Padding, given or computed.
fn pad(
    node: &NodeProto,
    windows: &mut Windows,
    input: [usize; 2],
    dimensions: usize,
) -> Result<(), Reason> {
    let auto = node.text("auto_pad")?.unwrap_or_default();
    let span = windows.span();
    match auto.as_str() {
        "" | "NOTSET" => {
            let pads = node.ints("pads")?.unwrap_or(&[]);
            if pads.is_empty() {
                return Ok(());
            }
            let pads: Option<Vec<usize>> = pads
                .iter()
                .map(|&n| usize::try_from(n).ok().filter(|&n| n < 1 << 28))
                .collect();
            match (pads.as_deref(), dimensions) {
                (Some([left, right]), 1) => {
                    (windows.before, windows.after) = ([0, *left], [0, *right]);
                }
                (Some([top, left, bottom, right]), 2) => {
                    (windows.before, windows.after) = ([*top, *left], [*bottom, *right]);
                }
                _ => return Err(format!("has the pads {:?}", node.ints("pads")?)),
            }
        }
        "VALID" => {}
        "SAME_UPPER" | "SAME_LOWER" => {
            for axis in [0, 1] {
                let steps = input[axis].div_ceil(windows.stride[axis]);
                let needed = (steps - 1) * windows.stride[axis] + span[axis];
                let total = needed.saturating_sub(input[axis]);
                let small = total / 2;
                let (before, after) = match auto.as_str() {
                    "SAME_UPPER" => (small, total - small),
                    _ => (total - small, small),
                };
                (windows.before[axis], windows.after[axis]) = (before, after);
            }
        }
        other => return Err(format!("has the auto_pad `{other}`")),
    }
    Ok(())
}

impl Lowering<'_> {
    pub(super) fn convolution(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let weight = self.required(node, 1)?;
        let dimensions = weight.shape.len().saturating_sub(2);
        if !matches!(dimensions, 1 | 2) || x.shape.len() != dimensions + 2 {
            return Err(format!(
                "is a convolution of shape {:?} by {:?}, expected one or two dimensions",
                x.shape, weight.shape
            ));
        }
        let [channels, height, width] = image(&x)?;
        let groups = node.int("group")?.unwrap_or(1);
        let groups = usize::try_from(groups).ok().filter(|&groups| groups > 0);
        let groups = groups.ok_or("has no groups")?;
        let (outputs, reads) = (weight.shape[0], weight.shape[1]);
        if reads.checked_mul(groups) != Some(channels) || outputs % groups != 0 || outputs == 0 {
            return Err(format!(
                "has {groups} groups and a weight of {:?} for {channels} channels",
                weight.shape
            ));
        }
        let windows = windows(node, Some(&weight.shape[2..]), [height, width], dimensions)?;
        let (x, padding) = self.padded(&x, [height, width], &windows)?;
        let [_, height, width] = image(&x)?;
        let layout = Map::reshape(&[outputs, reads, windows.kernel[0], windows.kernel[1]]);
        let name = self.parameter(&weight, &layout, &node.input[1])?;
        let bias = match (self.given(node, 2)?, node.operand(2)) {
            (Some(bias), Some(name)) if bias.shape == [outputs] => {
                Some(self.parameter(&bias, &Map::reshape(&[outputs]), name)?)
            }
            (Some(bias), _) => {
                return Err(format!(
                    "has a bias of shape {:?} for {outputs} channels",
                    bias.shape
                ));
            }
            _ => None,
        };
        let op = Conv2d {
            weight: name,
            bias,
            inputs: channels,
            outputs,
            kernel: windows.kernel,
            stride: windows.stride,
            padding,
            dilation: windows.dilation,
            groups,
        };
        let size = op.output_size([height, width]);
        let [h, w] = size.ok_or("has windows larger than the image")?;
        count(&[outputs, h, w])?;
        let source = self.shaped(&x, &[channels, height, width])?;
        let named = self.layer_name(&op.weight);
        let shape = [outputs, h, w];
        let built = self.push_named(named, Op::Conv2d(op), &[source], &shape, Default::default());
        Ok(self.made(built, &like(&x, shape), &x).into())
    }

    /// The image with zeros where padding differs by side, and the padding that remains.
    fn padded(
        &mut self,
        x: &Live,
        input: [usize; 2],
        windows: &Windows,
    ) -> Result<(Live, [usize; 2]), Reason> {
        let channels = x.shape[1];
        count(&[
            channels,
            input[0] + windows.before[0] + windows.after[0],
            input[1] + windows.before[1] + windows.after[1],
        ])?;
        if windows.before == windows.after {
            return Ok((x.clone(), windows.before));
        }
        let padded = self.framed(x, input, windows.before, windows.after)?;
        Ok((padded, [0; 2]))
    }

    /// An image with zeros around it.
    pub(super) fn framed(
        &mut self,
        x: &Live,
        input: [usize; 2],
        before: [usize; 2],
        after: [usize; 2],
    ) -> Result<Live, Reason> {
        let channels = x.shape[1];
        count(&[
            channels,
            input[0] + before[0] + after[0],
            input[1] + before[1] + after[1],
        ])?;
        let rows = super::select::frame(input[0], before[0] as i64, after[0] as i64);
        let columns = super::select::frame(input[1], before[1] as i64, after[1] as i64);
        let flat = x.mapped(&Map::reshape(&[channels, input[0], input[1]]));
        let down = Map::pick(&flat.shape, 1, &rows, 0.0)?;
        let flat = self.remapped(&flat.into(), &down)?;
        let across = Map::pick(flat.shape(), 2, &columns, 0.0)?;
        let padded = self.remapped(&flat, &across)?;
        let [channels, height, width] = [0, 1, 2].map(|axis| padded.shape()[axis]);
        match padded.mapped(&Map::reshape(&like(x, [channels, height, width])))? {
            Value::Live(live) => Ok(live),
            _ => Err("pads a constant".to_owned()),
        }
    }
}
