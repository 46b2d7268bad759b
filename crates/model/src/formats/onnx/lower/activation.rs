//! Functions of one number.

use super::Lowering;
use crate::formats::onnx::proto::NodeProto;
use crate::formats::onnx::values::{Live, Reason, Value};
use crate::{Activation, Op};

/// SELU's constants as the format has them.
const SELU: (f32, f32) = (1.673_263_2, 1.050_701);

impl Lowering<'_> {
    pub(super) fn activation(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let activation = match node.op_type.as_str() {
            "Relu" => Activation::Relu,
            "LeakyRelu" => Activation::LeakyRelu {
                slope: node.float("alpha", 0.01)?,
            },
            "Elu" => Activation::Elu {
                alpha: node.float("alpha", 1.0)?,
            },
            "Selu" => return self.selu(node),
            "Tanh" => Activation::Tanh,
            "Sigmoid" => Activation::Sigmoid,
            "HardSwish" => Activation::Hardswish,
            "HardSigmoid" => {
                let x = self.live(node, 0)?;
                let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
                let x = self.scaled(&x, alpha)?;
                let x = self.shifted(&x, beta)?;
                return Ok(self.clipped(&x, Some(0.0), Some(1.0))?.into());
            }
            "Gelu" => match node.text("approximate")?.as_deref() {
                None | Some("none") => Activation::Gelu,
                Some("tanh") => Activation::GeluTanh,
                Some(other) => return Err(format!("is approximated by `{other}`")),
            },
            "Softplus" => Activation::Softplus,
            "Erf" => Activation::Erf,
            "Exp" => Activation::Exp,
            "Log" => Activation::Log,
            "Sqrt" => Activation::Sqrt,
            "Reciprocal" => Activation::Reciprocal,
            "Abs" => Activation::Abs,
            "Neg" => {
                let x = self.live(node, 0)?;
                return Ok(self.scaled(&x, -1.0)?.into());
            }
            _ => return Err("is read for constants only".to_owned()),
        };
        let x = self.live(node, 0)?;
        Ok(self.activated(&x, activation)?.into())
    }

    pub(super) fn activated(&mut self, x: &Live, activation: Activation) -> Result<Live, Reason> {
        self.each(Op::Activation(activation), x)
    }

    fn selu(&mut self, node: &NodeProto) -> Result<Value, Reason> {
        let x = self.live(node, 0)?;
        let (alpha, gamma) = (node.float("alpha", SELU.0)?, node.float("gamma", SELU.1)?);
        if (alpha, gamma) == (f64::from(SELU.0), f64::from(SELU.1)) {
            return Ok(self.activated(&x, Activation::Selu)?.into());
        }
        let y = self.activated(&x, Activation::Elu { alpha })?;
        Ok(self.scaled(&y, gamma)?.into())
    }
}
