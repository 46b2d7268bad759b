//! Which files of a folder are pictures, and which of its folders are classes.
//!
//! A file is a picture when its name ends like one or its first bytes are those of one. Hidden files and
//! folders, files that are no pictures, and links to folders below a class folder are passed over and
//! counted; so are links that lead out of the root, unless their names say that they are pictures: those
//! are refused when they are read.

use std::path::{Path, PathBuf};

use disk::Place;

use super::decode;
use crate::labelled::PassedOver;
use crate::{DataError, file};

/// How names of pictures end; files that end otherwise are looked into.
const ENDINGS: [&str; 17] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "gif", "tif", "tiff", "pnm", "pbm",
    "pgm", "ppm", "pam", "apng",
];
/// First bytes that tell a picture.
const START: usize = 32;
/// Folders below a class folder that are looked into, one inside the other.
const DEPTH: usize = 16;

/// The class folders of a root, and the pictures in each, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct ClassFolders {
    /// Name and pictures of each folder; one without pictures is a class too.
    pub(crate) classes: Vec<(String, Vec<PathBuf>)>,
    /// Pictures that lie in folders below a class folder.
    pub(crate) deeper: usize,
    /// Pictures beside the class folders.
    pub(crate) beside: Vec<PathBuf>,
    pub(crate) passed_over: PassedOver,
    /// A file that is no picture and is read all the same.
    table: Option<PathBuf>,
    /// Where files may be.
    place: Option<Place>,
}

impl ClassFolders {
    /// Looks through a root.
    ///
    /// # Errors
    /// [`DataError::Io`] for a folder that cannot be read.
    pub(crate) fn find(root: &Path) -> Result<Self, DataError> {
        let mut found = Self {
            place: Some(Place::of_folder(root)?),
            ..Self::default()
        };
        for path in entries(root, &mut found.passed_over)? {
            if path.is_dir() {
                let mut pictures = vec![];
                found.look_into(&path, 0, &mut pictures)?;
                pictures.sort();
                found.classes.push((file::name(&path), pictures));
            } else if found.is_picture(&path) {
                found.beside.push(path);
            }
        }
        if found
            .classes
            .iter()
            .any(|(_, pictures)| !pictures.is_empty())
        {
            for path in &found.beside {
                let name = || path.display().to_string();
                let reason = "pictures beside the class folders";
                found.passed_over.add(reason, name);
            }
        }
        Ok(found)
    }

    fn look_into(
        &mut self,
        folder: &Path,
        depth: usize,
        pictures: &mut Vec<PathBuf>,
    ) -> Result<(), DataError> {
        for path in entries(folder, &mut self.passed_over)? {
            if !path.is_dir() {
                if self.table.as_ref() != Some(&path) && self.is_picture(&path) {
                    self.deeper += usize::from(depth > 0);
                    pictures.push(path);
                }
            } else if path.is_symlink() {
                // One may lead back to where it lies.
                let name = || path.display().to_string();
                self.passed_over
                    .add("links to folders inside class folders", name);
            } else if depth == DEPTH {
                let name = || path.display().to_string();
                self.passed_over.add("folders more than 16 deep", name);
            } else {
                self.look_into(&path, depth + 1, pictures)?;
            }
        }
        Ok(())
    }

    /// Whether a file is a picture; one that is none is passed over.
    fn is_picture(&mut self, path: &Path) -> bool {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        if ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
            return true;
        }
        let name = || path.display().to_string();
        let leads_out = |place: &Place| path.is_symlink() && place.find(path).is_err();
        if self.place.as_ref().is_some_and(leads_out) {
            let reason = "links that lead nowhere or out of the folder";
            self.passed_over.add(reason, name);
            return false;
        }
        let start = file::start_as_stored(path, START).unwrap_or_default();
        let picture = decode::is_picture(&start);
        if !picture {
            self.passed_over.add("files that are no pictures", name);
        }
        picture
    }
}

/// The pictures of a folder and of those below it, in the order of their names; `table`, which labels
/// them, is not counted among the files that are no pictures.
///
/// # Errors
/// [`DataError::Io`] for a folder that cannot be read.
pub(crate) fn all(root: &Path, table: &Path) -> Result<(Vec<PathBuf>, PassedOver), DataError> {
    let mut found = ClassFolders {
        table: Some(table.to_owned()),
        place: Some(Place::of_folder(root)?),
        ..ClassFolders::default()
    };
    let mut pictures = vec![];
    found.look_into(root, 0, &mut pictures)?;
    pictures.sort();
    Ok((pictures, found.passed_over))
}

/// The entries of a folder in the order of their names, hidden ones left out.
pub(crate) fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    entries(folder, &mut PassedOver::default())
}

fn entries(folder: &Path, passed_over: &mut PassedOver) -> Result<Vec<PathBuf>, DataError> {
    let io = |source| file::io_error(folder, source);
    let mut paths = std::fs::read_dir(folder)
        .map_err(io)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(io)?;
    paths.sort();
    paths.retain(|path| {
        let hidden = file::name(path).starts_with('.');
        if hidden {
            passed_over.add("hidden files and folders", || path.display().to_string());
        }
        !hidden
    });
    Ok(paths)
}
