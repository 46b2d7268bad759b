//! The inputs of a graph, and how an example becomes them.

use model::onnx::proto::{TensorShapeProto, ValueInfoProto};

use super::error::OnnxError;
use super::tensor::{Element, Tensor, elements};

/// The inputs that networks of text declare: words, the mask of real words, kinds of segments.
const WORDS: &str = "input_ids";
const MASK: &str = "attention_mask";
const SEGMENTS: &str = "token_type_ids";

/// What one example gives for one input of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxInput {
    /// Extents, that of the batch included.
    pub shape: Vec<usize>,
    /// Numbers, row-major.
    pub numbers: Vec<f64>,
}

/// An input that every example gives.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) slot: usize,
    element: Element,
    /// Nothing for an extent that the file leaves open.
    extents: Vec<Option<usize>>,
}

impl Input {
    /// Reads the declaration of an input, which must say its type and rank.
    pub(super) fn read(proto: &ValueInfoProto, slot: usize, at: &str) -> Result<Self, OnnxError> {
        let tensor = proto
            .r#type
            .as_ref()
            .and_then(|kind| kind.tensor_type.as_ref());
        let Some(tensor) = tensor else {
            return Err(OnnxError::misfit(at, "a tensor", "another type or none"));
        };
        let Some(element) = Element::from_code(tensor.elem_type) else {
            let got = format!("type {}", tensor.elem_type);
            return Err(OnnxError::misfit(at, "floats, integers or booleans", got));
        };
        let Some(shape) = &tensor.shape else {
            return Err(OnnxError::misfit(at, "a declared rank", "none"));
        };
        Ok(Self {
            name: proto.name.clone(),
            slot,
            element,
            extents: extents(shape),
        })
    }

    /// The value of given numbers, which must fit what is declared.
    pub(super) fn tensor(&self, given: &OnnxInput) -> Result<Tensor, OnnxError> {
        let OnnxInput { shape, numbers } = given;
        let at = format!("graph input `{}`", self.name);
        let fits = |(declared, got): (&Option<usize>, &usize)| declared.is_none_or(|d| d == *got);
        let same_rank = shape.len() == self.extents.len();
        if !same_rank || !self.extents.iter().zip(shape).all(fits) {
            let got = format!("shape {shape:?}");
            return Err(OnnxError::misfit(&at, self.declared(), got));
        }
        let expected = elements(shape, &at)?;
        if numbers.len() != expected {
            let expected = format!("{expected} numbers");
            return Err(OnnxError::misfit(&at, expected, numbers.len().to_string()));
        }
        if self.element.is_float() {
            return Ok(Tensor::floats(shape, self.element, numbers.to_vec()));
        }
        let integer = |&number: &f64| self.integer(number, &at);
        let integers: Vec<i64> = numbers.iter().map(integer).collect::<Result<_, _>>()?;
        Ok(match self.element {
            Element::Bool => Tensor::bools(shape, integers.iter().map(|&i| i != 0).collect()),
            _ => Tensor::ints(shape, self.element, integers),
        })
    }

    /// A number that must be an integer of the declared type.
    fn integer(&self, number: f64, at: &str) -> Result<i64, OnnxError> {
        // Integers up to here are exact in f64.
        let exact = number.fract() == 0.0 && number.abs() <= 2f64.powi(53);
        if exact && self.element.integers().contains(&(number as i64)) {
            return Ok(number as i64);
        }
        Err(OnnxError::misfit(
            at,
            self.element.name(),
            number.to_string(),
        ))
    }

    /// The shape in which the numbers of an example of shape `from` are read.
    ///
    /// A first axis that is one or open is the batch. An example of the rank of the others must
    /// have their extents, and gives those that are open; of another rank it must have as many
    /// numbers, from which one open extent follows.
    fn shape_of(&self, from: &[usize]) -> Result<Vec<usize>, OnnxError> {
        let at = format!("graph input `{}`", self.name);
        let total = elements(from, &at)?;
        let mut extents = self.extents.clone();
        let batch = extents
            .first()
            .is_some_and(|first| first.is_none_or(|first| first == 1));
        let (batch, own) = extents.split_at_mut(batch.into());
        batch.fill(Some(1));
        let open = own.iter().filter(|extent| extent.is_none()).count();
        let known: usize = own.iter().flatten().product();
        if own.len() == from.len() {
            let same = |(own, &from): (&mut Option<usize>, &usize)| {
                *own = own.is_none_or(|own| own == from).then_some(from);
            };
            own.iter_mut().zip(from).for_each(same);
        } else if open == 1 && known > 0 && total.is_multiple_of(known) {
            own.iter_mut()
                .for_each(|own| *own = own.or(Some(total / known)));
        }
        let shape: Option<Vec<usize>> = extents.into_iter().collect();
        let shape = shape.filter(|shape| shape.iter().product::<usize>() == total);
        shape.ok_or_else(|| {
            let got = format!("an example of shape {from:?} with {total} numbers");
            OnnxError::misfit(&at, self.declared(), got)
        })
    }

    fn declared(&self) -> String {
        let extent =
            |extent: &Option<usize>| extent.map_or("?".into(), |extent| extent.to_string());
        let extents: Vec<String> = self.extents.iter().map(extent).collect();
        format!("{} of shape [{}]", self.element.name(), extents.join(", "))
    }
}

/// The extents that a file states; a negative number states none.
fn extents(shape: &TensorShapeProto) -> Vec<Option<usize>> {
    let extent = |extent: i64| usize::try_from(extent).ok();
    shape
        .dim
        .iter()
        .map(|dim| dim.dim_value.and_then(extent))
        .collect()
}

/// The inputs of one example, in the order of the graph.
///
/// A graph with one input reads the example in the shape that it declares. A graph of text reads
/// `[2, tokens]`: the words as `input_ids`, the mask as `attention_mask`, zeros as `token_type_ids`.
///
/// # Errors
/// [`OnnxError::Misfit`] when the numbers are not as many as an input needs, or when it is unclear
/// which input reads them.
pub(super) fn of_example(
    inputs: &[Input],
    shape: &[usize],
    example: &[f64],
) -> Result<Vec<OnnxInput>, OnnxError> {
    let expected = elements(shape, "example")?;
    if example.len() != expected {
        let got = example.len().to_string();
        return Err(OnnxError::misfit(
            "example",
            format!("{expected} numbers"),
            got,
        ));
    }
    if let [input] = inputs {
        return Ok(vec![OnnxInput {
            shape: input.shape_of(shape)?,
            numbers: example.to_vec(),
        }]);
    }
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let is_text = names.contains(&WORDS)
        && names.contains(&MASK)
        && names
            .iter()
            .all(|name| [WORDS, MASK, SEGMENTS].contains(name));
    if !is_text {
        let expected = format!("one input, or `{WORDS}` and `{MASK}` (and `{SEGMENTS}`)");
        return Err(OnnxError::misfit(
            "graph inputs",
            expected,
            format!("{names:?}"),
        ));
    }
    let &[2, tokens] = shape else {
        let got = format!("shape {shape:?}");
        return Err(OnnxError::misfit(
            "example",
            "[2, tokens] (words, mask)",
            got,
        ));
    };
    let (words, mask) = example.split_at(tokens);
    let of_input = |input: &Input| {
        let numbers = match input.name.as_str() {
            WORDS => words.to_vec(),
            MASK => mask.to_vec(),
            _ => vec![0.0; tokens],
        };
        Ok(OnnxInput {
            shape: input.shape_of(&[tokens])?,
            numbers,
        })
    };
    inputs.iter().map(of_input).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, element: Element, extents: &[Option<usize>]) -> Input {
        Input {
            name: name.into(),
            slot: 0,
            element,
            extents: extents.to_vec(),
        }
    }

    fn given(shape: &[usize], numbers: &[f64]) -> OnnxInput {
        OnnxInput {
            shape: shape.to_vec(),
            numbers: numbers.to_vec(),
        }
    }

    fn shape(extents: &[Option<usize>], from: &[usize]) -> Result<Vec<usize>, String> {
        let shape = input("x", Element::Float, extents).shape_of(from);
        shape.map_err(|error| error.to_string())
    }

    #[test]
    fn an_example_is_read_in_the_declared_shape() {
        let open = None;
        assert_eq!(shape(&[open, Some(784)], &[784]).unwrap(), [1, 784]);
        let image = [Some(1), Some(1), Some(28), Some(28)];
        assert_eq!(shape(&image, &[784]).unwrap(), [1, 1, 28, 28]);
        let sizes = [open, Some(3), open, open];
        assert_eq!(shape(&sizes, &[3, 5, 7]).unwrap(), [1, 3, 5, 7]);
        assert_eq!(shape(&[Some(784)], &[784]).unwrap(), [784]);
        assert_eq!(shape(&[Some(4), open], &[4, 6]).unwrap(), [4, 6]);
        assert_eq!(
            shape(&[Some(1), Some(28), open], &[784]).unwrap(),
            [1, 28, 28]
        );
    }

    #[test]
    fn an_example_of_another_size_is_refused_with_both_sizes() {
        for (extents, from) in [
            (vec![None, Some(784)], vec![783]),
            (vec![Some(8), Some(784)], vec![784]),
            (vec![None, Some(3), None, None], vec![75]),
            (vec![None, Some(3), None, None], vec![4, 5, 5]),
            (vec![None, Some(5), Some(5), Some(3)], vec![3, 5, 5]),
            (vec![None], vec![10]),
        ] {
            let error = shape(&extents, &from).unwrap_err();
            assert!(error.contains("expected float of shape ["), "{error}");
            assert!(
                error.contains(&format!("an example of shape {from:?}")),
                "{error}"
            );
        }
    }

    #[test]
    fn words_and_mask_find_their_inputs_in_any_order() {
        let open = [None, None];
        let [mask, words, segments] =
            [MASK, WORDS, SEGMENTS].map(|name| input(name, Element::Int64, &open));
        let example = [7.0, 8.0, 9.0, 1.0, 1.0, 0.0];
        let found = of_example(&[mask, words, segments], &[2, 3], &example).unwrap();
        assert_eq!(found[0], given(&[1, 3], &[1.0, 1.0, 0.0]));
        assert_eq!(found[1], given(&[1, 3], &[7.0, 8.0, 9.0]));
        assert_eq!(found[2], given(&[1, 3], &[0.0; 3]));
        let others = [WORDS, "position_ids"].map(|name| input(name, Element::Int64, &open));
        let error = of_example(&others, &[2, 3], &example)
            .unwrap_err()
            .to_string();
        assert!(error.contains("position_ids"), "{error}");
    }

    #[test]
    fn numbers_that_are_no_integers_of_the_type_are_refused() {
        let words = input(WORDS, Element::Int32, &[None]);
        assert!(words.tensor(&given(&[2], &[3.0, -1.0])).is_ok());
        for number in [0.5, f64::NAN, f64::INFINITY, 3e9] {
            let error = words
                .tensor(&given(&[1], &[number]))
                .unwrap_err()
                .to_string();
            assert!(error.contains("`input_ids`: expected int32"), "{error}");
        }
        assert!(
            input("x", Element::Bool, &[None])
                .tensor(&given(&[1], &[2.0]))
                .is_err()
        );
    }
}
