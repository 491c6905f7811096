//! How fast documents are read, in MB/s: syntax check, opening, checking, converting, on one core and on two.
//!
//! `cargo bench -p kcidb-schema [-- FOLDER-OR-TAR-GZ]`; without an argument the recorded submissions are taken
//! (`KCIDB_CONFORMANCE`), and where there are none, made-up documents of a similar shape.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use flate2::read::GzDecoder;
use schema::{
    Document, Options, TreeNames,
    syntax::{Checker, ObjectOrigins},
};
use std::{
    fs,
    hint::black_box,
    io::Read as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(3);

fn main() {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let (what, texts) = match argument {
        Some(path) => (path.clone(), read(Path::new(&path))),
        None => recorded().map_or_else(
            || ("made-up documents".to_owned(), vec![made_up()]),
            |texts| ("recorded submissions".to_owned(), texts),
        ),
    };
    let bytes: usize = texts.iter().map(Vec::len).sum();
    println!("{what}: {} documents, {:.1} MB", texts.len(), megabytes(bytes));
    report(&texts);
    let largest = texts.into_iter().max_by_key(Vec::len).unwrap();
    println!("the largest alone: {:.1} MB", megabytes(largest.len()));
    report(&[largest]);
    let small = tiny();
    println!("tiny objects: {:.1} MB", megabytes(small.len()));
    report(&[small]);
}

fn report(texts: &[Vec<u8>]) {
    let options = |threads| Options { tree_names: TreeNames::public(), threads, ..Options::default() };
    let one = options(1);
    // Two cores have a document each, or share the only one.
    let (workers, two) = if texts.len() > 1 { (2, options(1)) } else { (1, options(2)) };
    measure("syntax check in pieces of 64 KiB", texts, 1, |text| {
        let mut checker = Checker::new();
        text.chunks(64 << 10).for_each(|piece| checker.feed(piece).unwrap());
        checker.finish().unwrap();
    });
    measure("syntax check that notes origins", texts, 1, |text| {
        let (mut checker, mut origins) = (Checker::new(), ObjectOrigins::new());
        text.chunks(64 << 10).for_each(|piece| checker.feed_noting(piece, &mut origins).unwrap());
        checker.finish().unwrap();
        black_box(origins);
    });
    measure("open (syntax, lists)", texts, 1, |text| drop(black_box(Document::open(text).unwrap())));
    measure("open + check", texts, 1, |text| {
        black_box(Document::open(text).unwrap().check(&one).unwrap());
    });
    measure("open + objects, one core", texts, 1, |text| {
        drop(black_box(Document::open(text).unwrap().objects(&one).unwrap()));
    });
    measure("open + objects, two cores", texts, workers, |text| {
        drop(black_box(Document::open(text).unwrap().objects(&two).unwrap()));
    });
    measure("serde_json to a tree, for comparison", texts, 1, |text| {
        drop(black_box(serde_json::from_slice::<serde_json::Value>(text).unwrap()));
    });
}

fn measure(what: &str, texts: &[Vec<u8>], workers: usize, work: impl Fn(&[u8]) + Sync) {
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let round = || {
        let next = AtomicUsize::new(0);
        let worker = || {
            while let Some(text) = texts.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(text);
            }
        };
        thread::scope(|scope| {
            (1..workers).for_each(|_| drop(scope.spawn(worker)));
            worker();
        });
    };
    round();
    let (start, mut rounds) = (Instant::now(), 0);
    while start.elapsed() < TIME {
        round();
        rounds += 1;
    }
    println!("  {what:<40} {:>8.0} MB/s", megabytes(bytes * rounds) / start.elapsed().as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "only shown")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// All `.json` files of a folder or of a tar.gz.
fn read(path: &Path) -> Vec<Vec<u8>> {
    if path.is_dir() {
        let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return files
            .filter(|file| file.extension().is_some_and(|end| end == "json"))
            .map(|file| fs::read(file).unwrap())
            .collect();
    }
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(path).unwrap()));
    let contents = archive.entries().unwrap().map(|entry| {
        let mut text = Vec::new();
        entry.unwrap().read_to_end(&mut text).unwrap();
        text
    });
    contents.filter(|text| !text.is_empty()).collect()
}

fn recorded() -> Option<Vec<Vec<u8>>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance");
    let folder = std::env::var("KCIDB_CONFORMANCE").unwrap_or_else(|_| default.to_owned());
    let archive = Path::new(&folder).join("submissions/submissions-dev.tar.gz");
    archive.is_file().then(|| read(&archive))
}

/// Tests with long log excerpts, as labs send them.
fn made_up() -> Vec<u8> {
    let line =
        "[   19.715982] systemd[1]: Starting systemd-journald.service - \\u001b[0;1;39mJournal Service\\u001b[0m...\\n";
    let test = |number: u32| {
        format!(
            r#"{{"build_id":"lab:build","id":"lab:{number}","origin":"lab","path":"kselftest.proc","status":"FAIL",
            "start_time":"2025-07-17T18:05:49.436000+00:00","log_url":"https://files.example.org/{number}/log.txt.gz",
            "environment":{{"compatible":["ti,am335x-bone-black","ti,am33xx"],"misc":{{"platform":"beaglebone-black"}}}},
            "misc":{{"runtime":"lava-lab","arch":"arm"}},"log_excerpt":"{}"}}"#,
            line.repeat(60)
        )
    };
    let tests: Vec<_> = (0..1000).map(test).collect();
    format!(r#"{{"version":{{"major":5,"minor":3}},"tests":[{}]}}"#, tests.join(",")).into_bytes()
}

/// As small as objects get.
fn tiny() -> Vec<u8> {
    let tests: Vec<_> =
        (0..500_000).map(|number| format!(r#"{{"build_id":"o:b","id":"o:{number}","origin":"o"}}"#)).collect();
    format!(r#"{{"version":{{"major":5,"minor":3}},"tests":[{}]}}"#, tests.join(",")).into_bytes()
}
