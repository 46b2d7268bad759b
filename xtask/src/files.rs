//! The folder that commands read from, and how they write a file.

use std::path::{Path, PathBuf};

use experiments::plan::ASSETS_VARIABLE;
use miette::{Context, IntoDiagnostic, miette};
use network::{Output, is_same_file};

use crate::tidy::workspace_root;

/// The folder of weights, data and references: the one that is given, else
/// `$INFORMED_REPAIR_ASSETS`, else `shared/assets` beside the repository.
pub(crate) fn assets(given: Option<&Path>) -> PathBuf {
    given
        .map(Path::to_owned)
        .or_else(|| std::env::var_os(ASSETS_VARIABLE).map(PathBuf::from))
        .unwrap_or_else(|| workspace_root().join("../shared/assets"))
}

/// Writes a file so that its name always refers to a whole one: a temporary file beside it is
/// renamed.
pub(crate) fn write_atomically(path: &Path, bytes: impl AsRef<[u8]>) -> miette::Result<()> {
    Output::replacing(path)
        .write(bytes.as_ref())
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot write {}", path.display()))
}

/// Refuses to write a file or into a folder that is read, whatever it is called.
pub(crate) fn refuse_input(output: &Path, input: &Path) -> miette::Result<()> {
    if is_same_file(output, input) {
        return Err(miette!(
            "{} is read, and is not written over",
            output.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_never_written_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let [path, link] = ["images.gz", "link"].map(|name| folder.path().join(name));
        write_atomically(&path, "first").unwrap();
        std::fs::hard_link(&path, &link).unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read(&link).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_read_is_not_written_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let [input, second, other] =
            ["input", "second", "other"].map(|name| folder.path().join(name));
        std::fs::write(&input, "").unwrap();
        std::fs::hard_link(&input, &second).unwrap();
        for output in [&input, &second, &folder.path().join("./input")] {
            let error = refuse_input(output, &input).unwrap_err().to_string();
            assert!(error.contains("is read"), "{error}");
        }
        refuse_input(&other, &input).unwrap();
        refuse_input(folder.path(), &folder.path().join(".")).unwrap_err();
    }

    #[test]
    fn the_given_folder_of_assets_comes_first() {
        assert_eq!(assets(Some(Path::new("given"))), Path::new("given"));
    }
}
