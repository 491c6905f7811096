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

/// The two rows of the corpus whose `start_time` depends on the order of arrival.
const ORDER_DEPENDENT: [&str; 2] =
    ["linaro:5ff1a27b-6d34-4938-9df9-3e09c2c80604", "linaro:bea0bfda-5b68-415b-a324-4b730fe32332"];

/// A row without what depends on the order in which the corpus is loaded.
pub fn without_order_dependent(row: &serde_json::Value) -> serde_json::Value {
    let mut row = row.clone();
    if row["id"].as_str().is_some_and(|id| ORDER_DEPENDENT.contains(&id)) {
        row["start_time"] = serde_json::Value::Null;
    }
    row
}

/// The lines of a gzip'ed file of JSON lines; none when the file is absent, as the goldens of empty tables are.
pub fn unpack_json_lines(path: &Path) -> Vec<serde_json::Value> {
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("a golden file");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}
