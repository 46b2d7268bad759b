//! Which steps a `tokenizer.json` may have: those of WordPiece, in time that grows with the text.
//!
//! The format knows many more. A replacement makes a text longer, and seven of them make it a thousand
//! million times as long; a regular expression may take for ever; a word is compared with the vocabulary
//! once for every two of its letters.

use std::path::Path;

use serde_json::Value;

use super::invalid;
use crate::DataError;
use crate::error::shorten;

/// Steps that change letters, one by one.
const NORMALIZERS: [&str; 8] = [
    "BertNormalizer",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Strip",
    "StripAccents",
];

/// Steps that split a text at spaces and punctuation.
const PRE_TOKENIZERS: [&str; 4] = [
    "BertPreTokenizer",
    "Punctuation",
    "Whitespace",
    "WhitespaceSplit",
];

/// Steps that put special tokens around a text.
const POST_PROCESSORS: [&str; 2] = ["BertProcessing", "TemplateProcessing"];

/// Steps of a sequence.
const MOST_STEPS: usize = 8;

/// Letters of a word, as in every BERT.
const MOST_LETTERS: u64 = 100;

/// Bytes of what stands in front of the rest of a word, and of the token for unknown ones: both are
/// written once for every piece.
const MOST_MARK: usize = 32;

/// Tokens besides those of the vocabulary, and letters of each.
const MOST_ADDED: usize = 10_000;
const MOST_ADDED_LETTERS: usize = 256;

/// A file that the parser may have: every step is one of WordPiece's. What is not followed is left out,
/// so that none of it is parsed: padding, truncation and the way back to text.
///
/// # Errors
/// [`DataError::TokenizerFile`] for bytes that are no JSON, [`DataError::Tokenizer`] for a model or a step
/// that is not WordPiece's, by its name.
pub(super) fn checked(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
    let parse = |source: serde_json::Error| DataError::TokenizerFile {
        path: path.to_owned(),
        source: source.into(),
    };
    let mut file: Value = serde_json::from_slice(bytes).map_err(parse)?;
    expect_word_piece(path, &file)?;
    expect_steps(path, &file, "normalizer", "normalizers", &NORMALIZERS)?;
    expect_steps(
        path,
        &file,
        "pre_tokenizer",
        "pretokenizers",
        &PRE_TOKENIZERS,
    )?;
    expect_steps(
        path,
        &file,
        "post_processor",
        "processors",
        &POST_PROCESSORS,
    )?;
    expect_templates(path, &file)?;
    expect_added(path, &file)?;
    if let Some(object) = file.as_object_mut() {
        for part in ["decoder", "padding", "truncation"] {
            object.insert(part.to_owned(), Value::Null);
        }
    }
    serde_json::to_vec(&file).map_err(parse)
}

/// Refuses another model before the parser does, whose message would list every kind it knows.
fn expect_word_piece(path: &Path, file: &Value) -> Result<(), DataError> {
    match file.pointer("/model/type") {
        // Files of the first versions name no type.
        None if file.pointer("/model/vocab").is_some() => {}
        Some(Value::String(kind)) if kind == "WordPiece" => {}
        Some(Value::String(kind)) => {
            return Err(invalid(path, "model", "WordPiece", &shorten(kind)));
        }
        _ => return Err(invalid(path, "model", "WordPiece", "none")),
    }
    for name in ["continuing_subword_prefix", "unk_token"] {
        let text = file.get("model").and_then(|model| model.get(name));
        let text = text.and_then(Value::as_str).unwrap_or_default();
        if text.len() > MOST_MARK {
            let (expected, got) = (format!("at most {MOST_MARK} bytes"), shorten(text));
            return Err(invalid(path, name, &expected, &got));
        }
    }
    match file.pointer("/model/max_input_chars_per_word") {
        None => Ok(()),
        Some(letters)
            if letters
                .as_u64()
                .is_some_and(|n| (1..=MOST_LETTERS).contains(&n)) =>
        {
            Ok(())
        }
        Some(other) => {
            let expected = format!("1 to {MOST_LETTERS}");
            let got = shorten(&other.to_string());
            Err(invalid(path, "max_input_chars_per_word", &expected, &got))
        }
    }
}

/// Checks that a step, or every step of a sequence, is one of those that are known.
fn expect_steps(
    path: &Path,
    file: &Value,
    part: &'static str,
    list: &str,
    known: &[&str],
) -> Result<(), DataError> {
    let refuse = |got: &str| Err(invalid(path, part, &known.join(", "), got));
    let Some(step) = file.get(part).filter(|step| !step.is_null()) else {
        return Ok(());
    };
    let kind = |step: &Value| step.get("type").and_then(Value::as_str).map(str::to_owned);
    let steps = match kind(step).as_deref() {
        Some("Sequence") => match step.get(list).and_then(Value::as_array) {
            Some(steps) if steps.len() <= MOST_STEPS => steps.iter().collect(),
            Some(steps) => return refuse(&format!("{} steps", steps.len())),
            None => return refuse("a sequence of no steps"),
        },
        _ => vec![step],
    };
    for step in steps {
        match kind(step) {
            Some(kind) if known.contains(&&kind[..]) => {}
            Some(kind) => return refuse(&shorten(&kind)),
            None => return refuse("one without a type"),
        }
    }
    Ok(())
}

/// Checks that templates name sentences that there are and special tokens that are defined: the parser
/// takes both for granted.
fn expect_templates(path: &Path, file: &Value) -> Result<(), DataError> {
    let step = file.get("post_processor").into_iter();
    let inner = file.pointer("/post_processor/processors");
    let inner = inner.and_then(Value::as_array).into_iter().flatten();
    let is_template = |step: &&Value| step["type"] == "TemplateProcessing";
    for template in step.chain(inner).filter(is_template) {
        let tokens = template.get("special_tokens").and_then(Value::as_object);
        let tokens = tokens.into_iter().flatten();
        let defined: Vec<&str> = tokens.map(|(id, _)| id.as_str()).collect();
        for (list, sentences) in [("single", &["A"][..]), ("pair", &["A", "B"])] {
            let pieces = template.get(list).and_then(Value::as_array);
            for piece in pieces.into_iter().flatten() {
                let id = |kind: &str| piece.get(kind)?.get("id")?.as_str();
                let known = match (id("SpecialToken"), id("Sequence")) {
                    (Some(token), None) => defined.contains(&token),
                    (None, Some(sentence)) => sentences.contains(&sentence),
                    _ => false,
                };
                if !known {
                    let expected = format!(
                        "sentences {} and tokens of special_tokens",
                        sentences.join(", ")
                    );
                    let got = shorten(&piece.to_string());
                    return Err(invalid(path, "a template", &expected, &got));
                }
            }
        }
    }
    Ok(())
}

/// Checks the tokens that are looked for before a text is split.
fn expect_added(path: &Path, file: &Value) -> Result<(), DataError> {
    let Some(added) = file.get("added_tokens").and_then(Value::as_array) else {
        return Ok(());
    };
    if added.len() > MOST_ADDED {
        let (expected, got) = (format!("at most {MOST_ADDED}"), added.len().to_string());
        return Err(invalid(path, "added tokens", &expected, &got));
    }
    let long = added.iter().find_map(|token| {
        let content = token.get("content").and_then(Value::as_str)?;
        (content.len() > MOST_ADDED_LETTERS).then_some(content)
    });
    match long {
        None => Ok(()),
        Some(content) => {
            let expected = format!("at most {MOST_ADDED_LETTERS} bytes");
            Err(invalid(
                path,
                "an added token",
                &expected,
                &shorten(content),
            ))
        }
    }
}
