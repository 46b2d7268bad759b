//! Tokenizers from the files of a checkpoint, and what those files must agree on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use disk::{MOST_SETTINGS, Place};
use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{NormalizedString, Normalizer, PostProcessor};

use super::{Tokenizer, encode, invalid, rules};
use crate::error::shorten;
use crate::{DataError, file};

/// The most bytes of a vocabulary: 8 MiB, which holds hundreds of thousands of words.
const MOST_VOCABULARY: u64 = 1 << 23;

/// Token ids below this are exact in 32-bit floats, which is how a network takes them.
const ID_LIMIT: u32 = 1 << 24;

/// How words are prepared before they are split, when only a `vocab.txt` is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Casing {
    /// Whether upper case becomes lower case.
    pub lower_case: bool,
    /// Whether accents are removed; `None` when they are removed with upper case.
    pub strip_accents: Option<bool>,
    /// Whether each Chinese character is a word.
    pub split_chinese: bool,
}

impl Default for Casing {
    /// Lower case without accents, Chinese characters apart: BERT's "uncased".
    fn default() -> Self {
        Self {
            lower_case: true,
            strip_accents: None,
            split_chinese: true,
        }
    }
}

impl Tokenizer {
    /// The tokenizer of a checkpoint folder: from `tokenizer.json`, else from `vocab.txt` with the
    /// casing of `tokenizer_config.json`.
    ///
    /// Without a statement of the casing words become lower case, unless the vocabulary has words with
    /// upper-case letters.
    ///
    /// Positions are `max_position_embeddings` of `config.json`, or `model_max_length` of
    /// `tokenizer_config.json` where that is less or the only one.
    ///
    /// # Errors
    /// [`DataError::Io`] for a missing file, [`DataError::TokenizerFile`] for one that is not JSON, and
    /// [`DataError::Tokenizer`] when no file states the positions or the casing of a vocabulary with upper
    /// case, when a token id is not below
    /// `vocab_size` of `config.json`, and as for [`Tokenizer::from_json`].
    pub fn load(folder: &Path) -> Result<Self, DataError> {
        let config = Settings::read(folder.join("config.json"))?;
        let tokenizer_config = Settings::read(folder.join("tokenizer_config.json"))?;
        let positions = [
            config.number("max_position_embeddings")?,
            tokenizer_config.number("model_max_length")?,
        ];
        let positions = positions.into_iter().flatten().min().ok_or_else(|| {
            let expected = "max_position_embeddings, or model_max_length in tokenizer_config.json";
            invalid(&config.path, "positions", expected, "neither")
        })?;

        let place = Place::of_folder(folder)?;
        let file = folder.join("tokenizer.json");
        let tokenizer = if file::is_there(&file) {
            place.find(&file)?;
            Self::from_json(&file, positions)?
        } else {
            let vocabulary = folder.join("vocab.txt");
            place.find(&vocabulary)?;
            let stated = tokenizer_config.flag("do_lower_case")?.is_some();
            if !stated && has_upper_case(&String::from_utf8_lossy(&read(&vocabulary)?)) {
                let expected = "true or false in tokenizer_config.json, since the vocabulary has words with \
                                upper-case letters";
                return Err(invalid(&vocabulary, "do_lower_case", expected, "neither"));
            }
            Self::from_vocab(&vocabulary, tokenizer_config.casing()?, positions)?
        };
        if let Some(size) = config.number("vocab_size")?
            && tokenizer.vocabulary_len() > size
        {
            let (expected, got) = (format!("below {size}"), tokenizer.largest_id.to_string());
            let what = "largest token id for the network's vocab_size";
            return Err(invalid(&tokenizer.path, what, &expected, &got));
        }
        Ok(tokenizer)
    }

    /// The tokenizer of a `tokenizer.json`, for a network of `positions` positions.
    ///
    /// # Errors
    /// [`DataError::Io`], [`DataError::TokenizerFile`]; [`DataError::Tokenizer`] for another model than
    /// WordPiece, for steps that WordPiece has no use for, such as replacements and regular expressions, for
    /// words of more than 100 letters, a missing `[CLS]`, `[SEP]`, `[UNK]` or `[PAD]`, another layout than
    /// `[CLS] first [SEP] second [SEP]`, a token id of 2^24 or more, and fewer than 5 positions.
    pub fn from_json(path: &Path, positions: usize) -> Result<Self, DataError> {
        Self::from_bytes(path, &read(path)?, positions)
    }

    /// The tokenizer of a `vocab.txt`, one token a line, for a network of `positions` positions.
    ///
    /// # Errors
    /// Those of [`Tokenizer::from_json`].
    pub fn from_vocab(path: &Path, casing: Casing, positions: usize) -> Result<Self, DataError> {
        let text = String::from_utf8(read(path)?).map_err(|source| DataError::TokenizerFile {
            path: path.to_owned(),
            source: source.into(),
        })?;
        let lines = text.strip_suffix('\n').unwrap_or(&text).split('\n');
        let vocabulary: HashMap<&str, usize> = lines
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
            .zip(0..)
            .collect();
        let id = |token: &str| {
            vocabulary
                .get(token)
                .copied()
                .ok_or_else(|| invalid(path, "special tokens", token, "none"))
        };
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            .iter()
            .filter_map(|token| Some((token, vocabulary.get(token)?)))
            .map(|(token, id)| {
                json!({
                    "id": id, "content": token, "special": true, "normalized": false,
                    "single_word": false, "lstrip": false, "rstrip": false,
                })
            });
        let description = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": special.collect::<Vec<_>>(),
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": casing.split_chinese,
                "strip_accents": casing.strip_accents,
                "lowercase": casing.lower_case,
            },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": {
                "type": "BertProcessing",
                "sep": ["[SEP]", id("[SEP]")?],
                "cls": ["[CLS]", id("[CLS]")?],
            },
            "decoder": null,
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": vocabulary,
            },
        });
        Self::from_bytes(path, description.to_string().as_bytes(), positions)
    }

    fn from_bytes(path: &Path, bytes: &[u8], positions: usize) -> Result<Self, DataError> {
        let bytes = rules::checked(path, bytes)?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|source| {
            DataError::TokenizerFile {
                path: path.to_owned(),
                source,
            }
        })?;
        let special = |token: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| invalid(path, "special tokens", token, "none"))
        };
        let (cls, sep, pad) = (special("[CLS]")?, special("[SEP]")?, special("[PAD]")?);
        special("[UNK]")?;
        let ModelWrapper::WordPiece(model) = inner.get_model() else {
            return Err(invalid(path, "model", "WordPiece", "another one"));
        };
        // The model fails on the first unknown word when it lacks the token that stands for it.
        special(&model.unk_token)?;
        let largest_id = inner.get_vocab(true).into_values().max().unwrap_or(0);
        if largest_id >= ID_LIMIT {
            let (expected, got) = (format!("below {ID_LIMIT}"), largest_id.to_string());
            return Err(invalid(path, "largest token id", &expected, &got));
        }

        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|source| DataError::TokenizerFile {
                path: path.to_owned(),
                source,
            })?;
        expect_layout(path, &inner, &[cls, sep], None)?;
        expect_layout(path, &inner, &[cls, sep, sep], Some(""))?;
        // What the tokenizer itself makes of an upper-case letter.
        let lower_case = inner.get_normalizer().is_some_and(lowers);
        let tokenizer = Self {
            inner,
            path: path.to_owned(),
            positions,
            pad,
            largest_id,
            lower_case,
            to_positions: false,
        };
        tokenizer.with_positions(positions)
    }
}

/// Whether a normalizer turns upper case into lower case.
fn lowers(normalizer: &NormalizerWrapper) -> bool {
    let mut text = NormalizedString::from("A");
    normalizer.normalize(&mut text).is_ok() && text.get() == "a"
}

/// Whether a vocabulary tells upper case from lower case: it has words with upper-case letters, special
/// tokens in brackets aside.
fn has_upper_case(vocabulary: &str) -> bool {
    let words = vocabulary.lines().filter(|word| !word.starts_with('['));
    words
        .into_iter()
        .any(|word| word.chars().any(char::is_uppercase))
}

/// Checks that empty sentences become `expected`: what is added to the tokens of any others.
fn expect_layout(
    path: &Path,
    tokenizer: &tokenizers::Tokenizer,
    expected: &[u32],
    second: Option<&str>,
) -> Result<(), DataError> {
    // The truncated length is the positions less this number, which a file can make huge.
    let added = tokenizer
        .get_post_processor()
        .map_or(0, |processor| processor.added_tokens(second.is_some()));
    let encoding = encode(tokenizer, ("", second)).map_err(|source| DataError::TokenizerFile {
        path: path.to_owned(),
        source,
    })?;
    if encoding.get_ids() == expected && added == expected.len() {
        return Ok(());
    }
    let what = match second {
        None => "special tokens around a sentence",
        Some(_) => "special tokens around a pair",
    };
    let (expected, got) = (format!("{expected:?}"), format!("{:?}", encoding.get_ids()));
    Err(invalid(path, what, &expected, &got))
}

/// A JSON file of settings; without the file there are none.
struct Settings {
    path: PathBuf,
    values: Value,
}

impl Settings {
    fn read(path: PathBuf) -> Result<Self, DataError> {
        if !file::is_there(&path) {
            let values = Value::Null;
            return Ok(Self { path, values });
        }
        let place = Place::of_folder(path.parent().unwrap_or(Path::new("")))?;
        match serde_json::from_slice(&place.read(&path, MOST_SETTINGS)?) {
            Ok(values) => Ok(Self { path, values }),
            Err(source) => Err(DataError::TokenizerFile {
                path,
                source: source.into(),
            }),
        }
    }

    /// A count; none when it is missing, null or beyond any count, as `model_max_length` is when
    /// nothing limits it.
    fn number(&self, name: &'static str) -> Result<Option<usize>, DataError> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match (value.as_u64(), value.as_f64()) {
                (Some(number), _) => Ok(usize::try_from(number).ok()),
                (None, Some(number)) if number >= 1e18 => Ok(None),
                _ => Err(invalid(
                    &self.path,
                    name,
                    "a count",
                    &shorten(&value.to_string()),
                )),
            },
        }
    }

    fn flag(&self, name: &'static str) -> Result<Option<bool>, DataError> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(value) => Err(invalid(
                &self.path,
                name,
                "true or false",
                &shorten(&value.to_string()),
            )),
        }
    }

    fn casing(&self) -> Result<Casing, DataError> {
        if self.flag("do_basic_tokenize")? == Some(false) {
            return Err(invalid(&self.path, "do_basic_tokenize", "true", "false"));
        }
        let default = Casing::default();
        Ok(Casing {
            lower_case: self.flag("do_lower_case")?.unwrap_or(default.lower_case),
            strip_accents: self.flag("strip_accents")?,
            split_chinese: self
                .flag("tokenize_chinese_chars")?
                .unwrap_or(default.split_chinese),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    file::read(path, MOST_VOCABULARY)
}
