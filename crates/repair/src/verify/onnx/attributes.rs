//! The attributes of a node.

use std::collections::BTreeMap;

use model::onnx::proto::{AttributeProto, NodeProto};

use super::error::OnnxError;
use super::stored::{self, Files};
use super::tensor::Tensor;

/// A constant of a node.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Float(f64),
    Int(i64),
    Text(String),
    Tensor(Tensor),
    Floats(Vec<f64>),
    Ints(Vec<i64>),
}

impl Attribute {
    /// Reads the field that the type of the attribute names; floats are the stored f32 exactly.
    fn read(proto: &AttributeProto, at: &str, files: &mut Files<'_>) -> Result<Self, OnnxError> {
        let place = format!("{at}, attribute `{}`", proto.name);
        Ok(match (proto.r#type, &proto.t) {
            (1, _) => Self::Float(proto.f.into()),
            (2, _) => Self::Int(proto.i),
            (3, _) => match String::from_utf8(proto.s.clone()) {
                Ok(text) => Self::Text(text),
                Err(_) => return Err(OnnxError::misfit(&place, "text", "bytes that are none")),
            },
            (4, Some(tensor)) => Self::Tensor(stored::tensor(tensor, &place, files)?),
            (6, _) => Self::Floats(proto.floats.iter().map(|&number| number.into()).collect()),
            (7, _) => Self::Ints(proto.ints.clone()),
            (other, _) => {
                let expected = "a number, numbers, text or a tensor";
                return Err(OnnxError::misfit(&place, expected, format!("type {other}")));
            }
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Float(_) => "a float",
            Self::Int(_) => "an integer",
            Self::Text(_) => "text",
            Self::Tensor(_) => "a tensor",
            Self::Floats(_) => "floats",
            Self::Ints(_) => "integers",
        }
    }
}

/// All attributes of a node, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(BTreeMap<String, Attribute>);

impl Attributes {
    /// Reads the attributes of a node, which must be among those that its operator has.
    pub(super) fn read(
        node: &NodeProto,
        known: &[&str],
        at: &str,
        files: &mut Files<'_>,
    ) -> Result<Self, OnnxError> {
        let mut attributes = BTreeMap::new();
        for proto in &node.attribute {
            let name = proto.name.as_str();
            if !known.contains(&name) {
                let expected = format!("attributes among {known:?}");
                return Err(OnnxError::misfit(at, expected, format!("`{name}`")));
            }
            let attribute = Attribute::read(proto, at, files)?;
            if attributes.insert(name.to_owned(), attribute).is_some() {
                let got = format!("`{name}` twice");
                return Err(OnnxError::misfit(at, "every attribute once", got));
            }
        }
        Ok(Self(attributes))
    }

    /// Attributes made by a test.
    #[cfg(test)]
    pub(super) fn of(attributes: &[(&str, Attribute)]) -> Self {
        let named = |(name, attribute): &(&str, Attribute)| (name.to_string(), attribute.clone());
        Self(attributes.iter().map(named).collect())
    }

    /// The names and values that are there.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0
            .iter()
            .map(|(name, attribute)| (name.as_str(), attribute))
    }

    pub(super) fn float(&self, name: &str, at: &str) -> Result<Option<f64>, OnnxError> {
        self.get(name, "a float", at, |attribute| match attribute {
            Attribute::Float(number) => Some(*number),
            _ => None,
        })
    }

    pub(super) fn int(&self, name: &str, at: &str) -> Result<Option<i64>, OnnxError> {
        self.get(name, "an integer", at, |attribute| match attribute {
            Attribute::Int(number) => Some(*number),
            _ => None,
        })
    }

    pub(super) fn ints(&self, name: &str, at: &str) -> Result<Option<&[i64]>, OnnxError> {
        self.get(name, "integers", at, |attribute| match attribute {
            Attribute::Ints(numbers) => Some(numbers.as_slice()),
            _ => None,
        })
    }

    pub(super) fn text(&self, name: &str, at: &str) -> Result<Option<&str>, OnnxError> {
        self.get(name, "text", at, |attribute| match attribute {
            Attribute::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(super) fn tensor(&self, name: &str, at: &str) -> Result<Option<&Tensor>, OnnxError> {
        self.get(name, "a tensor", at, |attribute| match attribute {
            Attribute::Tensor(tensor) => Some(tensor),
            _ => None,
        })
    }

    /// The attribute of a name, which must be of the kind that `pick` picks, if it is there.
    fn get<'a, T>(
        &'a self,
        name: &str,
        kind: &str,
        at: &str,
        pick: impl Fn(&'a Attribute) -> Option<T>,
    ) -> Result<Option<T>, OnnxError> {
        let Some(attribute) = self.0.get(name) else {
            return Ok(None);
        };
        match pick(attribute) {
            Some(value) => Ok(Some(value)),
            None => {
                let expected = format!("{kind} as attribute `{name}`");
                Err(OnnxError::misfit(at, expected, attribute.kind()))
            }
        }
    }
}
