//! What people call an example: its file, file and line, or file and position.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How the rows of a set are called; a name is made when it is asked for.
#[derive(Clone, Debug)]
pub(super) enum Naming {
    /// `path[row]`.
    Numbered(String),
    /// `path:line`.
    Lines { path: String, lines: Vec<u32> },
    /// A file each.
    Files(Vec<PathBuf>),
    /// `path row number`, the rows of several files counted through: each file with its first row.
    Shards(Vec<(u32, PathBuf)>),
    /// As they were given.
    Given(Vec<String>),
}

impl Naming {
    pub(super) fn numbered(path: &Path) -> Self {
        Self::Numbered(path.display().to_string())
    }

    pub(super) fn lines(path: &Path, lines: Vec<u32>) -> Self {
        let path = path.display().to_string();
        Self::Lines { path, lines }
    }

    /// The name of a row; its number where there is no such row.
    pub(super) fn name(&self, row: usize) -> String {
        let name = match self {
            Self::Numbered(path) => Some(format!("{path}[{row}]")),
            Self::Lines { path, lines } => lines.get(row).map(|line| format!("{path}:{line}")),
            Self::Files(files) => files.get(row).map(|file| file.display().to_string()),
            Self::Shards(shards) => {
                let after = shards.partition_point(|(first, _)| *first as usize <= row);
                let shard = after.checked_sub(1).and_then(|at| shards.get(at));
                shard.map(|(first, file)| {
                    format!("{} row {}", file.display(), row - *first as usize)
                })
            }
            Self::Given(names) => names.get(row).cloned(),
        };
        name.unwrap_or_else(|| row.to_string())
    }
}

/// The names of the examples of a set, made when they are asked for: a set of millions of examples
/// stores four bytes for each.
#[derive(Clone, Debug)]
pub struct Names {
    naming: Arc<Naming>,
    rows: Vec<u32>,
}

impl Names {
    pub(super) fn new(naming: Arc<Naming>, rows: Vec<u32>) -> Self {
        Self { naming, rows }
    }

    /// The name of example `i`, if there is one.
    pub fn get(&self, i: usize) -> Option<String> {
        self.rows.get(i).map(|&row| self.naming.name(row as usize))
    }

    /// The name of example `i`; its number when there is no such example.
    pub fn name(&self, i: usize) -> String {
        self.get(i).unwrap_or_else(|| i.to_string())
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every name, in the order of the examples.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = String> + '_ {
        self.rows.iter().map(|&row| self.naming.name(row as usize))
    }

    /// Every name, stored.
    pub fn to_vec(&self) -> Vec<String> {
        self.iter().collect()
    }

    /// The names at `indices`, which are below the number of examples.
    pub(super) fn subset(&self, indices: &[usize]) -> Self {
        Self {
            naming: Arc::clone(&self.naming),
            rows: indices
                .iter()
                .filter_map(|&i| self.rows.get(i).copied())
                .collect(),
        }
    }

    /// The names of several sets, one set after the other.
    pub(super) fn concat<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut parts = parts.into_iter().peekable();
        let Some(first) = parts.next() else {
            return Self::from(vec![]);
        };
        if parts.peek().is_none() {
            return first.clone();
        }
        let parts: Vec<&Self> = [first].into_iter().chain(parts).collect();
        let shared = parts
            .iter()
            .all(|part| Arc::ptr_eq(&part.naming, &first.naming));
        if shared {
            let rows = parts.iter().flat_map(|part| part.rows.iter().copied());
            return Self::new(Arc::clone(&first.naming), rows.collect());
        }
        let names: Vec<String> = parts.iter().flat_map(|part| part.iter()).collect();
        Self::from(names)
    }
}

impl From<Vec<String>> for Names {
    fn from(names: Vec<String>) -> Self {
        // No set has more examples than 32 bits count.
        let rows = (0..names.len() as u32).collect();
        Self::new(Arc::new(Naming::Given(names)), rows)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_vec().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_subsets_and_concatenations() {
        let naming = Arc::new(Naming::lines(Path::new("a.tsv"), vec![2, 3, 5]));
        let names = Names::new(naming, vec![0, 2]);
        assert_eq!(names.to_vec(), ["a.tsv:2", "a.tsv:5"]);
        assert_eq!(names.subset(&[1]).to_vec(), ["a.tsv:5"]);
        assert_eq!(Names::concat([&names, &names]).len(), 4);
        let other = Names::from(vec!["x".to_owned()]);
        assert_eq!(Names::concat([&names, &other]).name(2), "x");
        assert_eq!((names.get(2), names.name(2)), (None, "2".to_owned()));
    }

    #[test]
    fn rows_of_shards_are_counted_in_their_files() {
        let shards = Naming::Shards(vec![(0, "a".into()), (10, "b".into())]);
        assert_eq!(shards.name(9), "a row 9");
        assert_eq!(shards.name(10), "b row 0");
    }
}
