//! Sets of texts: columns by every usual name, GLUE's files as published, JSON, and broken rows.

mod support;

use data::glue::Task;
use data::labelled::{ClassTable, Intake, LabelledSet, Options, Outputs, PassedOver};
use data::{DataError, SetError, UNLABELLED};
use support::{Folder, all, columns, keep, read, reader};

/// Ids of `a`, `fine`, `film` and `dull` among the tokens of an example.
fn words(set: &LabelledSet, i: usize) -> Vec<&'static str> {
    let ids = set.dataset.example(i);
    let length = set.dataset.shape[1];
    let word = |&id: &f32| match id as usize {
        5 => Some("a"),
        6 => Some("fine"),
        7 => Some("film"),
        8 => Some("dull"),
        3 => Some("|"),
        _ => None,
    };
    ids[..length].iter().filter_map(word).collect()
}

fn message(intake: &Intake, classes: usize, path: &std::path::Path, options: &Options) -> String {
    all(intake, &Outputs::new(classes, &[]), path, options)
        .unwrap_err()
        .to_string()
}

#[test]
fn columns_are_found_by_the_names_of_glue_and_of_hubs() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let single = [
        "sentence\tlabel",
        "text\tlabel",
        "Text\tLABEL",
        "sentence\ttarget",
        "content\tclass",
    ];
    for header in single {
        let path = folder.text("a.tsv", &format!("{header}\nfine film\t1\n"));
        let set = read(&tokens, 2, &path).unwrap();
        assert_eq!(
            (words(&set, 0), set.dataset.labels[0]),
            (vec!["fine", "film", "|"], 1),
            "{header}"
        );
    }
    let pairs = [
        "premise\thypothesis\tlabel",
        "sentence1\tsentence2\tgold_label",
        "question1\tquestion2\tis_duplicate",
        "question\tsentence\tlabel",
        "#1 String\t#2 String\tQuality",
        "text\ttext_pair\tlabel",
    ];
    for header in pairs {
        for ending in ["tsv", "csv"] {
            let text = format!("{header}\nfine\tdull film\t1\n")
                .replace('\t', if ending == "csv" { "," } else { "\t" });
            let path = folder.text(&format!("a.{ending}"), &text);
            let set = read(&tokens, 2, &path).unwrap();
            assert_eq!(
                words(&set, 0),
                ["fine", "|", "dull", "film", "|"],
                "{header}"
            );
            assert_eq!(set.dataset.labels, [1], "{header}");
        }
    }
    let path = folder.text("a.tsv", "review\tstars\tx\nfine film\t1\tdull\n");
    assert!(message(&tokens, 2, &path, &Options::default()).contains("or a choice of columns"));
    for chosen in ["text=review,label=stars", "text=review,label=#2"] {
        let set = all(&tokens, &Outputs::new(2, &[]), &path, &columns(chosen));
        // A column by number says that there is no header, and `review` is no class.
        assert_eq!(set.is_ok(), chosen.ends_with("stars"), "{chosen}");
    }
    let set = all(
        &tokens,
        &Outputs::new(2, &[]),
        &path,
        &columns("text=x,text_pair=review,label=stars"),
    );
    assert_eq!(words(&set.unwrap(), 0), ["dull", "|", "fine", "film", "|"]);
    let error = message(&tokens, 2, &path, &columns("text=review,label=star"));
    assert!(error.contains("expected one called star, got"), "{error}");
}

#[test]
fn cola_is_read_without_a_header() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let path = folder.text(
        "CoLA/dev.tsv",
        "gj04\t1\t\ta fine film\ngj04\t0\t*\tfilm fine \"a\n",
    );
    let open = reader(&tokens, 2).open(&path, &Options::default()).unwrap();
    assert_eq!((open.len(), open.task()), (2, Some(Task::Cola)));
    assert!(
        open.notes()
            .iter()
            .any(|note| note.contains("those of CoLA")),
        "{:?}",
        open.notes()
    );
    let set = read(&tokens, 2, &path).unwrap();
    assert_eq!(set.dataset.labels, [1, 0]);
    assert_eq!(words(&set, 0), ["a", "fine", "film", "|"]);
    assert_eq!(set.names.name(0), format!("{}:1", path.display()));
    // A checkpoint that counts the other way is mapped by name.
    let names = ["acceptable", "unacceptable"].map(str::to_owned);
    let set = all(
        &tokens,
        &Outputs::new(2, &names),
        &path,
        &Options::default(),
    )
    .unwrap();
    assert_eq!(set.dataset.labels, [0, 1]);
    // The test file has a header and no labels.
    let path = folder.text("CoLA/test.tsv", "index\tsentence\n0\tfine\n");
    assert!(matches!(
        read(&tokens, 2, &path),
        Err(DataError::Set(SetError::Unlabelled { count: 1, .. }))
    ));
    let set = all(&tokens, &Outputs::new(2, &[]), &path, &keep()).unwrap();
    assert_eq!(set.dataset.labels, [UNLABELLED]);
    // Four columns that are not CoLA's.
    let path = folder.text("b.tsv", "x\t2\t\tfine\n");
    assert!(read(&tokens, 2, &path).is_err());
}

#[test]
fn the_task_is_told_by_the_folder_or_said() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let text = "sentence1\tsentence2\tgold_label\nfine\tdull\t0\na\tfilm\t2\nfine\tfine\t-\n";
    let names = ["contradiction", "entailment", "neutral"].map(str::to_owned);
    let outputs = Outputs::new(3, &names);
    let inside = folder.text("MNLI/dev_matched.tsv", text);
    let outside = folder.text("other/dev.tsv", text);
    let labels = |path: &std::path::Path, options: &Options| {
        all(&tokens, &outputs, path, options)
            .unwrap()
            .dataset
            .labels
    };
    // Annotators disagree about the third pair.
    assert_eq!(labels(&inside, &keep()), [1, 0, UNLABELLED]);
    assert_eq!(labels(&outside, &keep()), [0, 2, UNLABELLED]);
    let said = Options {
        task: Some(Task::Mnli),
        ..keep()
    };
    assert_eq!(labels(&outside, &said), [1, 0, UNLABELLED]);
    // Both readings in one command contradict each other.
    let open = |path, options| reader(&tokens, 3).open(path, options).unwrap();
    let unsaid = keep();
    let sets = [open(&inside, &unsaid), open(&outside, &unsaid)];
    let error = ClassTable::new(&outputs, &[&sets[0], &sets[1]])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("label \"0\": class 1 in one set, but class 0"),
        "{error}"
    );
    let sets = [open(&inside, &unsaid), open(&outside, &said)];
    assert!(ClassTable::new(&outputs, &[&sets[0], &sets[1]]).is_ok());
}

#[test]
fn cells_in_quotes_hold_commas_and_line_ends() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let text = "\u{feff}label,text\r\n1,\"fine,\r\nfilm\"\r\n\r\n0,\"a \"\"dull\"\"\"\r\n";
    let path = folder.text("a.csv", text);
    let set = read(&tokens, 2, &path).unwrap();
    assert_eq!(set.dataset.labels, [1, 0]);
    assert_eq!(words(&set, 0), ["fine", "film", "|"]);
    assert_eq!(words(&set, 1), ["a", "dull", "|"]);
    assert!(set.names.name(1).ends_with("a.csv:5"), "{}", set.names);
    assert_eq!(
        set.passed_over.lines(),
        [format!("1 empty lines: {}:4", path.display())]
    );
    let path = folder.text("b.csv", "label,text\n1,fine\n0,\"dull\n1,a\n1,film\n");
    let error = message(&tokens, 2, &path, &Options::default());
    assert!(
        error.contains("b.csv: line 3") && error.contains("a quote that is closed"),
        "{error}"
    );
}

#[test]
fn broken_rows_are_listed_all_at_once_or_skipped() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let mut text = b"sentence\tlabel\n".to_vec();
    for line in 0..30 {
        let row: &[u8] = match line % 5 {
            0 => b"fine\n",
            1 => b"fi\xffne\t1\n",
            2 => b"fine\t1\tmore\n",
            _ => b"fine\t1\n",
        };
        text.extend(row);
    }
    let path = folder.bytes("a.tsv", &text);
    let error = read(&tokens, 2, &path).unwrap_err();
    assert!(
        matches!(&error, DataError::Set(SetError::Unreadable { count: 18, examples: 30, causes, .. }) if causes.len() == 10),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("a.tsv: line 2: expected 2 columns, got 1"),
        "{text}"
    );
    assert!(
        text.contains("a.tsv: line 3, column sentence: expected text in UTF-8, got byte 0xff"),
        "{text}"
    );
    assert!(text.ends_with("and 8 more"), "{text}");
    let skip = Options {
        skip_unreadable: true,
        ..Options::default()
    };
    let set = all(&tokens, &Outputs::new(2, &[]), &path, &skip).unwrap();
    assert_eq!(
        (set.dataset.len(), set.available, set.dataset.ids[0].index),
        (12, 30, 3)
    );
    let PassedOver { reasons } = set.passed_over;
    assert_eq!((reasons[0].count, reasons[0].first.len()), (18, 10));
    // Nothing that is left is an error too.
    let path = folder.text("b.tsv", "sentence\tlabel\nfine\n");
    let error = message(&tokens, 2, &path, &skip);
    assert!(
        error.ends_with("examples: expected at least one, got none"),
        "{error}"
    );
}

#[test]
fn lines_of_json_have_labels_of_every_kind() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let names = ["NO", "YES"].map(str::to_owned);
    let lines = r#"{"text": "fine film", "label": 1, "id": [1, 2]}
{"label": "no", "text": "dull"}

{"text": "a", "label": true}
{"text": "a", "label": null, "more": {}}
{"text": "a"}
{"text": "\"fine\"\u0020film", "label": 0.0}
"#;
    let path = folder.text("a.jsonl", lines);
    let set = all(&tokens, &Outputs::new(2, &names), &path, &keep()).unwrap();
    assert_eq!(set.dataset.labels, [1, 0, 1, UNLABELLED, UNLABELLED, 0]);
    assert_eq!(words(&set, 5), ["fine", "film", "|"]);
    assert!(set.names.name(2).ends_with("a.jsonl:4"), "{}", set.names);
    let broken = r#"{"text": "fine", "label": 1}
{"text": "fine", "label": 1
{"text": 7, "label": 1}
["fine", 1]
{"label": 0}
{"text": "fine", "label": 0.5}
{"text": "fine", "label": {"a": 1}}
"#;
    let path = folder.text("b.jsonl", broken);
    let error = message(&tokens, 2, &path, &Options::default());
    for part in [
        "6 of 7 examples",
        "line 2, column 1: expected an object in JSON, got EOF",
        "line 3, column text: expected a text, got \"7\"",
        "line 4, column 1: expected an object in JSON, got \"[\\\"fine\\\",1]\"",
        "line 5, column text: expected a text, got nothing",
        "line 6, column label: expected a class by number or name",
        "line 7, column label: expected a class by number or name",
    ] {
        assert!(error.contains(part), "{error}\n{part}");
    }
    let path = folder.text("c.jsonl", "{}\n");
    assert!(message(&tokens, 2, &path, &Options::default()).contains("columns: expected sentence"));
    // A label that only a later line has is found.
    let path = folder.text(
        "d.jsonl",
        "{\"text\": \"a\"}\n{\"text\": \"a\", \"label\": 1}\n",
    );
    let set = all(&tokens, &Outputs::new(2, &[]), &path, &keep()).unwrap();
    assert_eq!(set.dataset.labels, [UNLABELLED, 1]);
}

#[test]
fn several_columns_of_zeros_and_ones_are_several_labels() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let names = ["rude", "toxic"].map(str::to_owned);
    let several = Outputs {
        several: true,
        ..Outputs::new(2, &names)
    };
    let path = folder.text(
        "a.csv",
        "id,text,toxic,rude\n7,fine,0,0\n8,dull,1,0\n9,a,1,1\n10,a,-1,-1\n",
    );
    let options = Options {
        columns: columns("text=text,label=toxic+rude").columns,
        ..keep()
    };
    let set = all(&tokens, &several, &path, &options).unwrap();
    assert_eq!(set.dataset.labels, [0, 2, 3, UNLABELLED]);
    let path = folder.text("a.csv", "text,toxic,rude\nfine,0,2\n");
    let error = all(&tokens, &several, &path, &options)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 2, column rude: expected 0 or 1, got \"2\""),
        "{error}"
    );
    // Lists in one cell.
    let path = folder.text(
        "b.tsv",
        "text\tlabel\nfine\trude|toxic\ndull\ttoxic\na\t0;1\n",
    );
    let set = all(&tokens, &several, &path, &Options::default()).unwrap();
    assert_eq!(set.dataset.labels, [3, 2, 3]);
    let path = folder.text(
        "c.jsonl",
        "{\"text\": \"a\", \"toxic\": 1, \"rude\": false}\n",
    );
    let set = all(&tokens, &several, &path, &options).unwrap();
    assert_eq!(set.dataset.labels, [2]);
}

#[test]
fn blocks_of_texts_are_one_set_padded_to_the_longest() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let path = folder.text(
        "a.tsv",
        "sentence\tlabel\na\t1\nfine film dull\t0\nfine film\t1\n",
    );
    let open = reader(&tokens, 2).open(&path, &Options::default()).unwrap();
    let table = ClassTable::new(&Outputs::new(2, &[]), &[&open]).unwrap();
    let positions = open.positions(None);
    let blocks: Vec<LabelledSet> = open
        .blocks(&positions, 1, &table)
        .map(Result::unwrap)
        .collect();
    assert_eq!(blocks[0].dataset.shape, [2, 3]);
    let parts: Vec<&LabelledSet> = blocks.iter().collect();
    let whole = LabelledSet::concat(&parts).unwrap();
    let at_once = open.read(&positions, &table).unwrap();
    assert_eq!(whole.dataset, at_once.dataset);
    assert_eq!(whole.names.to_vec(), at_once.names.to_vec());
    let other_way = LabelledSet::concat(&[parts[2], parts[0]]).unwrap();
    assert_eq!(other_way.dataset.labels, [1, 1]);
    assert_eq!(words(&other_way, 1), ["a", "|"]);
    let empty = at_once.subset(&[]).unwrap();
    assert_eq!(
        LabelledSet::concat(&[&empty, parts[1]])
            .unwrap()
            .dataset
            .len(),
        1
    );
}

#[test]
fn texts_are_for_networks_of_text() {
    let folder = Folder::new();
    let six = Intake::Vector { features: 6 };
    let pictures = Intake::Images(data::image::presets::unit());
    let lines = folder.text("a.jsonl", "{\"text\": \"a\", \"label\": 1}\n");
    let table = folder.text("a.csv", "text,label\na,1\n");
    for (intake, path, expected) in [
        (&six, &lines, "got lines of JSON"),
        (&six, &table, "expected 6 of numbers and one of labels"),
        (&pictures, &table, "a folder of pictures, or FOLDER,TABLE"),
        (&pictures, &lines, "got lines of JSON"),
    ] {
        let error = message(intake, 2, path, &Options::default());
        assert!(error.contains(expected), "{error}");
    }
    let error = message(
        &folder.tokenizer(),
        2,
        &support::stored("shards"),
        &Options::default(),
    );
    assert!(
        error.contains("columns: expected sentence or text"),
        "{error}"
    );
}

#[test]
fn labels_may_stand_in_a_file_of_their_own() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let table = folder.text("a,b/t.csv", "text\nfine\ndull\nfilm\na\n");
    let lines = folder.text(
        "a,b/t.jsonl",
        "{\"text\": \"fine\"}\n{\"text\": \"dull\"}\n{\"text\": \"film\"}\n{\"text\": \"a\"}\n",
    );
    let labels = folder.text("a,b/labels.txt", "1\n\n-1\n0\n");
    for inputs in [table, lines, support::stored("reviews.parquet")] {
        let given = format!("{},{}", inputs.display(), labels.display());
        let (path, found) = data::labelled::inputs_and_labels(given.as_ref());
        assert_eq!((&path, found.as_ref()), (&inputs, Some(&labels)), "{given}");
        let options = Options {
            labels: found,
            ..keep()
        };
        let set = all(&tokens, &Outputs::new(2, &[]), &path, &options).unwrap();
        let expected = [1, UNLABELLED, UNLABELLED, 0];
        assert_eq!(set.dataset.labels, expected, "{given}");
        let short = Options {
            labels: Some(folder.text("short.txt", "1\n0\n")),
            ..keep()
        };
        let error = message(&tokens, 2, &path, &short);
        assert!(error.contains("short.txt: 2 labels, but"), "{error}");
    }
    let missing = data::labelled::inputs_and_labels("x.npy,y.npy".as_ref());
    assert_eq!(missing, ("x.npy".into(), Some("y.npy".into())));
    assert_eq!(data::labelled::inputs_and_labels("x.npy".as_ref()).1, None);
}
