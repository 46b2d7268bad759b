use std::fs;

use serde_json::{Value, json};

use super::super::tests::{VOCABULARY, assets, reviews, tokenizer};
use super::*;

fn ids(tokenizer: &Tokenizer, text: (&str, Option<&str>)) -> Vec<u32> {
    tokenizer.encode(&[text]).unwrap().ids
}

fn spelled(tokenizer: &Tokenizer, text: (&str, Option<&str>)) -> String {
    let tokens = ids(tokenizer, text).into_iter();
    let tokens: Vec<_> = tokens.map(|id| tokenizer.token(id).unwrap()).collect();
    tokens.join(" ")
}

#[test]
fn ids_and_mask_equal_the_stored_references() {
    let Some(folder) = assets("distilbert_minilm_sst2") else {
        return;
    };
    let sentences: Vec<String> =
        serde_json::from_slice(&fs::read(folder.join("ref_sentences.json")).unwrap()).unwrap();
    let bytes = fs::read(folder.join("ref.safetensors")).unwrap();
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let integers = |name: &str| -> Vec<i64> {
        let values = reference.tensor(name).unwrap().data().chunks_exact(8);
        values
            .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()))
            .collect()
    };

    let tokenizer = Tokenizer::load(&folder).unwrap();
    assert_eq!(tokenizer.positions(), 512);
    assert_eq!(tokenizer.vocabulary_len(), 30_522);
    let texts: Vec<_> = sentences.iter().map(|text| (text.as_str(), None)).collect();
    let batch = tokenizer.encode(&texts).unwrap();
    let shape = reference.tensor("input_ids").unwrap().shape().to_vec();
    assert_eq!(shape, [batch.batch, batch.length]);
    assert!(
        batch
            .ids
            .iter()
            .map(|&id| i64::from(id))
            .eq(integers("input_ids"))
    );
    assert!(
        batch
            .mask
            .iter()
            .map(|&m| i64::from(m))
            .eq(integers("attention_mask"))
    );
}

#[test]
fn vocab_txt_gives_the_ids_of_tokenizer_json() {
    let (Some(folder), Some(glue)) = (assets("distilbert_minilm_sst2"), assets("glue")) else {
        return;
    };
    let copy = tempfile::tempdir().unwrap();
    for file in ["vocab.txt", "config.json", "tokenizer_config.json"] {
        fs::copy(folder.join(file), copy.path().join(file)).unwrap();
    }
    let (json, vocab) = (
        Tokenizer::load(&folder).unwrap(),
        Tokenizer::load(copy.path()).unwrap(),
    );
    let rte = fs::read_to_string(glue.join("RTE/dev.tsv")).unwrap();
    let mut texts: Vec<_> = rte
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('\t').skip(1);
            Some((cells.next()?, cells.next()))
        })
        .collect();
    texts.extend(
        [
            "",
            "\0a\0",
            "na\u{ef}ve \u{4e2d}\u{6587} \u{1f600}\u{fe0f}",
            "[SEP] [MASK]x [CLS]",
        ]
        .map(|text| (text, Some("\u{fffd}\u{200d}I\u{307}\u{3000}"))),
    );
    assert!(texts.len() > 270);
    assert_eq!(json.encode(&texts).unwrap(), vocab.encode(&texts).unwrap());
}

#[test]
fn a_tokenizer_of_one_length_pads_every_batch_to_it() {
    let fixed = tokenizer(16).padded_to(12).unwrap();
    let batch = fixed.encode(&[("the film", None), ("good", None)]).unwrap();
    assert_eq!((batch.length, batch.ids.len()), (12, 24));
    assert_eq!(batch.mask.iter().filter(|&&mask| mask == 1).count(), 4 + 3);
    assert_eq!(fixed.padded_length(5), 12);
    assert_eq!(tokenizer(16).padded_length(5), 5);
    assert!(tokenizer(16).padded_to(4).is_err());
}

#[test]
fn sentences_and_pairs_are_laid_out_between_special_tokens() {
    let tokenizer = tokenizer(16);
    assert_eq!(
        spelled(&tokenizer, ("The FILMS is g\u{f6}\u{f6}dly good.", None)),
        "[CLS] the film ##s is good ##ly good . [SEP]"
    );
    assert_eq!(
        spelled(&tokenizer, ("the plot", Some("is quux"))),
        "[CLS] the plot [SEP] is [UNK] [SEP]"
    );
    assert_eq!(spelled(&tokenizer, ("a", Some(""))), "[CLS] a [SEP] [SEP]");
}

#[test]
fn the_longer_sentence_is_cut_first() {
    let tokenizer = tokenizer(8);
    let cut = |first, second| spelled(&tokenizer, (first, second));
    assert_eq!(
        cut("a the film plot is good great bad", None),
        "[CLS] a the film plot is good [SEP]"
    );
    assert_eq!(
        cut("a the film plot is good", Some("bad dull")),
        "[CLS] a the film [SEP] bad dull [SEP]"
    );
    assert_eq!(
        cut("bad dull", Some("a the film plot is good")),
        "[CLS] bad dull [SEP] a the film [SEP]"
    );
    // Five tokens are left for two long sentences; the second one gets the odd one.
    assert_eq!(
        cut("a the film plot is", Some("good great bad dull never")),
        "[CLS] a the [SEP] good great bad [SEP]"
    );
    let shorter = tokenizer.with_positions(5).unwrap();
    assert_eq!(
        spelled(&shorter, ("a the film", Some("good great bad"))),
        "[CLS] a [SEP] good [SEP]"
    );
}

#[test]
fn a_batch_is_padded_to_its_longest_text_and_laid_out_as_planes() {
    let tokenizer = tokenizer(16);
    let batch = tokenizer
        .encode(&[("good", None), ("a film .", None), ("", None)])
        .unwrap();
    assert_eq!((batch.batch, batch.length), (3, 5));
    assert_eq!(batch.ids, [2, 12, 3, 0, 0, 2, 6, 8, 19, 3, 2, 3, 0, 0, 0]);
    assert_eq!(batch.mask, [1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
    let (values, shape) = batch.to_input();
    assert_eq!(shape, [3, 2, 5]);
    assert_eq!(values[..10], [2., 12., 3., 0., 0., 1., 1., 1., 0., 0.]);
    assert_eq!(values[20..], [2., 3., 0., 0., 0., 1., 1., 0., 0., 0.]);

    let none = tokenizer.encode(&[]).unwrap();
    assert_eq!((none.batch, none.length), (0, 0));
    assert_eq!(none.to_input(), (vec![], [0, 2, 0]));
}

#[test]
fn a_text_dataset_becomes_a_dataset_of_planes_with_the_same_identities() {
    let reviews = reviews(&[("good", 1), ("a bad film", 0)]);
    let encoded = reviews.encode(&tokenizer(16)).unwrap();
    assert_eq!(encoded.shape, [2, 5]);
    assert_eq!((&*encoded.labels, encoded.classes), (&[1, 0][..], 2));
    assert_eq!(
        encoded.example(0),
        [2., 12., 3., 0., 0., 1., 1., 1., 0., 0.]
    );
    assert_eq!(encoded.ids[1], reviews.examples[1].id);
    let (one, other) = (encoded.subset(&[0]).unwrap(), encoded.subset(&[1]).unwrap());
    crate::Splits::new([("repair", &one), ("guard", &other)]).unwrap();
    assert!(crate::Splits::new([("repair", &one), ("guard", &encoded)]).is_err());
}

#[test]
fn extreme_texts_are_tokenized() {
    let tokenizer = tokenizer(512);
    let words = "film ".repeat(10_000);
    assert_eq!(ids(&tokenizer, (&words, None)).len(), 512);
    assert_eq!(ids(&tokenizer, (&words, Some(&words))).len(), 512);
    let long = "a".repeat(100_000);
    for (text, expected) in [
        ("", "[CLS] [SEP]"),
        (" \t\n\u{a0}", "[CLS] [SEP]"),
        ("\0go\0od\u{7}", "[CLS] good [SEP]"),
        ("\u{1f600}\u{1f3fd} good", "[CLS] [UNK] good [SEP]"),
        (&long, "[CLS] [UNK] [SEP]"),
        ("good [SEP] bad", "[CLS] good [SEP] bad [SEP]"),
    ] {
        assert_eq!(spelled(&tokenizer, (text, None)), expected);
    }
}

#[test]
fn tokens_are_aligned_with_the_text_that_they_stand_for() {
    let tokenizer = tokenizer(16);
    let (first, second) = ("The films isn't \u{e9} good", "a film.");
    let tokens = tokenizer.align((first, Some(second))).unwrap();
    let written: Vec<_> = tokens
        .iter()
        .map(|token| {
            let (sentence, place) = token.place.clone()?;
            Some((&[first, second][sentence][place], token.whole))
        })
        .collect();
    let expected = [
        None,
        Some(("The", true)),
        Some(("film", false)),
        Some(("s", false)),
        Some(("isn", true)),
        Some(("'", true)),
        Some(("t", true)),
        Some(("\u{e9}", true)),
        Some(("good", true)),
        None,
        Some(("a", true)),
        Some(("film", true)),
        Some((".", true)),
        None,
    ];
    assert_eq!(written, expected);
}

#[test]
fn whole_words_are_letters_without_continuations_and_special_tokens() {
    let words: Vec<_> = tokenizer(16)
        .whole_words()
        .into_iter()
        .map(|(id, word)| (id as usize, word))
        .collect();
    let expected: Vec<_> = VOCABULARY
        .iter()
        .enumerate()
        .filter(|(_, token)| token.chars().all(char::is_alphabetic))
        .map(|(id, token)| (id, (*token).to_owned()))
        .collect();
    assert_eq!(words, expected);
}

/// A `tokenizer.json` like that of BERT, with [`VOCABULARY`].
fn description() -> Value {
    let vocabulary: serde_json::Map<_, _> = VOCABULARY
        .iter()
        .zip(0..)
        .map(|(token, id)| ((*token).to_owned(), json!(id)))
        .collect();
    json!({
        "version": "1.0",
        "truncation": { "max_length": 3, "strategy": "LongestFirst", "stride": 0 },
        "padding": {
            "strategy": { "Fixed": 128 }, "direction": "Left", "pad_to_multiple_of": null,
            "pad_id": 7, "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": [],
        "normalizer": { "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
        "decoder": null,
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary },
    })
}

fn from_description(description: &Value) -> Result<Tokenizer, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, description.to_string()).unwrap();
    Tokenizer::from_json(&path, 16)
}

#[test]
fn truncation_and_padding_of_the_file_are_not_followed() {
    let tokenizer = from_description(&description()).unwrap();
    let batch = tokenizer
        .encode(&[("a film is good", None), ("", None)])
        .unwrap();
    assert_eq!(batch.ids, [2, 6, 8, 10, 12, 3, 2, 3, 0, 0, 0, 0]);
}

#[test]
fn a_tokenizer_json_that_cannot_serve_is_refused_with_its_name() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str); 9] = [
        (
            |file| file["model"]["type"] = json!("Unigram"),
            "model: expected WordPiece, got \"Unigram\"",
        ),
        (
            |file| file["model"] = json!({}),
            "model: expected WordPiece, got none",
        ),
        (
            |file| {
                drop(
                    file["model"]["vocab"]
                        .as_object_mut()
                        .unwrap()
                        .remove("[PAD]"),
                )
            },
            "special tokens: expected [PAD], got none",
        ),
        (
            |file| {
                drop(
                    file["model"]["vocab"]
                        .as_object_mut()
                        .unwrap()
                        .remove("[UNK]"),
                )
            },
            "special tokens: expected [UNK], got none",
        ),
        (
            |file| file["model"]["unk_token"] = json!("<unk>"),
            "special tokens: expected <unk>, got none",
        ),
        (
            |file| file["model"]["vocab"]["vast"] = json!(16_777_216),
            "largest token id: expected below 16777216, got 16777216",
        ),
        (
            |file| file["post_processor"] = Value::Null,
            "special tokens around a sentence: expected [2, 3], got []",
        ),
        (
            |file| file["post_processor"]["sep"] = json!(["[SEP]", 5]),
            "special tokens around a sentence: expected [2, 3], got [2, 5]",
        ),
        (
            |file| {
                file["post_processor"] = json!({ "type": "RobertaProcessing",
                "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": true,
                "add_prefix_space": false })
            },
            "post_processor: expected BertProcessing, TemplateProcessing, got \"RobertaProcessing\"",
        ),
    ];
    for (edit, expected) in cases {
        let mut file = description();
        edit(&mut file);
        let message = from_description(&file).unwrap_err().to_string();
        assert!(
            message.ends_with(&format!("tokenizer.json: {expected}")),
            "{message}"
        );
    }
    let mut file = description();
    file["pre_tokenizer"]["type"] = json!("Unheard");
    let message = from_description(&file).unwrap_err().to_string();
    assert!(message.contains("got \"Unheard\""), "{message}");
}

#[test]
fn marks_that_are_written_for_every_piece_are_short() {
    for name in ["continuing_subword_prefix", "unk_token"] {
        let mut file = description();
        file["model"][name] = json!("#".repeat(1000));
        let message = from_description(&file).unwrap_err().to_string();
        assert!(
            message.contains("expected at most 32 bytes"),
            "{name}: {message}"
        );
    }
}

#[test]
fn a_template_of_tokens_and_sentences_that_are_not_there_is_refused() {
    let special = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let sentence = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    let template = |single: [Value; 3], tokens: Value| {
        let pair = [
            special("[CLS]"),
            sentence("A"),
            special("[SEP]"),
            sentence("B"),
            special("[SEP]"),
        ];
        let mut file = description();
        file["post_processor"] = json!({
            "type": "TemplateProcessing", "single": single,
            "pair": pair, "special_tokens": tokens,
        });
        from_description(&file)
    };
    let both = json!({
        "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] },
        "[SEP]": { "id": "[SEP]", "ids": [3], "tokens": ["[SEP]"] },
    });
    let usual = [special("[CLS]"), sentence("A"), special("[SEP]")];
    template(usual.clone(), both.clone()).unwrap();
    let mut without = both.clone();
    without.as_object_mut().unwrap().remove("[SEP]");
    let second = [special("[CLS]"), sentence("B"), special("[SEP]")];
    let nothing = [special("[CLS]"), json!({}), special("[SEP]")];
    for (single, tokens) in [(usual, without), (second, both.clone()), (nothing, both)] {
        let message = template(single, tokens).unwrap_err().to_string();
        assert!(
            message.contains("a template: expected sentences"),
            "{message}"
        );
    }
}

#[test]
fn damaged_and_missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let cut = description().to_string();
    let path = file("cut.json", &cut.as_bytes()[..cut.len() / 2]);
    for length in [0, 1, cut.len() / 3, cut.len() - 1] {
        fs::write(&path, &cut.as_bytes()[..length]).unwrap();
        let error = Tokenizer::from_json(&path, 16).unwrap_err();
        assert!(matches!(error, DataError::TokenizerFile { .. }), "{error}");
        assert!(error.to_string().contains("cut.json"), "{error}");
    }
    let missing = folder.path().join("missing");
    assert!(matches!(
        Tokenizer::from_json(&missing, 16),
        Err(DataError::Io { .. })
    ));
    let vocab = file("latin1.txt", b"[PAD]\n\xe9\n");
    assert!(matches!(
        Tokenizer::from_vocab(&vocab, Casing::default(), 16),
        Err(DataError::TokenizerFile { .. })
    ));
    for missing in ["[CLS]", "[SEP]", "[UNK]", "[PAD]"] {
        let others: Vec<_> = VOCABULARY
            .iter()
            .filter(|&&t| t != missing)
            .copied()
            .collect();
        let vocab = file("vocab.txt", others.join("\r\n").as_bytes());
        let error = Tokenizer::from_vocab(&vocab, Casing::default(), 16).unwrap_err();
        let expected = format!("vocab.txt: special tokens: expected {missing}, got none");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
    let few = tokenizer(16).with_positions(4).unwrap_err().to_string();
    assert!(
        few.ends_with("positions: expected at least 5, got 4"),
        "{few}"
    );
}

#[test]
fn a_folder_states_positions_casing_and_the_size_of_the_vocabulary() {
    let load = |config: &str, tokenizer_config: &str| {
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = VOCABULARY
            .map(|token| token.replace("dull", "Dull"))
            .join("\n");
        for (name, text) in [
            ("vocab.txt", &*vocabulary),
            ("config.json", config),
            ("tokenizer_config.json", tokenizer_config),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Tokenizer::load(folder.path())
    };
    let positions = |config: &str, tokenizer_config: &str| {
        load(config, tokenizer_config).map(|t| t.positions())
    };
    let config = r#"{"max_position_embeddings": 512, "vocab_size": 24}"#;
    let lower = |length: &str| format!(r#"{{"do_lower_case": true{length}}}"#);
    assert_eq!(positions(config, &lower("")).unwrap(), 512);
    let short = lower(r#", "model_max_length": 128"#);
    assert_eq!(positions(config, &short).unwrap(), 128);
    let unlimited = lower(r#", "model_max_length": 1e30"#);
    assert_eq!(positions(config, &unlimited).unwrap(), 512);
    let alone = lower(r#", "model_max_length": 64"#);
    assert_eq!(positions("{}", &alone).unwrap(), 64);

    // Whether `Dull` is to become `dull` nothing says.
    let unsaid = load(config, "{}").unwrap_err().to_string();
    assert!(
        unsaid.contains("do_lower_case: expected true or false"),
        "{unsaid}"
    );

    let uncased = load(config, &lower("")).unwrap();
    assert!(uncased.lower_case());
    assert_eq!(
        spelled(&uncased, ("Good Dull", None)),
        "[CLS] good [UNK] [SEP]"
    );
    let cased = load(config, r#"{"do_lower_case": false}"#).unwrap();
    assert!(!cased.lower_case());
    assert_eq!(
        spelled(&cased, ("Good Dull", None)),
        "[CLS] [UNK] Dull [SEP]"
    );

    for (config, tokenizer_config, expected) in [
        (
            "{}",
            "{}",
            "config.json: positions: expected max_position_embeddings",
        ),
        (
            r#"{"max_position_embeddings": -1}"#,
            "{}",
            "config.json: max_position_embeddings: expected a count, got \"-1\"",
        ),
        (
            config,
            r#"{"do_lower_case": "yes"}"#,
            "tokenizer_config.json: do_lower_case: expected true or false",
        ),
        (
            config,
            r#"{"do_lower_case": true, "do_basic_tokenize": false}"#,
            "do_basic_tokenize: expected true, got false",
        ),
        (
            r#"{"max_position_embeddings": 512, "vocab_size": 23}"#,
            r#"{"do_lower_case": true}"#,
            "vocab.txt: largest token id for the network's vocab_size: expected below 23, got 23",
        ),
        (
            "{",
            "{}",
            "config.json: not a tokenizer file that can be read",
        ),
    ] {
        let message = load(config, tokenizer_config).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
