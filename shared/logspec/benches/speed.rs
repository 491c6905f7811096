//! How fast logs are read: MB/s and ms per log of each kind, beside what the existing analyser takes for the same logs.
//!
//! `cargo bench -p kcidb-logspec --bench speed` takes the logs of the conformance data (`KCIDB_CONFORMANCE`). Each is analysed
//! with the parser of its kind, from the bytes to the default JSON.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use logspec::{LineEnds, Log};

/// A kind of log: how their names begin, the parser, and the MB/s of the existing analyser over such logs.
const KINDS: [(&str, &str, f64); 4] = [
    ("kbuild", "kbuild", 13.8),
    ("linux_boot", "generic_linux_boot", 16.1),
    ("test_baseline", "test_baseline", 27.4),
    ("test_kselftest", "test_kselftest", 22.3),
];

struct Timing {
    name: String,
    bytes: usize,
    seconds: f64,
}

fn logs(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let folder = std::env::var_os("KCIDB_CONFORMANCE").map_or(root, PathBuf::from).join("logspec/logs");
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().trim_end_matches(".log.gz").to_owned();
        if !name.starts_with(prefix) {
            continue;
        }
        let mut bytes = Vec::new();
        let packed = std::fs::read(entry.path()).expect("a file of this folder");
        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes).expect("a whole gzip file");
        logs.push((name, bytes));
    }
    logs.sort();
    logs
}

fn time(name: String, bytes: &[u8], parser: &str) -> Timing {
    let parser = logspec::parser(parser).expect("a parser of ours");
    let mut seconds = f64::MAX;
    for _ in 0..20 {
        let copy = bytes.to_vec();
        let start = Instant::now();
        let log = Log::new(copy, LineEnds::Raw);
        let analysis = parser.analyse(&log).expect("these parsers fit every log");
        std::hint::black_box(analysis.to_json(false));
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    Timing { name, bytes: bytes.len(), seconds }
}

fn megabytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).expect("a few megabytes")) / 1e6
}

fn main() {
    let (mut ours, mut theirs) = (0.0, 0.0);
    println!(
        "{:16} {:>4} {:>8} {:>10} {:>10} {:>10} {:>9} {:>8}",
        "kind", "logs", "MB", "MB/s", "median ms", "reference", "MB/s", "times"
    );
    for (prefix, parser, reference) in KINDS {
        let mut timings: Vec<_> = logs(prefix).into_iter().map(|(name, bytes)| time(name, &bytes, parser)).collect();
        if timings.is_empty() {
            println!("skipped: no conformance data (KCIDB_CONFORMANCE)");
            return;
        }
        timings.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        let seconds: f64 = timings.iter().map(|timing| timing.seconds).sum();
        let size: f64 = timings.iter().map(|timing| megabytes(timing.bytes)).sum();
        let median = timings[timings.len() / 2].seconds * 1e3;
        (ours, theirs) = (ours + seconds, theirs + size / reference);
        let (speed, count) = (size / seconds, timings.len());
        println!(
            "{prefix:16} {count:4} {size:8.2} {speed:10.0} {median:10.3} {:>10} {reference:9.1} {:8.0}",
            "",
            speed / reference
        );
        for timing in timings.iter().take(3) {
            let (ms, speed) = (timing.seconds * 1e3, megabytes(timing.bytes) / timing.seconds);
            println!("    {:24} {:8.2} MB {ms:8.3} ms {speed:8.0} MB/s", timing.name, megabytes(timing.bytes));
        }
    }
    println!("all: {:.2} ms, reference {:.0} ms, {:.0} times", ours * 1e3, theirs * 1e3, theirs / ours);
}
