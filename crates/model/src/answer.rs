//! What the outputs of a network say: its rule for an answer.
//!
//! An answer is a number below the number of answers. Every rule is the largest of *scores*, which are
//! an affine function of the outputs y, so that whatever is stated of the largest score of a network
//! holds for each rule:
//!
//! | rule | answer | scores |
//! |---|---|---|
//! | largest | arg max y_c | y |
//! | smallest | arg min y_c | -y |
//! | above t, one output | 1 when y > t, else 0 | [-(y - t) / 2, (y - t) / 2] |
//! | each above t | Σ_c 2^c [y_c > t] | s_a = Σ_c ±(y_c - t) / 2, the sign + where bit c of a is set |
//!
//! The best score exceeds another one by the sum of `|y_c - t|` over the outputs on whose side of t the
//! two answers differ, so a margin between scores is a distance from the threshold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// The most outputs whose answers together are told apart: there are 2^outputs of them.
pub const MOST_LABELS: usize = 10;

/// How outputs become an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerRule {
    /// The position of the largest output.
    Largest,
    /// The position of the smallest output, as in ACAS Xu.
    Smallest,
    /// Whether the only output exceeds a threshold.
    Above(f64),
    /// Which outputs exceed a threshold, several labels at once: the sum of 2^c over those outputs c.
    EachAbove(f64),
}

impl AnswerRule {
    /// Number of answers for a number of outputs.
    ///
    /// # Errors
    /// A sentence about outputs that the rule is not for.
    pub fn answers(self, outputs: usize) -> Result<usize, String> {
        match (self, outputs) {
            (_, 0) => Err("the network has no outputs".to_owned()),
            (Self::Largest | Self::Smallest, 1) => Err(format!(
                "the network has one output, whose {} is no answer: give the threshold above which \
                 the answer is yes (--threshold 0 for a logit, 0.5 for a probability)",
                if self == Self::Largest {
                    "largest"
                } else {
                    "smallest"
                }
            )),
            (Self::Largest | Self::Smallest, outputs) => Ok(outputs),
            (Self::Above(_), 1) => Ok(2),
            (Self::Above(_), outputs) => Err(format!(
                "a threshold is for a network of one output, this one has {outputs}"
            )),
            (Self::EachAbove(_), outputs) if outputs <= MOST_LABELS => Ok(1 << outputs),
            (Self::EachAbove(_), outputs) => Err(format!(
                "several labels per input: expected at most {MOST_LABELS} outputs, got {outputs}"
            )),
        }
    }

    /// The rule in the words that its `FromStr` reads.
    pub fn word(self) -> String {
        match self {
            Self::Largest => "largest".to_owned(),
            Self::Smallest => "smallest".to_owned(),
            Self::Above(threshold) => format!("above:{threshold}"),
            Self::EachAbove(threshold) => format!("each_above:{threshold}"),
        }
    }

    /// The score of every answer, from the outputs of one example.
    pub fn scores(self, outputs: &[f64]) -> Vec<f64> {
        match self {
            Self::Largest => outputs.to_vec(),
            Self::Smallest => outputs.iter().map(|y| -y).collect(),
            Self::Above(threshold) | Self::EachAbove(threshold) => (0..1_usize << outputs.len())
                .map(|answer| {
                    let sides = outputs.iter().enumerate();
                    sides
                        .map(|(c, y)| side(answer, c) * (y - threshold) / 2.0)
                        .sum()
                })
                .collect(),
        }
    }

    /// The answer to one example, from its outputs: of equal ones the first.
    pub fn answer(self, outputs: &[f64]) -> usize {
        match self {
            Self::Largest => first_best(outputs, |y, best| y > best),
            Self::Smallest => first_best(outputs, |y, best| y < best),
            Self::Above(threshold) | Self::EachAbove(threshold) => {
                let above = outputs.iter().enumerate();
                above.map(|(c, y)| usize::from(*y > threshold) << c).sum()
            }
        }
    }

    /// The matrix `[answers, outputs]` and the offsets of the scores, `None` where they are the outputs.
    pub(crate) fn affine(self, outputs: usize) -> Option<(Vec<f64>, Vec<f64>)> {
        let diagonal = |row: usize, column: usize| if row == column { -1.0 } else { 0.0 };
        let entries = |answers: usize| {
            (0..answers).flat_map(move |row| (0..outputs).map(move |column| (row, column)))
        };
        match self {
            Self::Largest => None,
            Self::Smallest => {
                let matrix = entries(outputs).map(|(row, column)| diagonal(row, column));
                Some((matrix.collect(), vec![0.0; outputs]))
            }
            Self::Above(threshold) | Self::EachAbove(threshold) => {
                let answers = 1_usize << outputs;
                let matrix = entries(answers).map(|(answer, c)| side(answer, c) / 2.0);
                let offset = |answer: usize| {
                    let sides = (0..outputs).map(|c| side(answer, c) / 2.0);
                    -threshold * sides.sum::<f64>()
                };
                Some((matrix.collect(), (0..answers).map(offset).collect()))
            }
        }
    }
}

/// +1 where the answer says that output c is above the threshold, -1 where it is not.
fn side(answer: usize, c: usize) -> f64 {
    if answer >> c & 1 == 1 { 1.0 } else { -1.0 }
}

fn first_best(outputs: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    (0..outputs.len()).fold(0, |best, c| {
        if better(outputs[c], outputs[best]) {
            c
        } else {
            best
        }
    })
}

impl fmt::Display for AnswerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Largest => write!(f, "the largest output"),
            Self::Smallest => write!(f, "the smallest output"),
            Self::Above(threshold) => write!(f, "whether the output exceeds {threshold}"),
            Self::EachAbove(threshold) => write!(f, "the outputs that exceed {threshold}"),
        }
    }
}

/// `largest`, `smallest`, `above:T` or `each_above:T`.
impl FromStr for AnswerRule {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let threshold = |text: &str| text.parse().ok().filter(|t: &f64| t.is_finite());
        let found = match text.split_once(':') {
            None if text == "largest" => Some(Self::Largest),
            None if text == "smallest" => Some(Self::Smallest),
            Some(("above", number)) => threshold(number).map(Self::Above),
            Some(("each_above", number)) => threshold(number).map(Self::EachAbove),
            _ => None,
        };
        found.ok_or_else(|| ModelError::Unknown {
            kind: "rule for an answer",
            name: text.to_owned(),
            known: ["largest", "smallest", "above:T", "each_above:T"]
                .map(str::to_owned)
                .to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [(AnswerRule, usize); 6] = [
        (AnswerRule::Largest, 3),
        (AnswerRule::Smallest, 3),
        (AnswerRule::Above(0.5), 1),
        (AnswerRule::Above(-2.0), 1),
        (AnswerRule::EachAbove(0.5), 3),
        (AnswerRule::EachAbove(0.0), 1),
    ];

    #[test]
    fn the_answer_is_that_of_the_largest_score() {
        for (rule, outputs) in RULES {
            for seed in 0..200_u32 {
                let y: Vec<f64> = (0..outputs as u32)
                    .map(|c| f64::from((seed * 7 + c * 31) % 23) / 5.0 - 2.0)
                    .collect();
                let scores = rule.scores(&y);
                assert_eq!(scores.len(), rule.answers(outputs).unwrap());
                let best = AnswerRule::Largest.answer(&scores);
                let tie = scores.iter().filter(|s| **s == scores[best]).count() > 1;
                assert!(tie || best == rule.answer(&y), "{rule} of {y:?}");
            }
        }
    }

    #[test]
    fn the_affine_map_gives_the_scores() {
        for (rule, outputs) in RULES {
            let y: Vec<f64> = (0..outputs).map(|c| 0.3 * c as f64 - 0.4).collect();
            let Some((matrix, offsets)) = rule.affine(outputs) else {
                continue;
            };
            for (a, score) in rule.scores(&y).iter().enumerate() {
                let row = &matrix[a * outputs..(a + 1) * outputs];
                let affine = row.iter().zip(&y).map(|(w, y)| w * y).sum::<f64>() + offsets[a];
                assert!((affine - score).abs() < 1e-15, "{rule}, answer {a}");
            }
        }
    }

    #[test]
    fn a_margin_between_scores_is_a_distance_from_the_threshold() {
        let scores = AnswerRule::Above(0.5).scores(&[0.8]);
        assert!((scores[1] - scores[0] - 0.3).abs() < 1e-15);
        let scores = AnswerRule::EachAbove(0.0).scores(&[0.25, -4.0]);
        assert!((scores[0b01] - scores[0b00] - 0.25).abs() < 1e-15);
        assert!((scores[0b01] - scores[0b11] - 4.0).abs() < 1e-15);
    }

    #[test]
    fn rules_that_do_not_fit_the_outputs_are_refused() {
        for (rule, outputs, words) in [
            (AnswerRule::Largest, 1, "--threshold"),
            (AnswerRule::Smallest, 1, "--threshold"),
            (AnswerRule::Largest, 0, "no outputs"),
            (AnswerRule::Above(0.0), 2, "one output"),
            (AnswerRule::EachAbove(0.0), 11, "at most 10"),
        ] {
            let refusal = rule.answers(outputs).unwrap_err();
            assert!(refusal.contains(words), "{rule}: {refusal}");
        }
    }

    #[test]
    fn rules_are_read_from_text() {
        assert_eq!(
            "smallest".parse::<AnswerRule>().unwrap(),
            AnswerRule::Smallest
        );
        let above = "above:0.5".parse::<AnswerRule>().unwrap();
        assert_eq!(above, AnswerRule::Above(0.5));
        for (rule, _) in RULES {
            assert_eq!(rule.word().parse::<AnswerRule>().unwrap(), rule);
        }
        for text in ["", "above", "above:nan", "above:x", "min"] {
            assert!(text.parse::<AnswerRule>().is_err(), "{text}");
        }
    }
}
