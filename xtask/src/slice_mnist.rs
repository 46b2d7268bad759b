//! The MNIST files that ship in `datasets/mnist`.
//!
//! The test set is copied byte for byte; the last 10,000 training images are cut out and compressed
//! without a time stamp, so the same originals give the same files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use data::idx::{self, Idx};
use experiments::terminal;
use miette::{Context, IntoDiagnostic, ensure};

use crate::files::{refuse_input, write_atomically};
use crate::tidy::workspace_root;

const TRAINING_IMAGES: usize = 60_000;
const FIRST_HELD_OUT: usize = 50_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder with MNIST's four original files
    #[arg(long)]
    from: PathBuf,
    /// Folder to write to [default: datasets/mnist of the repository]
    #[arg(long)]
    to: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> miette::Result<ExitCode> {
    let to = args
        .to
        .clone()
        .unwrap_or_else(|| workspace_root().join("datasets/mnist"));
    refuse_input(&to, &args.from)?;
    std::fs::create_dir_all(&to)
        .into_diagnostic()
        .with_context(|| to.display().to_string())?;
    for name in ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"] {
        copy(&args.from.join(name), &to.join(name))?;
    }
    for (kind, rank) in [("images-idx3", 3), ("labels-idx1", 1)] {
        let whole =
            idx::read(&args.from.join(format!("train-{kind}-ubyte.gz")), rank).into_diagnostic()?;
        ensure!(
            whole.shape[0] == TRAINING_IMAGES,
            "train-{kind}: expected {TRAINING_IMAGES} examples, got {}",
            whole.shape[0]
        );
        let slice = tail(&whole, FIRST_HELD_OUT);
        let name = format!(
            "train-{FIRST_HELD_OUT}-{}-{kind}-ubyte.gz",
            TRAINING_IMAGES - 1
        );
        idx::write(&to.join(&name), &slice).into_diagnostic()?;
        terminal::print(format_args!(
            "{}: {:?}",
            to.join(name).display(),
            slice.shape
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn copy(from: &Path, to: &Path) -> miette::Result<()> {
    // Reading and writing rather than `fs::copy`, which would copy a read-only mode too.
    let bytes = std::fs::read(from)
        .into_diagnostic()
        .with_context(|| from.display().to_string())?;
    write_atomically(to, bytes)?;
    terminal::print(format_args!("{}: copied", to.display()));
    Ok(())
}

/// The examples from `first` on.
fn tail(whole: &Idx, first: usize) -> Idx {
    let size: usize = whole.shape[1..].iter().product();
    let mut shape = whole.shape.clone();
    shape[0] -= first;
    Idx {
        shape,
        values: whole.values[first * size..].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_keeps_whole_examples() {
        let whole = Idx {
            shape: vec![3, 2],
            values: (0..6).collect(),
        };
        assert_eq!(
            tail(&whole, 2),
            Idx {
                shape: vec![1, 2],
                values: vec![4, 5]
            }
        );
    }
}
