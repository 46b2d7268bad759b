//! WordPiece token ids as BERT and DistilBERT take them.
//!
//! Schuster & Nakajima, "Japanese and Korean voice search", ICASSP 2012; Devlin et al., "BERT", NAACL
//! 2019. A text becomes `[CLS] first [SEP]`, a pair `[CLS] first [SEP] second [SEP]`; what exceeds the
//! network's positions is cut off the end of the longer sentence first, and a batch is padded on the
//! right with `[PAD]` to its longest text. Truncation and padding that a `tokenizer.json` asks for are
//! not followed: the network's positions and the batch decide.
//!
//! Unicode cleaning, splitting and the greedy longest match are the `tokenizers` crate's. NUL and
//! control characters vanish, a word of more than 100 characters is `[UNK]`, and an empty text is
//! `[CLS] [SEP]`.

mod load;
mod rules;

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tokenizers::{Encoding, TruncationDirection, TruncationParams, TruncationStrategy};

pub use self::load::Casing;
use crate::DataError;

/// `[CLS] first [SEP] second [SEP]` holds three special tokens, and at least one token is kept of each
/// sentence.
const FEWEST_POSITIONS: usize = 5;
/// Texts that a thread tokenizes at least; fewer take less time than waking a thread.
const TEXTS_PER_TASK: usize = 64;

/// Token ids and attention mask of a batch of texts, `[batch, length]` row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    /// `batch x length` token ids, `[PAD]` after the end of a text.
    pub ids: Vec<u32>,
    /// `batch x length` values: 1 for a token of the text, 0 for padding.
    pub mask: Vec<u8>,
    /// Number of texts.
    pub batch: usize,
    /// Number of tokens of the longest text, special tokens included; 0 without texts.
    pub length: usize,
}

impl TokenBatch {
    /// The values and the shape `[batch, 2, length]` in which a network takes tokens: for each text
    /// its ids, then its mask. Ids below 2^24 are exact in `f32`, and [`Tokenizer`] gives no others.
    pub fn to_input(&self) -> (Vec<f32>, [usize; 3]) {
        let mut values = Vec::with_capacity(2 * self.ids.len());
        for row in 0..self.batch {
            let tokens = row * self.length..(row + 1) * self.length;
            values.extend(self.ids[tokens.clone()].iter().map(|&id| id as f32));
            values.extend(self.mask[tokens].iter().map(|&mask| f32::from(mask)));
        }
        (values, [self.batch, 2, self.length])
    }
}

/// A WordPiece tokenizer with the positions of its network.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
    positions: usize,
    pad: u32,
    largest_id: u32,
    lower_case: bool,
    /// Whether every batch is padded to all positions.
    to_positions: bool,
}

/// One token of a text.
pub(super) struct Token {
    /// Its id.
    pub(super) id: u32,
    /// The sentence it comes from, 0 or 1, and its bytes there; none for `[CLS]` and `[SEP]`.
    pub(super) place: Option<(usize, Range<usize>)>,
    /// Whether it is all of its word.
    pub(super) whole: bool,
}

impl Tokenizer {
    /// The same tokenizer for at most `positions` tokens, special tokens included.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] for fewer than 5.
    pub fn with_positions(mut self, positions: usize) -> Result<Self, DataError> {
        if positions < FEWEST_POSITIONS {
            let expected = format!("at least {FEWEST_POSITIONS}");
            return Err(invalid(
                &self.path,
                "positions",
                &expected,
                &positions.to_string(),
            ));
        }
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: positions,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        self.inner
            .with_truncation(Some(truncation))
            .map_err(|source| DataError::TokenizerFile {
                path: self.path.clone(),
                source,
            })?;
        self.positions = positions;
        Ok(self)
    }

    /// The same tokenizer, which pads every batch to exactly `length` tokens: for networks whose graph
    /// has a fixed number of them.
    ///
    /// # Errors
    /// As [`Tokenizer::with_positions`].
    pub fn padded_to(self, length: usize) -> Result<Self, DataError> {
        Ok(Self {
            to_positions: true,
            ..self.with_positions(length)?
        })
    }

    /// The tokens to which a batch is padded whose longest text has so many.
    pub fn padded_length(&self, longest: usize) -> usize {
        match self.to_positions {
            true => self.positions,
            false => longest,
        }
    }

    /// Whether upper case becomes lower case.
    pub fn lower_case(&self) -> bool {
        self.lower_case
    }

    /// The most tokens of a text, special tokens included.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Rows that an embedding matrix needs for every token: the largest id plus 1.
    pub fn vocabulary_len(&self) -> usize {
        self.largest_id as usize + 1
    }

    /// The id of `[PAD]`, which fills up short texts.
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// The id of a token, e.g. of `[CLS]`, `good` or `##ly`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Token ids and mask of sentences and sentence pairs, padded to the longest one.
    ///
    /// # Errors
    /// [`DataError::Tokenize`] names the first text on which the tokenizer fails.
    pub fn encode(&self, texts: &[(&str, Option<&str>)]) -> Result<TokenBatch, DataError> {
        let encodings: Vec<_> = texts
            .par_iter()
            .with_min_len(TEXTS_PER_TASK)
            .map(|&text| encode(&self.inner, text))
            .collect();
        let encodings = encodings
            .into_iter()
            .enumerate()
            .map(|(position, encoding)| {
                encoding.map_err(|source| DataError::Tokenize { position, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let longest = encodings.iter().map(Encoding::len).max().unwrap_or(0);
        let length = self.padded_length(longest);
        let mut batch = TokenBatch {
            ids: vec![self.pad; length * texts.len()],
            mask: vec![0; length * texts.len()],
            batch: texts.len(),
            length,
        };
        for (row, encoding) in encodings.iter().enumerate() {
            let tokens = row * length..row * length + encoding.len();
            batch.ids[tokens.clone()].copy_from_slice(encoding.get_ids());
            batch.mask[tokens].fill(1);
        }
        Ok(batch)
    }

    /// The tokens of one text with their places in it, as [`Tokenizer::encode`] counts them.
    pub(super) fn align(&self, text: (&str, Option<&str>)) -> Result<Vec<Token>, DataError> {
        let encoding = encode(&self.inner, text).map_err(|source| DataError::Tokenize {
            position: 0,
            source,
        })?;
        let words: Vec<_> = encoding
            .get_sequence_ids()
            .into_iter()
            .zip(encoding.get_word_ids())
            .map(|(sentence, &word)| sentence.zip(word))
            .collect();
        let special = encoding.get_special_tokens_mask();
        Ok((0..encoding.len())
            .map(|i| {
                let (start, end) = encoding.get_offsets()[i];
                let word = words[i].filter(|_| special[i] == 0);
                Token {
                    id: encoding.get_ids()[i],
                    place: word.map(|(sentence, _)| (sentence, start..end)),
                    whole: word.is_some()
                        && (i == 0 || words[i - 1] != word)
                        && words.get(i + 1).is_none_or(|next| *next != word),
                }
            })
            .collect())
    }

    /// Every token that stands for a whole word of letters, with its id, in the order of ids: not a
    /// continuation, not special, and read back from its own spelling.
    pub(super) fn whole_words(&self) -> Vec<(u32, String)> {
        let mut words: Vec<(u32, String)> = self
            .inner
            .get_vocab(false)
            .into_iter()
            .filter(|(token, _)| token.chars().all(char::is_alphabetic) && !token.is_empty())
            .map(|(token, id)| (id, token))
            .filter(|(id, token)| {
                self.inner
                    .encode_fast(token.as_str(), false)
                    .is_ok_and(|encoding| encoding.get_ids() == [*id])
            })
            .collect();
        words.sort_unstable();
        words
    }
}

fn encode(
    tokenizer: &tokenizers::Tokenizer,
    text: (&str, Option<&str>),
) -> tokenizers::Result<Encoding> {
    match text {
        (first, None) => tokenizer.encode(first, true),
        (first, Some(second)) => tokenizer.encode((first, second), true),
    }
}

fn invalid(path: &Path, what: &'static str, expected: &str, got: &str) -> DataError {
    DataError::Tokenizer {
        path: path.to_owned(),
        what,
        expected: expected.to_owned(),
        got: got.to_owned(),
    }
}

#[cfg(test)]
mod tests;
