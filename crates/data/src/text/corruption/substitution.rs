//! Word substitutions that a network's gradient points to.
//!
//! After HotFlip (Ebrahimi, Rao, Lowd & Dou, ACL 2018). With `e_t` the embedding of token `t` and `g_i`
//! the gradient of the loss with respect to the embedding at position `i`, putting word `w` there
//! changes the loss, to first order, by
//!
//! ```text
//! (e_w - e_{t_i}) · g_i.
//! ```
//!
//! The word and position for which this is largest, and positive, are exchanged; then the gradient is
//! computed again, until as many words are exchanged as the severity says or none raises the loss. No
//! position is changed twice.
//!
//! Words that go are single tokens of letters, neither function words nor negations nor parts of a
//! contraction. Words that come are
//! single tokens of letters too: whole words of the vocabulary, never special tokens, continuations or
//! negations, that differ from the old word and whose embeddings have a cosine of at least
//! [`Guide::min_cosine`] with its own. The changed text is tokenized again, and a word that does not
//! come back as its token alone is passed over.
//!
//! The cosine keeps most substitutions near in meaning, and no more than that: embeddings of opposites
//! can be close.
//!
//! A text is given to the network alone, so the result does not depend on the others of its set.

use std::error::Error;
use std::ops::Range;

use rayon::prelude::*;

use super::super::dataset::{TextExample, class_of};
use super::super::tokenize::{Token, TokenBatch, Tokenizer};
use super::super::words;
use crate::DataError;
use crate::corruption::Severity;

pub(super) const SUMMARY: &str =
    "up to 1, 2, 3, 4, 5 words replaced by those that raise a network's loss most, to first order";

/// The default of [`Guide::min_cosine`]: above *good* and *bad* (0.53) and *great* and *terrible* (0.44),
/// below *great* and *terrific* (0.58) in MiniLM's embeddings.
pub const MIN_COSINE: f32 = 0.55;

/// Candidates of a position that are tried, the best first.
const TRIED: usize = 8;

const FUNCTION_WORDS: [&str; 58] = [
    "a", "an", "the", "and", "or", "but", "if", "of", "to", "in", "on", "at", "by", "for", "with",
    "from", "as", "than", "that", "this", "these", "those", "it", "its", "he", "she", "him", "her",
    "his", "they", "them", "their", "we", "us", "our", "you", "your", "i", "me", "my", "is", "are",
    "was", "were", "be", "been", "being", "am", "has", "have", "had", "do", "does", "did", "who",
    "which", "what", "there",
];

/// A network as substitutions see it.
pub trait EmbeddingGradient {
    /// The gradient of the summed loss (the cross-entropy of `labels`, one per text) with respect to the
    /// token embeddings: `[batch, length, dim]` row-major values.
    ///
    /// # Errors
    /// Whatever keeps the network from answering.
    fn embedding_gradient(
        &mut self,
        batch: &TokenBatch,
        labels: &[usize],
    ) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>>;
}

/// A network, its tokenizer and its token embeddings.
pub struct Guide<'a> {
    /// The network's name, which becomes part of the identities: guides that differ, be it in
    /// `min_cosine` alone, need different names.
    pub name: String,
    /// The least cosine between the embeddings of a word and of its substitute; [`MIN_COSINE`] unless
    /// set.
    pub min_cosine: f32,
    tokenizer: &'a Tokenizer,
    gradient: &'a mut dyn EmbeddingGradient,
    vocabulary: Vocabulary<'a>,
}

/// The token embeddings, and the words that can come.
struct Vocabulary<'a> {
    embeddings: &'a [f32],
    dim: usize,
    candidates: Vec<Candidate>,
}

struct Candidate {
    id: u32,
    word: String,
    norm: f32,
}

/// A substitution, with the first-order change of the loss.
struct Flip {
    gain: f32,
    position: usize,
    candidate: usize,
}

impl<'a> Guide<'a> {
    /// A guide; `embeddings` are the network's `[tokens, dim]` token embeddings, row-major.
    ///
    /// # Errors
    /// [`DataError::Count`] unless `embeddings` has whole rows of `dim` values for every token.
    pub fn new(
        name: impl Into<String>,
        tokenizer: &'a Tokenizer,
        embeddings: &'a [f32],
        dim: usize,
        gradient: &'a mut dyn EmbeddingGradient,
    ) -> Result<Self, DataError> {
        let least = tokenizer.vocabulary_len().saturating_mul(dim);
        if dim == 0 || embeddings.len() < least || !embeddings.len().is_multiple_of(dim) {
            return Err(DataError::Count {
                what: "embedding values",
                expected: least.max(1),
                got: embeddings.len(),
            });
        }
        let candidate = |(id, word): (u32, String)| {
            let row = &embeddings[id as usize * dim..][..dim];
            let norm = dot(row, row).sqrt();
            (norm > 0.0 && !words::is_negation(&word)).then_some(Candidate { id, word, norm })
        };
        let candidates = tokenizer.whole_words().into_iter().filter_map(candidate);
        Ok(Self {
            name: name.into(),
            min_cosine: MIN_COSINE,
            tokenizer,
            gradient,
            vocabulary: Vocabulary {
                embeddings,
                dim,
                candidates: candidates.collect(),
            },
        })
    }

    /// The text with words exchanged; none when no exchange raises the loss.
    pub(super) fn substitute(
        &mut self,
        example: &TextExample,
        severity: Severity,
    ) -> Result<Option<TextExample>, DataError> {
        let label = class_of(example)?;
        let mut changed = example.clone();
        let mut exchanged = Vec::new();
        while exchanged.len() < severity.of([1, 2, 3, 4, 5]) {
            let tokens = self.tokenizer.align(changed.sentences())?;
            let gradient = self.gradient_of(&changed, label, tokens.len())?;
            let positions = replaceable(&changed, &tokens, &exchanged);
            let flips = self
                .vocabulary
                .best_flips(&tokens, &gradient, &positions, self.min_cosine);
            let Some((text, position)) = self.first_that_reads_back(&changed, &tokens, &flips)?
            else {
                break;
            };
            changed = text;
            exchanged.push(position);
        }
        Ok((!exchanged.is_empty()).then_some(changed))
    }

    fn gradient_of(
        &mut self,
        example: &TextExample,
        label: usize,
        length: usize,
    ) -> Result<Vec<f32>, DataError> {
        let failed = |source| DataError::Gradient {
            example: example.id.clone(),
            source,
        };
        let batch = self.tokenizer.encode(&[example.sentences()])?;
        let gradient = self
            .gradient
            .embedding_gradient(&batch, &[label])
            .map_err(failed)?;
        let expected = length * self.vocabulary.dim;
        if gradient.len() != expected {
            let got = gradient.len();
            return Err(failed(
                format!("expected {expected} values, got {got}").into(),
            ));
        }
        if let Some(at) = gradient.iter().position(|value| !value.is_finite()) {
            let value = gradient[at];
            return Err(failed(
                format!("value {at}: expected a finite one, got {value}").into(),
            ));
        }
        Ok(gradient)
    }

    /// The text after the first flip that changes one token and no other.
    fn first_that_reads_back(
        &self,
        example: &TextExample,
        tokens: &[Token],
        flips: &[Flip],
    ) -> Result<Option<(TextExample, usize)>, DataError> {
        for flip in flips {
            let new = &self.vocabulary.candidates[flip.candidate];
            let Some((sentence, place)) = tokens[flip.position].place.clone() else {
                continue;
            };
            let text = exchange(example, sentence, place, &new.word);
            let read = self.tokenizer.align(text.sentences())?;
            let same = read.len() == tokens.len()
                && read.iter().zip(tokens).enumerate().all(|(i, (now, then))| {
                    now.id == if i == flip.position { new.id } else { then.id }
                });
            if same {
                return Ok(Some((text, flip.position)));
            }
        }
        Ok(None)
    }
}

impl Vocabulary<'_> {
    /// The flips that raise the loss, the best first.
    fn best_flips(
        &self,
        tokens: &[Token],
        gradient: &[f32],
        positions: &[usize],
        min_cosine: f32,
    ) -> Vec<Flip> {
        let mut flips: Vec<Flip> = positions
            .par_iter()
            .flat_map_iter(|&position| {
                let slope = &gradient[position * self.dim..][..self.dim];
                self.flips_at(position, tokens[position].id, slope, min_cosine)
            })
            .collect();
        sort(&mut flips);
        flips
    }

    fn flips_at(&self, position: usize, old: u32, slope: &[f32], min_cosine: f32) -> Vec<Flip> {
        let old_row = self.row(old);
        let (old_norm, old_slope) = (dot(old_row, old_row).sqrt(), dot(old_row, slope));
        let mut best = Vec::with_capacity(2 * TRIED);
        for (candidate, new) in self.candidates.iter().enumerate() {
            let row = self.row(new.id);
            let gain = dot(row, slope) - old_slope;
            let near = || dot(row, old_row) >= min_cosine * new.norm * old_norm;
            if gain > 0.0 && new.id != old && near() {
                best.push(Flip {
                    gain,
                    position,
                    candidate,
                });
                if best.len() == 2 * TRIED {
                    sort(&mut best);
                    best.truncate(TRIED);
                }
            }
        }
        sort(&mut best);
        best.truncate(TRIED);
        best
    }

    fn row(&self, id: u32) -> &[f32] {
        &self.embeddings[id as usize * self.dim..][..self.dim]
    }
}

/// Positions of the words that can go.
fn replaceable(example: &TextExample, tokens: &[Token], exchanged: &[usize]) -> Vec<usize> {
    let can_go = |&position: &usize| {
        let token = &tokens[position];
        let Some((sentence, place)) = token.place.clone() else {
            return false;
        };
        let text = sentence_of(example, sentence);
        let word = &text[place.clone()];
        // Parts of a contraction carry its negation.
        let contracted = text[..place.start].ends_with(words::is_apostrophe)
            || text[place.end..].starts_with(words::is_apostrophe);
        token.whole
            && !contracted
            && !exchanged.contains(&position)
            && word.chars().all(char::is_alphabetic)
            && !words::is_negation(word)
            && !FUNCTION_WORDS.contains(&words::plain(word).as_str())
    };
    (0..tokens.len()).filter(can_go).collect()
}

fn sentence_of(example: &TextExample, sentence: usize) -> &str {
    match (sentence, &example.second) {
        (1, Some(second)) => second,
        _ => &example.first,
    }
}

fn exchange(
    example: &TextExample,
    sentence: usize,
    place: Range<usize>,
    word: &str,
) -> TextExample {
    let text = words::replace(sentence_of(example, sentence), &[(place, word.to_owned())]);
    let mut changed = example.clone();
    match (sentence, &mut changed.second) {
        (1, Some(second)) => *second = text,
        _ => changed.first = text,
    }
    changed
}

/// The largest gain first; of equal ones the first position, then the lowest token.
fn sort(flips: &mut [Flip]) {
    flips.sort_by(|a, b| {
        b.gain
            .total_cmp(&a.gain)
            .then(a.position.cmp(&b.position))
            .then(a.candidate.cmp(&b.candidate))
    });
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests;
