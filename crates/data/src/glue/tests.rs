use std::fs;
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArrayType, DataType, FloatType, Int32Type, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use super::*;
use crate::text::tests::assets;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn load_text(file: &str, text: &[u8], task: Task, split: Split) -> Result<TextDataset, DataError> {
    load(folder(&[(file, text)]).path(), task, split)
}

fn labels_with(dataset: &TextDataset, class: usize) -> usize {
    let labels = dataset.labels().unwrap();
    labels.into_iter().filter(|&label| label == class).count()
}

#[test]
fn the_distributed_files_have_the_stated_rows() {
    let Some(glue) = assets("glue") else { return };
    for (task, split, rows) in [
        (Task::Cola, Split::Train, 8551),
        (Task::Cola, Split::Validation, 1043),
        (Task::Cola, Split::Test, 1063),
        (Task::Sst2, Split::Train, 67_349),
        (Task::Sst2, Split::Validation, 872),
        (Task::Mrpc, Split::Train, 3667),
        (Task::Mrpc, Split::Validation, 408),
        (Task::Mrpc, Split::Test, 1725),
        (Task::Qnli, Split::Validation, 5463),
        (Task::Rte, Split::Train, 2490),
        (Task::Rte, Split::Validation, 277),
        (Task::Rte, Split::Test, 3000),
    ] {
        let dataset = load(&glue, task, split).unwrap();
        assert_eq!(dataset.len(), rows, "{task} {split}");
        dataset.validate().unwrap();
        let pairs = task.info().second.is_some();
        let known = split != Split::Test;
        for example in &dataset.examples {
            assert_eq!(example.second.is_some(), pairs);
            assert_eq!(example.target != Target::Unknown, known);
            assert!(!example.first.is_empty() && !example.first.ends_with('\r'));
        }
    }
    let rte = load(&glue, Task::Rte, Split::Validation).unwrap();
    assert_eq!(
        rte.examples[0].second.as_deref(),
        Some("Christopher Reeve had an accident.")
    );
    // 146 of the 277 development pairs are entailments.
    assert_eq!(labels_with(&rte, 0), 146);
    let cola = load(&glue, Task::Cola, Split::Validation).unwrap();
    assert_eq!(labels_with(&cola, 1), 721);
    let mrpc = load(&glue, Task::Mrpc, Split::Validation).unwrap();
    assert_eq!(labels_with(&mrpc, 1), 279);
    assert!(
        mrpc.examples[0]
            .second
            .as_ref()
            .unwrap()
            .starts_with("\" The foodservice")
    );
}

#[test]
fn stored_sst2_predictions_score_as_stated() {
    let (Some(glue), Some(network)) = (assets("glue"), assets("distilbert_minilm_sst2")) else {
        return;
    };
    let sst2 = load(&glue, Task::Sst2, Split::Validation).unwrap();
    let table = fs::read_to_string(network.join("sst2_dev_predictions.csv")).unwrap();
    let rows: Vec<Vec<f64>> = table
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect())
        .collect();
    let right: Vec<usize> = rows.iter().map(|row| row[1] as usize).collect();
    assert_eq!(sst2.labels().unwrap(), right);
    let predicted: Vec<usize> = rows
        .iter()
        .map(|row| usize::from(row[3] > row[2]))
        .collect();
    let scores = Task::Sst2
        .score(Predictions::Classes(&predicted), &sst2)
        .unwrap();
    assert_eq!(scores, [(Metric::Accuracy, 770.0 / 872.0)]);
}

#[test]
fn quotes_byte_order_marks_and_carriage_returns_are_read_literally() {
    let text = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n\
                1\t1\t2\t\" open quote\tplain\r\n\
                0\t3\t4\ta \"\"b\"\" c\t\r\n";
    let mrpc = load_text(
        "MRPC/dev.tsv",
        text.as_bytes(),
        Task::Mrpc,
        Split::Validation,
    )
    .unwrap();
    let firsts: Vec<_> = mrpc.sentences();
    assert_eq!(
        firsts,
        [
            ("\" open quote", Some("plain")),
            ("a \"\"b\"\" c", Some(""))
        ]
    );
    assert_eq!(mrpc.labels().unwrap(), [1, 0]);
    assert_eq!(mrpc.classes, ["not_equivalent", "equivalent"]);
    assert_eq!(
        mrpc.examples[1].id.to_string(),
        "glue-mrpc-validation[1] clean"
    );
}

#[test]
fn cola_is_read_with_and_without_a_header() {
    let bare = b"gj04\t1\t\tThey sleep.\ngj04\t0\t*\tThey sleeps.\n";
    let train = load_text("CoLA/train.tsv", bare, Task::Cola, Split::Train).unwrap();
    assert_eq!(
        train.sentences(),
        [("They sleep.", None), ("They sleeps.", None)]
    );
    assert_eq!(train.labels().unwrap(), [1, 0]);
    let headed = b"index\tsentence\n0\tThey sleep.\n";
    let test = load_text("CoLA/test.tsv", headed, Task::Cola, Split::Test).unwrap();
    assert_eq!(test.sentences(), [("They sleep.", None)]);
    assert_eq!(test.examples[0].target, Target::Unknown);
}

#[test]
fn mnli_and_stsb_find_their_columns_by_name() {
    let mnli = "index\tpairID\tsentence1_parse\tsentence1\tsentence2\tlabel1\tgold_label\n\
                0\t1n\t(x)\tA man.\tA person.\tneutral\tentailment\n";
    for (file, split) in [
        ("MNLI/dev_matched.tsv", Split::Validation),
        ("MNLI/dev_mismatched.tsv", Split::ValidationMismatched),
    ] {
        let dataset = load_text(file, mnli.as_bytes(), Task::Mnli, split).unwrap();
        assert_eq!(dataset.sentences(), [("A man.", Some("A person."))]);
        assert_eq!(dataset.labels().unwrap(), [0]);
        let source = format!("glue-mnli-{split}");
        assert_eq!(*dataset.examples[0].id.source, source);
    }
    let stsb = "index\tgenre\tsentence1\tsentence2\tscore\n0\tnews\tOne.\tTwo.\t2.750\n";
    let dataset = load_text("STS-B/train.tsv", stsb.as_bytes(), Task::Stsb, Split::Train).unwrap();
    assert_eq!(dataset.scores().unwrap(), [2.75]);
    assert!(dataset.classes.is_empty());
}

#[test]
fn a_bad_line_is_named_with_file_line_column_and_value() {
    let head = "sentence\tlabel\ngood\t1\n";
    for (rest, expected) in [
        (
            "bad\tnegative?\n",
            "line 3, column label: expected negative, positive or 0 to 1, got \"negative?\"",
        ),
        (
            "bad\t2\n",
            "line 3, column label: expected negative, positive or 0 to 1, got \"2\"",
        ),
        ("bad\n", "line 3: expected 2 columns, got 1"),
        ("bad\t0\t\n", "line 3: expected 2 columns, got 3"),
        ("\n", "line 3: expected 2 columns, got 1"),
    ] {
        let text = format!("{head}{rest}");
        let error = load_text(
            "SST-2/dev.tsv",
            text.as_bytes(),
            Task::Sst2,
            Split::Validation,
        );
        let message = error.unwrap_err().to_string();
        assert!(message.contains("SST-2/dev.tsv: "), "{message}");
        assert!(message.ends_with(expected), "{message}");
    }
    let bytes = [head.as_bytes(), b"b\xffd\t0\n"].concat();
    let error = load_text("SST-2/dev.tsv", &bytes, Task::Sst2, Split::Validation).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("line 3, column sentence: expected text in UTF-8, got byte 0xff")
    );
    for (text, expected) in [
        (
            "sentence\tclass\n",
            "columns: expected label, got \"sentence, class\"",
        ),
        ("", "columns: expected sentence or content, got \"\""),
    ] {
        let error = load_text(
            "SST-2/dev.tsv",
            text.as_bytes(),
            Task::Sst2,
            Split::Validation,
        );
        let message = error.unwrap_err().to_string();
        assert!(message.ends_with(expected), "{message}");
    }
}

#[test]
fn damaged_lines_can_be_left_out_without_moving_the_others() {
    let text = b"id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n\
                 1\t1\t2\tWhy?\tHow?\t0\n\
                 2\t3\t4\tcut in\n\
                 two?\tHow?\t1\n\
                 3\t5\t6\tWho?\tWhom?\t1\n";
    let folder = folder(&[("QQP/train.tsv", text)]);
    assert!(matches!(
        load(folder.path(), Task::Qqp, Split::Train),
        Err(DataError::TableWidth {
            line: 3,
            expected: 6,
            got: 4,
            ..
        })
    ));
    let (qqp, damage) = load_undamaged(folder.path(), Task::Qqp, Split::Train).unwrap();
    assert_eq!(damage.len(), 2);
    let indices: Vec<_> = qqp
        .examples
        .iter()
        .map(|example| example.id.index)
        .collect();
    assert_eq!(indices, [0, 3]);
    assert_eq!(qqp.labels().unwrap(), [0, 1]);
}

#[test]
fn missing_files_and_splits_are_named() {
    let empty = folder(&[]);
    let error = load(empty.path(), Task::Wnli, Split::Train)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(
            "files of wnli train: expected WNLI/train.tsv or wnli/train-00000-of-00001.parquet, got none"
        ),
        "{error}"
    );
    let error = load(empty.path(), Task::Rte, Split::TestMismatched)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("expected a split that the task has"),
        "{error}"
    );
    let partial = folder(&[("qqp/train-00000-of-00002.parquet", b"")]);
    let error = load(partial.path(), Task::Qqp, Split::Train)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("expected qqp/train-00001-of-00002.parquet"),
        "{error}"
    );
    let error = "dev".parse::<Split>().unwrap_err().to_string();
    assert!(error.starts_with("unknown GLUE split \"dev\": expected one of train, validation"));
}

/// The cells of a column.
enum Cells<'a> {
    Text(&'a [Option<&'a [u8]>]),
    Long(&'a [Option<i64>]),
    Int(&'a [Option<i32>]),
    Float(&'a [Option<f32>]),
}

/// A parquet file as the hub's: optional columns, dictionaries, snappy.
fn parquet_file(schema: &str, groups: &[&[Cells<'_>]]) -> Vec<u8> {
    fn fill<T: DataType>(column: &mut SerializedColumnWriter<'_>, cells: Vec<Option<T::T>>) {
        let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
        let values: Vec<T::T> = cells.into_iter().flatten().collect();
        let writer = column.typed::<T>();
        writer.write_batch(&values, Some(&levels), None).unwrap();
    }
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(
        &mut bytes,
        Arc::new(parse_message_type(&format!("message schema {{ {schema} }}")).unwrap()),
        Arc::new(properties.build()),
    )
    .unwrap();
    for columns in groups {
        let mut group = writer.next_row_group().unwrap();
        for cells in *columns {
            let mut column = group.next_column().unwrap().unwrap();
            match cells {
                Cells::Text(texts) => {
                    let texts = texts
                        .iter()
                        .map(|text| text.map(|text| text.to_vec().into()));
                    fill::<ByteArrayType>(&mut column, texts.collect());
                }
                Cells::Long(numbers) => fill::<Int64Type>(&mut column, numbers.to_vec()),
                Cells::Int(numbers) => fill::<Int32Type>(&mut column, numbers.to_vec()),
                Cells::Float(numbers) => fill::<FloatType>(&mut column, numbers.to_vec()),
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

const SST2: &str = "OPTIONAL BYTE_ARRAY sentence (UTF8); OPTIONAL INT64 label; OPTIONAL INT32 idx;";

fn sst2_file() -> Vec<u8> {
    parquet_file(
        SST2,
        &[
            &[
                Cells::Text(&[Some(b"good "), Some("tr\u{e8}s \"bon\"\t".as_bytes())]),
                Cells::Long(&[Some(1), Some(1)]),
                Cells::Int(&[Some(0), Some(1)]),
            ],
            &[
                Cells::Text(&[Some(b"")]),
                Cells::Long(&[Some(-1)]),
                Cells::Int(&[Some(2)]),
            ],
        ],
    )
}

#[test]
fn parquet_rows_are_read_across_row_groups_and_shards() {
    let file = sst2_file();
    let two = folder(&[
        ("sst2/validation-00000-of-00002.parquet", &file),
        ("sst2/validation-00001-of-00002.parquet", &file),
        ("sst2/train.parquet", &file),
    ]);
    let whole = load(two.path(), Task::Sst2, Split::Train).unwrap();
    let texts = [("good ", None), ("tr\u{e8}s \"bon\"\t", None), ("", None)];
    assert_eq!(whole.sentences(), texts);
    let targets: Vec<_> = whole
        .examples
        .iter()
        .map(|example| example.target)
        .collect();
    assert_eq!(
        targets,
        [Target::Class(1), Target::Class(1), Target::Unknown]
    );
    let shards = load(two.path(), Task::Sst2, Split::Validation).unwrap();
    assert_eq!(shards.len(), 6);
    assert_eq!(
        shards.examples[5].id.to_string(),
        "glue-sst2-validation[5] clean"
    );
}

#[test]
fn tsv_and_parquet_of_one_split_are_the_same_dataset() {
    let tsv =
        b"index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tnot_entailment\n1\tC.\tC.\tentailment\n";
    let pairs = "OPTIONAL BYTE_ARRAY sentence1 (UTF8); OPTIONAL BYTE_ARRAY sentence2 (STRING); \
                 OPTIONAL INT64 label; OPTIONAL INT32 idx;";
    let parquet = parquet_file(
        pairs,
        &[&[
            Cells::Text(&[Some(b"A."), Some(b"C.")]),
            Cells::Text(&[Some(b"B."), Some(b"C.")]),
            Cells::Long(&[Some(1), Some(0)]),
            Cells::Int(&[Some(0), Some(1)]),
        ]],
    );
    let hub = folder(&[("rte/validation-00000-of-00001.parquet", &parquet)]);
    assert_eq!(
        load_text("RTE/dev.tsv", tsv, Task::Rte, Split::Validation).unwrap(),
        load(hub.path(), Task::Rte, Split::Validation).unwrap()
    );
}

#[test]
fn parquet_scores_are_numbers() {
    let schema = "OPTIONAL BYTE_ARRAY sentence1 (UTF8); OPTIONAL BYTE_ARRAY sentence2 (UTF8); \
                  OPTIONAL FLOAT label;";
    let file = parquet_file(
        schema,
        &[&[
            Cells::Text(&[Some(b"A."), Some(b"C.")]),
            Cells::Text(&[Some(b"B."), Some(b"C.")]),
            Cells::Float(&[Some(3.25), Some(-1.0)]),
        ]],
    );
    let hub = folder(&[("stsb/test-00000-of-00001.parquet", &file)]);
    let stsb = load(hub.path(), Task::Stsb, Split::Test).unwrap();
    assert_eq!(stsb.examples[0].target, Target::Score(3.25));
    assert_eq!(stsb.examples[1].target, Target::Unknown);
}

#[test]
fn a_bad_parquet_cell_is_named_with_its_row_and_column() {
    let file = parquet_file(
        SST2,
        &[&[
            Cells::Text(&[
                Some(b"good"),
                None,
                Some(b"b\xffd"),
                Some(b"bad"),
                Some(b"x"),
            ]),
            Cells::Long(&[Some(1), Some(1), Some(0), Some(2), None]),
            Cells::Int(&[None; 5]),
        ]],
    );
    let hub = folder(&[("sst2/train.parquet", &file)]);
    let (good, damage) = load_undamaged(hub.path(), Task::Sst2, Split::Train).unwrap();
    assert_eq!(good.sentences(), [("good", None)]);
    let messages: Vec<_> = damage.iter().map(ToString::to_string).collect();
    for (message, expected) in messages.iter().zip([
        "row 2, column sentence: expected text, got null",
        "row 3, column sentence: expected text in UTF-8, got byte 0xff at 1",
        "row 4, column label: expected negative, positive or 0 to 1, got 2",
        "row 5, column label: expected a class, got null",
    ]) {
        assert!(
            message.ends_with(&format!("train.parquet: {expected}")),
            "{message}"
        );
    }
    assert_eq!(messages.len(), 4);
    assert!(load(hub.path(), Task::Sst2, Split::Train).is_err());

    let other = folder(&[("cola/train.parquet", &file), ("rte/train.parquet", &file)]);
    load(other.path(), Task::Cola, Split::Train).unwrap_err();
    let message = load(other.path(), Task::Rte, Split::Train)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("columns: expected sentence1 BYTE_ARRAY, got"),
        "{message}"
    );
    let nested =
        "REQUIRED GROUP sentence { OPTIONAL BYTE_ARRAY text (UTF8); } OPTIONAL INT64 label;";
    let nested = parquet_file(
        nested,
        &[&[Cells::Text(&[Some(b"good")]), Cells::Long(&[Some(1)])]],
    );
    let hub = folder(&[("sst2/train.parquet", &nested)]);
    assert!(matches!(
        load(hub.path(), Task::Sst2, Split::Train),
        Err(DataError::TableColumns { .. })
    ));
}

#[test]
fn damaged_parquet_files_are_errors_or_other_rows_but_no_panic() {
    let file = sst2_file();
    let hub = folder(&[("sst2/train.parquet", &file)]);
    let path = hub.path().join("sst2/train.parquet");
    for length in 0..file.len() {
        fs::write(&path, &file[..length]).unwrap();
        let error = load(hub.path(), Task::Sst2, Split::Train).unwrap_err();
        assert!(
            matches!(error, DataError::Parquet { .. }),
            "{length}: {error}"
        );
    }
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= [0x01, 0x10, 0x80, 0xff][at % 4];
        fs::write(&path, &damaged).unwrap();
        if let Ok(dataset) = load(hub.path(), Task::Sst2, Split::Train) {
            dataset.validate().unwrap();
        }
    }
}

#[test]
fn each_task_is_scored_by_its_metrics() {
    let example = |(index, target)| TextExample {
        first: String::new(),
        second: None,
        target,
        id: ExampleId::clean("t", index),
    };
    let classes = |task: Task| TextDataset {
        examples: (0..)
            .zip([0, 1, 1, 0].map(Target::Class))
            .map(example)
            .collect(),
        classes: task.info().classes.iter().map(|&c| c.to_owned()).collect(),
    };
    let predicted = Predictions::Classes(&[0, 1, 0, 0]);
    let scores = |task: Task| task.score(predicted, &classes(task)).unwrap();
    assert_eq!(scores(Task::Sst2), [(Metric::Accuracy, 0.75)]);
    assert_eq!(
        scores(Task::Qqp),
        [(Metric::Accuracy, 0.75), (Metric::F1, 2.0 / 3.0)]
    );
    // TP 1, TN 2, FN 1: 2 / sqrt(1 * 2 * 2 * 3).
    let [(Metric::Matthews, value)] = scores(Task::Cola)[..] else {
        panic!("CoLA is scored by Matthews")
    };
    assert!((value - 2.0 / 12.0_f64.sqrt()).abs() < 1e-15);

    let stsb = TextDataset {
        examples: (0..)
            .zip([1.0, 2.0, 5.0].map(Target::Score))
            .map(example)
            .collect(),
        classes: vec![],
    };
    let scores = Task::Stsb.score(Predictions::Scores(&[0.1, 0.2, 0.3]), &stsb);
    let [(Metric::Pearson, pearson), (Metric::Spearman, spearman)] = scores.unwrap()[..] else {
        panic!("STS-B is scored by Pearson and Spearman")
    };
    assert!(pearson < 0.99 && pearson > 0.9);
    assert!((spearman - 1.0).abs() < 1e-15);
    assert!(matches!(
        Task::Stsb.score(predicted, &stsb),
        Err(DataError::Predictions { .. })
    ));
    let one = Predictions::Classes(&[0]);
    assert!(matches!(
        Task::Rte.score(one, &classes(Task::Rte)),
        Err(DataError::Count { .. })
    ));
}
