//! The conformance data beside a developer's checkout; tests that want it skip visibly where it is not.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

/// The folder of conformance data, or `None` after a visible line.
pub fn conformance() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let folder = std::env::var_os("KCIDB_CONFORMANCE").map_or_else(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no conformance data (KCIDB_CONFORMANCE)");
    None
}

/// The real submissions of the conformance data in ascending order of name: (name, document).
pub fn corpus(conformance: &Path) -> Vec<(String, Vec<u8>)> {
    let file = std::fs::File::open(conformance.join("submissions/submissions-dev.tar.gz")).expect("the corpus");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut documents = Vec::new();
    for entry in archive.entries().expect("a tar file") {
        let mut entry = entry.expect("a tar entry");
        let path = entry.path().expect("a path").into_owned();
        if path.extension().is_some_and(|extension| extension == "json") {
            let mut document = Vec::new();
            entry.read_to_end(&mut document).expect("the corpus is complete");
            documents.push((path.file_name().expect("a name").to_string_lossy().into_owned(), document));
        }
    }
    documents.sort();
    documents
}

/// The lines of a gzip'ed file of JSON lines; none when the file is absent, as the goldens of empty tables are.
pub fn unpack_json_lines(path: &Path) -> Vec<serde_json::Value> {
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("a golden file");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}
