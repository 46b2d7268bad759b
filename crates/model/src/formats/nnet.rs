//! The text format `.nnet` of the networks of ACAS Xu (Kyle Julian, Stanford; Katz et al. 2017).
//!
//! ```text
//! // comments
//! layers, inputs, outputs, largest layer,
//! inputs, width, .., outputs,
//! 0,                                  (unused)
//! smallest value of every input,
//! largest value of every input,
//! mean of every input, mean of the outputs,
//! range of every input, range of the outputs,
//! weights of the first layer, one row per output; its biases, one per line; the next layer ..
//! ```
//!
//! Every layer but the last is followed by ReLU. Inputs are read in their own units: `(x - mean) / range`
//! goes into the first layer, and `y · range + mean` comes out. The numbers are decimal and become f64.
//!
//! The evaluators that come with the format also clip inputs to their smallest and largest values; that
//! is done around the network, is no part of it, and is not done here.

use std::collections::BTreeMap;

use super::{StoredTensor, malformed};
use crate::{Dtype, ModelError, Note};

const FORMAT: &str = ".nnet";

/// Inputs and outputs of the networks of ACAS Xu, whose advisory is the smallest output.
const ACAS_XU: [usize; 2] = [5, 5];

/// A file's tensors, the metadata that say what they are, and what was done.
#[derive(Debug)]
pub(super) struct Nnet {
    /// `0.weight`, `0.bias`, `2.weight`, ..; `input_means` and the like.
    pub(super) tensors: Vec<StoredTensor>,
    /// `activation` and, for ACAS Xu, `answer`.
    pub(super) metadata: BTreeMap<String, String>,
    /// What the file says and what is not done.
    pub(super) notes: Vec<Note>,
}

/// Whether a file starts like one of this format: comments, then a line of four counts.
pub(super) fn starts_like(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(4096)];
    let mut lines = start.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"//"));
    let Some(text) = first.and_then(|line| std::str::from_utf8(line).ok()) else {
        return false;
    };
    let counts: Option<Vec<usize>> = fields(text).map(|field| field.parse().ok()).collect();
    counts.is_some_and(|counts| counts.len() == 4 && text.contains(','))
}

/// Reads a file.
pub(super) fn read(bytes: &[u8], origin: &str) -> Result<Nnet, ModelError> {
    parse(bytes).map_err(|reason| malformed(FORMAT, origin, reason))
}

fn parse(bytes: &[u8]) -> Result<Nnet, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text in UTF-8")?;
    let mut lines = Lines {
        lines: text.lines(),
        number: 0,
    };
    let counts = lines.counts(4)?;
    let (layers, inputs, outputs) = (counts[0], counts[1], counts[2]);
    if layers == 0 || layers > text.len() {
        return Err(format!("expected one layer or more, got {layers}"));
    }
    let widths = lines.counts(layers + 1)?;
    if widths[0] != inputs || widths[layers] != outputs || widths.contains(&0) {
        return Err(format!(
            "line {}: expected widths from {inputs} to {outputs}, got {widths:?}",
            lines.number
        ));
    }
    lines.counts(1)?;
    let (mins, maxes) = (lines.numbers(inputs)?, lines.numbers(inputs)?);
    let (mut means, mut ranges) = (lines.numbers(inputs + 1)?, lines.numbers(inputs + 1)?);
    if let Some(place) = ranges.iter().position(|&range| range == 0.0) {
        return Err(format!(
            "line {}: expected ranges other than 0, got 0 at {place}",
            lines.number
        ));
    }
    let (mean, range) = (means.split_off(inputs), ranges.split_off(inputs));
    let mut tensors = Vec::new();
    for (layer, pair) in widths.windows(2).enumerate() {
        let mut weight = Vec::new();
        for _ in 0..pair[1] {
            weight.extend(lines.numbers(pair[0])?);
        }
        let mut bias = Vec::new();
        for _ in 0..pair[1] {
            bias.extend(lines.numbers(1)?);
        }
        tensors.push(tensor(
            format!("{}.weight", 2 * layer),
            &[pair[1], pair[0]],
            &weight,
        ));
        tensors.push(tensor(format!("{}.bias", 2 * layer), &[pair[1]], &bias));
    }
    if let Some(line) = lines.next() {
        return Err(format!(
            "line {}: expected the end, got `{}`",
            lines.number,
            cut(line)
        ));
    }
    for (name, values) in [
        ("input_mins", &mins),
        ("input_maxes", &maxes),
        ("input_means", &means),
        ("input_ranges", &ranges),
        ("output_mean", &mean),
        ("output_range", &range),
    ] {
        tensors.push(tensor(name.to_owned(), &[values.len()], values));
    }
    let mut metadata = BTreeMap::from([("activation".to_owned(), "relu".to_owned())]);
    let mut notes = vec![
        Note::Read("the format has ReLU between the layers".to_owned()),
        Note::Assumed(
            "inputs lie between `input_mins` and `input_maxes`: programs that evaluate `.nnet` files \
             clip others to them, which is not done here"
                .to_owned(),
        ),
    ];
    if [inputs, outputs] == ACAS_XU {
        metadata.insert("answer".to_owned(), "smallest".to_owned());
        notes.push(Note::Assumed(
            "five inputs and five outputs are a network of ACAS Xu, whose advisory is the smallest output"
                .to_owned(),
        ));
    }
    Ok(Nnet {
        tensors,
        metadata,
        notes,
    })
}

fn tensor(name: String, shape: &[usize], numbers: &[f64]) -> StoredTensor {
    StoredTensor {
        name,
        dtype: Dtype::F64,
        shape: shape.to_vec(),
        bytes: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

/// The fields of a line, which ends in a comma or not.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    let line = line.trim();
    line.strip_suffix(',')
        .unwrap_or(line)
        .split(',')
        .map(str::trim)
}

fn cut(line: &str) -> String {
    line.chars().take(40).collect()
}

struct Lines<'t> {
    lines: std::str::Lines<'t>,
    /// Of the last line that was read, from 1.
    number: usize,
}

impl<'t> Lines<'t> {
    /// The next line that is neither empty nor a comment.
    fn next(&mut self) -> Option<&'t str> {
        loop {
            self.number += 1;
            let line = self.lines.next()?.trim();
            if !line.is_empty() && !line.starts_with("//") {
                return Some(line);
            }
        }
    }

    fn line(&mut self) -> Result<&'t str, String> {
        self.next()
            .ok_or_else(|| format!("line {}: the file ends before its last layer", self.number))
    }

    fn counts(&mut self, count: usize) -> Result<Vec<usize>, String> {
        let line = self.line()?;
        let counts: Option<Vec<usize>> = fields(line).map(|field| field.parse().ok()).collect();
        let counts = counts.filter(|counts| counts.len() == count);
        counts.ok_or_else(|| self.other(count, "whole numbers", line))
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<f64>, String> {
        let line = self.line()?;
        let finite = |field: &str| field.parse().ok().filter(|number: &f64| number.is_finite());
        let numbers: Option<Vec<f64>> = fields(line).map(finite).collect();
        let numbers = numbers.filter(|numbers| numbers.len() == count);
        numbers.ok_or_else(|| self.other(count, "numbers", line))
    }

    fn other(&self, count: usize, what: &str, line: &str) -> String {
        format!(
            "line {}: expected {count} {what}, got {}: `{}`",
            self.number,
            fields(line).count(),
            cut(line)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "// Neural Network File Format by Kyle Julian, Stanford 2016\n\
        2, 2, 1, 3,\n2, 3, 1,\n0,\n-1.0,-2.0,\n1.0,2.0,\n0.5,0.0,7.5,\n2.0,4.0,3.0,\n\
        1.0,2.0,\n3.0,4.0,\n5.0,6.0e-1,\n0.1,\n0.2,\n0.3,\n-1,-2,-3,\n0.25,\n";

    fn numbers(tensor: &StoredTensor) -> Vec<f64> {
        super::super::decode(&tensor.bytes, tensor.dtype).unwrap()
    }

    #[test]
    fn a_file_becomes_layers_and_units() {
        assert!(starts_like(SMALL.as_bytes()));
        let nnet = parse(SMALL.as_bytes()).unwrap();
        let of = |name: &str| {
            let found = nnet
                .tensors
                .iter()
                .find(|tensor| tensor.name == name)
                .unwrap();
            (found.shape.clone(), numbers(found))
        };
        assert_eq!(
            of("0.weight"),
            (vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 0.6])
        );
        assert_eq!(of("0.bias"), (vec![3], vec![0.1, 0.2, 0.3]));
        assert_eq!(of("2.weight"), (vec![1, 3], vec![-1.0, -2.0, -3.0]));
        assert_eq!(of("input_means").1, [0.5, 0.0]);
        assert_eq!(of("output_range"), (vec![1], vec![3.0]));
        assert_eq!(nnet.metadata["activation"], "relu");
        assert_eq!(nnet.metadata.get("answer"), None);
        assert!(nnet.notes.iter().any(|note| note.text().contains("clip")));
    }

    #[test]
    fn damaged_files_are_refused_by_line() {
        for (from, to, words) in [
            (
                "2, 2, 1, 3,",
                "2, 2, 1,",
                "line 2: expected 4 whole numbers, got 3",
            ),
            (
                "2, 3, 1,",
                "2, 0, 1,",
                "line 3: expected widths from 2 to 1",
            ),
            (
                "2, 2, 1, 3,",
                "99999999999999999, 2, 1, 3,",
                "one layer or more",
            ),
            (
                "2, 2, 1, 3,",
                "18446744073709551615, 2, 1, 3,",
                "one layer or more",
            ),
            ("-1.0,-2.0,", "-1.0,x,", "line 5: expected 2 numbers"),
            (
                "2.0,4.0,3.0,",
                "2.0,0.0,3.0,",
                "ranges other than 0, got 0 at 1",
            ),
            ("5.0,6.0e-1,", "5.0,inf,", "line 11: expected 2 numbers"),
            ("0.25,\n", "", "the file ends before its last layer"),
            ("0.25,\n", "0.25,\n1.0,\n", "expected the end, got `1.0,`"),
        ] {
            let refusal = parse(SMALL.replace(from, to).as_bytes()).unwrap_err();
            assert!(refusal.contains(words), "expected `{words}` in: {refusal}");
        }
    }

    #[test]
    fn other_texts_do_not_start_like_one() {
        for text in [
            "",
            "// only comments\n",
            "1,2,3\n",
            "hello",
            "1 2 3 4",
            "a,b,c,d",
        ] {
            assert!(!starts_like(text.as_bytes()), "{text}");
        }
    }
}
