//! The nine tasks: columns, classes and metrics, in one table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::metric::{self, Metric};
use crate::DataError;
use crate::error::shorten;
use crate::text::{Target, TextDataset};

/// A task of GLUE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Task {
    /// Is a sentence grammatical? Warstadt et al. 2019.
    Cola,
    /// Is a movie review positive? Socher et al. 2013.
    Sst2,
    /// Do two sentences mean the same? Dolan & Brockett 2005.
    Mrpc,
    /// How similar are two sentences, from 0 to 5? Cer et al. 2017.
    Stsb,
    /// Do two questions ask the same? Iyer et al. 2017.
    Qqp,
    /// Does a premise entail a hypothesis? Williams et al. 2018.
    Mnli,
    /// Does a sentence answer a question? Rajpurkar et al. 2016.
    Qnli,
    /// Does a sentence entail another one? Dagan et al. 2006 to Bentivogli et al. 2009.
    Rte,
    /// Does a sentence entail itself with its pronoun replaced? Levesque et al. 2011.
    Wnli,
}

/// What a column is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// In the hub's parquet files.
    pub hub: &'static str,
    /// In TSV files, any of these.
    pub tsv: &'static [&'static str],
}

/// A row of the table of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// The task.
    pub task: Task,
    /// Its name, which is the hub's name for its configuration, e.g. `sst2`.
    pub name: &'static str,
    /// Its folder in the original distribution, e.g. `SST-2`.
    pub folder: &'static str,
    /// The first sentence.
    pub first: Column,
    /// The second sentence of a pair.
    pub second: Option<Column>,
    /// The class or score.
    pub target: Column,
    /// Names of the classes, numbered as on the hub; none when targets are scores from 0 to 5.
    pub classes: &'static [&'static str],
    /// What predictions are measured by.
    pub metrics: &'static [Metric],
}

const SENTENCE: Column = same("sentence", &["sentence", "content"]);
const FIRST: Column = same("sentence1", &["sentence1"]);
const SECOND: Column = same("sentence2", &["sentence2"]);
const LABEL: Column = same("label", &["label"]);

const fn same(hub: &'static str, tsv: &'static [&'static str]) -> Column {
    Column { hub, tsv }
}

const TABLE: [TaskInfo; 9] = [
    TaskInfo {
        task: Task::Cola,
        name: "cola",
        folder: "CoLA",
        first: SENTENCE,
        second: None,
        target: LABEL,
        classes: &["unacceptable", "acceptable"],
        metrics: &[Metric::Matthews],
    },
    TaskInfo {
        task: Task::Sst2,
        name: "sst2",
        folder: "SST-2",
        first: SENTENCE,
        second: None,
        target: LABEL,
        classes: &["negative", "positive"],
        metrics: &[Metric::Accuracy],
    },
    TaskInfo {
        task: Task::Mrpc,
        name: "mrpc",
        folder: "MRPC",
        first: same("sentence1", &["#1 String"]),
        second: Some(same("sentence2", &["#2 String"])),
        target: same("label", &["Quality"]),
        classes: &["not_equivalent", "equivalent"],
        metrics: &[Metric::Accuracy, Metric::F1],
    },
    TaskInfo {
        task: Task::Stsb,
        name: "stsb",
        folder: "STS-B",
        first: FIRST,
        second: Some(SECOND),
        target: same("label", &["score"]),
        classes: &[],
        metrics: &[Metric::Pearson, Metric::Spearman],
    },
    TaskInfo {
        task: Task::Qqp,
        name: "qqp",
        folder: "QQP",
        first: same("question1", &["question1"]),
        second: Some(same("question2", &["question2"])),
        target: same("label", &["is_duplicate"]),
        classes: &["not_duplicate", "duplicate"],
        metrics: &[Metric::Accuracy, Metric::F1],
    },
    TaskInfo {
        task: Task::Mnli,
        name: "mnli",
        folder: "MNLI",
        first: same("premise", &["sentence1"]),
        second: Some(same("hypothesis", &["sentence2"])),
        target: same("label", &["gold_label"]),
        classes: &["entailment", "neutral", "contradiction"],
        metrics: &[Metric::Accuracy],
    },
    TaskInfo {
        task: Task::Qnli,
        name: "qnli",
        folder: "QNLI",
        first: same("question", &["question"]),
        second: Some(same("sentence", &["sentence"])),
        target: LABEL,
        classes: &["entailment", "not_entailment"],
        metrics: &[Metric::Accuracy],
    },
    TaskInfo {
        task: Task::Rte,
        name: "rte",
        folder: "RTE",
        first: FIRST,
        second: Some(SECOND),
        target: LABEL,
        classes: &["entailment", "not_entailment"],
        metrics: &[Metric::Accuracy],
    },
    TaskInfo {
        task: Task::Wnli,
        name: "wnli",
        folder: "WNLI",
        first: FIRST,
        second: Some(SECOND),
        target: LABEL,
        classes: &["not_entailment", "entailment"],
        metrics: &[Metric::Accuracy],
    },
];

const SCORE: &str = "a score from 0 to 5";

/// What a network answers on each example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Predictions<'a> {
    /// Positions in [`TextDataset::classes`].
    Classes(&'a [usize]),
    /// Numbers.
    Scores(&'a [f32]),
}

impl Task {
    /// All tasks.
    pub const ALL: [Self; 9] = [
        Self::Cola,
        Self::Sst2,
        Self::Mrpc,
        Self::Stsb,
        Self::Qqp,
        Self::Mnli,
        Self::Qnli,
        Self::Rte,
        Self::Wnli,
    ];

    /// Columns, classes and metrics.
    pub fn info(self) -> &'static TaskInfo {
        &TABLE[self as usize]
    }

    /// The name in plans, results and on the hub, e.g. `sst2`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The task's metrics of `predictions`, in the order of [`TaskInfo::metrics`].
    ///
    /// # Errors
    /// [`DataError::Predictions`] for classes where the task has scores and the reverse,
    /// [`DataError::Target`] for an example without a target, and those of the functions in
    /// [`metric`](super::metric).
    pub fn score(
        self,
        predictions: Predictions<'_>,
        dataset: &TextDataset,
    ) -> Result<Vec<(Metric, f64)>, DataError> {
        let info = self.info();
        match (predictions, info.classes.is_empty()) {
            (Predictions::Classes(predicted), false) => {
                let right = dataset.labels()?;
                let score = |&metric: &Metric| {
                    let value = match metric {
                        Metric::F1 => metric::f1(predicted, &right, 1),
                        Metric::Matthews => metric::matthews(predicted, &right),
                        _ => metric::accuracy(predicted, &right),
                    };
                    Ok((metric, value?))
                };
                info.metrics.iter().map(score).collect()
            }
            (Predictions::Scores(predicted), true) => {
                let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect();
                let (predicted, right): (Vec<f64>, Vec<f64>) =
                    (wide(predicted), wide(&dataset.scores()?));
                let score = |&metric: &Metric| {
                    let value = match metric {
                        Metric::Spearman => metric::spearman(&predicted, &right),
                        _ => metric::pearson(&predicted, &right),
                    };
                    Ok((metric, value?))
                };
                info.metrics.iter().map(score).collect()
            }
            (Predictions::Classes(_), true) => Err(DataError::Predictions {
                task: info.name,
                expected: "scores",
                got: "classes",
            }),
            (Predictions::Scores(_), false) => Err(DataError::Predictions {
                task: info.name,
                expected: "classes",
                got: "scores",
            }),
        }
    }

    /// What the text of a TSV cell stands for: a class by name or number, or a score from 0 to 5; the
    /// error is what was expected and what was found.
    pub(super) fn parse_target(self, cell: &str) -> Result<Target, (String, String)> {
        let classes = self.info().classes;
        if classes.is_empty() {
            return match cell.parse().map(|score| self.score_target(score)) {
                Ok(Ok(score @ Target::Score(_))) => Ok(score),
                _ => Err((SCORE.to_owned(), shorten(cell))),
            };
        }
        classes
            .iter()
            .position(|&class| class == cell)
            .or_else(|| cell.parse().ok().filter(|&class| class < classes.len()))
            .map(Target::Class)
            .ok_or_else(|| (self.expected_class(), shorten(cell)))
    }

    /// What the number of a parquet cell stands for; -1 marks the targets that are not published.
    pub(super) fn class_target(self, number: i64) -> Result<Target, (String, String)> {
        let classes = self.info().classes;
        match usize::try_from(number) {
            Ok(class) if class < classes.len() => Ok(Target::Class(class)),
            Err(_) if number == -1 => Ok(Target::Unknown),
            _ => Err((self.expected_class(), number.to_string())),
        }
    }

    /// Like [`Task::class_target`], for scores.
    pub(super) fn score_target(self, score: f32) -> Result<Target, (String, String)> {
        if (0.0..=5.0).contains(&score) {
            Ok(Target::Score(score))
        } else if score == -1.0 {
            Ok(Target::Unknown)
        } else {
            Err((SCORE.to_owned(), score.to_string()))
        }
    }

    fn expected_class(self) -> String {
        let classes = self.info().classes;
        format!("{} or 0 to {}", classes.join(", "), classes.len() - 1)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Task {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL
            .into_iter()
            .find(|task| task.name() == name)
            .ok_or_else(|| DataError::UnknownGlue {
                what: "task",
                got: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

impl TryFrom<String> for Task {
    type Error = DataError;

    fn try_from(name: String) -> Result<Self, DataError> {
        name.parse()
    }
}

impl From<Task> for String {
    fn from(task: Task) -> Self {
        task.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_the_tasks_in_their_order() {
        for (position, task) in Task::ALL.into_iter().enumerate() {
            assert_eq!(TABLE[position].task, task);
            assert_eq!(task.info().task, task);
            assert_eq!(task.name().parse::<Task>().unwrap(), task);
        }
        let error = "sts".parse::<Task>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown GLUE task \"sts\": expected one of cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli"
        );
    }

    #[test]
    fn classes_are_numbered_as_on_the_hub() {
        let first = |task: Task| task.info().classes.first().copied();
        for task in [Task::Mnli, Task::Qnli, Task::Rte] {
            assert_eq!(first(task), Some("entailment"), "{task}");
        }
        // WNLI alone of the inference tasks gives 1 to entailment.
        assert_eq!(Task::Wnli.info().classes, ["not_entailment", "entailment"]);
        assert_eq!(Task::Mnli.info().classes[1], "neutral");
        for task in [Task::Cola, Task::Mrpc, Task::Qqp] {
            let negated = first(task).is_some_and(|name| name.starts_with(['n', 'u']));
            assert!(negated, "{task}");
        }
        assert_eq!(first(Task::Sst2), Some("negative"));
        assert_eq!(first(Task::Stsb), None);
    }

    #[test]
    fn targets_are_names_or_numbers_of_classes_and_scores_in_range() {
        assert_eq!(Task::Wnli.parse_target("1"), Ok(Target::Class(1)));
        assert_eq!(
            Task::Mnli.parse_target("contradiction"),
            Ok(Target::Class(2))
        );
        assert_eq!(
            Task::Mnli.parse_target("3"),
            Err((
                "entailment, neutral, contradiction or 0 to 2".into(),
                "\"3\"".into()
            ))
        );
        assert!(Task::Sst2.parse_target("-1").is_err());
        assert!(Task::Sst2.parse_target("").is_err());
        assert_eq!(Task::Stsb.parse_target("4.200"), Ok(Target::Score(4.2)));
        for bad in ["5.1", "nan", "inf", "", "-1"] {
            assert!(Task::Stsb.parse_target(bad).is_err(), "{bad}");
        }
        assert_eq!(Task::Cola.class_target(-1), Ok(Target::Unknown));
        assert!(Task::Cola.class_target(2).is_err());
        assert!(Task::Cola.class_target(-2).is_err());
        assert_eq!(Task::Stsb.score_target(-1.0), Ok(Target::Unknown));
    }
}
