//! The recorded results of the existing analyser and worker: every log, every parser, both rules for line ends.

#![expect(clippy::unwrap_used, reason = "a broken record is a broken test")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use logspec::{Kind, KnownIssue, LineEnds, Log, Node, Report};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const NODE_ID: &str = "maestro:0123456789abcdef01234567";
const ORIGIN: &str = "maestro";

fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let folder = std::env::var_os("KCIDB_CONFORMANCE").map_or(root, PathBuf::from).join("logspec");
    if folder.join("manifest.json").exists() {
        return Some(folder);
    }
    println!("skipped: no conformance data (KCIDB_CONFORMANCE)");
    None
}

fn read(path: &Path) -> Vec<u8> {
    let (bytes, packed) = match fs::read(path) {
        Ok(bytes) => (bytes, path.extension().is_some_and(|extension| extension == "gz")),
        Err(_) => (fs::read(format!("{}.gz", path.display())).unwrap(), true),
    };
    if !packed {
        return bytes;
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
    plain
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// The first path at which two values differ.
fn difference(expected: &Value, got: &Value, path: &str) -> Option<String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let keys = expected.keys().chain(got.keys());
            keys.into_iter().find_map(|key| {
                let value = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or("(absent)".into());
                difference(&value(expected), &value(got), &format!("{path}/{key}"))
            })
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            let pairs = expected.iter().zip(got).enumerate();
            pairs.into_iter().find_map(|(index, (expected, got))| difference(expected, got, &format!("{path}/{index}")))
        }
        _ if expected == got => None,
        _ => Some(format!("{path}: expected {expected:.300}, got {got:.300}")),
    }
}

/// All that is wrong, to be told at the end.
#[derive(Default)]
struct Failures {
    list: Vec<String>,
    compared: usize,
}

impl Failures {
    fn compare(&mut self, what: &str, expected: &Value, got: &Value) {
        self.compared += 1;
        if let Some(difference) = difference(expected, got, "") {
            self.list.push(format!("{what} {difference}"));
        }
    }

    fn finish(self, at_least: usize) {
        println!("{} results compared, {} differ", self.compared, self.list.len());
        assert!(self.list.is_empty(), "{} differences:\n{}", self.list.len(), self.list.join("\n"));
        assert!(self.compared >= at_least, "only {} results", self.compared);
    }

    /// Runs a parser in both text modes.
    fn parser(&mut self, what: &str, name: &str, expected: &Value, bytes: &[u8]) {
        let raw = &expected["raw"];
        let universal = if expected["universal"] == "same" { raw } else { &expected["universal"] };
        for (ends, expected) in [(LineEnds::Raw, raw), (LineEnds::Universal, universal)] {
            let what = format!("{what} {name} {ends:?}");
            let start = Instant::now();
            let log = Log::new(bytes.to_vec(), ends);
            let analysis = logspec::parser(name).unwrap().analyse(&log);
            let texts = analysis.as_ref().map(|analysis| [analysis.to_json(true), analysis.to_json(false)]);
            if start.elapsed() > Duration::from_secs(1) {
                self.list.push(format!("{what}: took {:?}", start.elapsed()));
            }
            if expected.get("exception").is_some() {
                self.compared += 1;
                continue;
            }
            let Ok([full, default]) = texts else {
                self.list.push(format!("{what}: {:?}", analysis.err()));
                continue;
            };
            self.compare(&what, &expected["full"], &serde_json::from_str(&full).unwrap());
            self.compare(&what, &expected["full_sha256"], &sha256(full.as_bytes()).into());
            self.compare(&what, &expected["default_sha256"], &sha256(default.as_bytes()).into());
        }
    }

    /// Runs the worker's part, with nothing known, on a gzip'ed log, and with an issue known.
    fn worker(&mut self, what: &str, kind: Kind, expected: &Value, bytes: &[u8]) {
        let gzip = if expected["gzip"] == "same" { &expected["result"] } else { &expected["gzip"] };
        for (ends, expected) in [(LineEnds::Raw, &expected["result"]), (LineEnds::Universal, gzip)] {
            if expected.get("exception").is_none() {
                let (got, _) = report(kind, bytes, ends, None);
                self.compare(&format!("{what} {} {ends:?}", kind.name()), expected, &got);
            }
        }
        let Some(with_existing) = expected.get("with_existing") else { return };
        let known = KnownIssue { id: "maestro:existing-issue-0001".to_owned(), version: 7 };
        let (got, lookups) = report(kind, bytes, LineEnds::Raw, Some(&known));
        let what = format!("{what} {} with_existing", kind.name());
        for member in ["issues", "incidents"] {
            self.compare(&what, &with_existing[member], &got[member]);
        }
        if let Some(expected) = with_existing.get("lookups") {
            self.compare(&what, expected, &lookups);
        }
    }
}

fn report(kind: Kind, bytes: &[u8], ends: LineEnds, known: Option<&KnownIssue>) -> (Value, Value) {
    let log = Log::new(bytes.to_vec(), ends);
    let analysis = kind.parser().analyse(&log).unwrap();
    let node = Node { id: NODE_ID, origin: ORIGIN, kind };
    let mut lookups = Vec::new();
    let report = Report::new(&analysis, &node, |signature| {
        lookups.push(serde_json::json!([signature, ORIGIN]));
        known.cloned()
    });
    (serde_json::to_value(&report).unwrap(), lookups.into())
}

#[test]
fn whole_logs() {
    let Some(folder) = folder() else { return };
    let mut failures = Failures::default();
    for entry in json(&folder.join("manifest.json"))["logs"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let bytes = read(&folder.join(format!("logs/{name}.log.gz")));
        failures.compare(name, &entry["sha256"], &sha256(&bytes).into());
        for parser in logspec::ALL {
            let expected = json(&folder.join(format!("expected/{name}.{}.json", parser.name)));
            failures.parser(name, parser.name, &expected, &bytes);
        }
        for kind in [Kind::Build, Kind::Boot, Kind::Kselftest] {
            let expected = json(&folder.join(format!("expected/{name}.worker-{}.json", kind.name())));
            failures.worker(name, kind, &expected, &bytes);
        }
    }
    failures.finish(700);
}

#[test]
fn mutants() {
    let Some(folder) = folder() else { return };
    let mut failures = Failures::default();
    for entry in json(&folder.join("manifest.json"))["mutants"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let bytes = read(&folder.join(format!("mutants/logs/{name}.log.gz")));
        failures.compare(name, &entry["sha256"], &sha256(&bytes).into());
        let record = json(&folder.join(format!("mutants/expected/{name}.json")));
        let part = |part: &str| {
            let mut members = record[part].as_object().cloned().unwrap_or_default();
            members.extend(record["literal"][part].as_object().cloned().unwrap_or_default());
            members
        };
        for (parser, expected) in &part("parsers") {
            failures.parser(name, parser, expected, &bytes);
        }
        for (kind, expected) in &part("worker") {
            failures.worker(name, Kind::named(kind).unwrap(), expected, &bytes);
        }
    }
    failures.finish(900);
}

#[test]
fn command_lines() {
    let Some(folder) = folder() else { return };
    let mut failures = Failures::default();
    for run in json(&folder.join("expected/cli.json"))["runs"].as_array().unwrap() {
        let args: Vec<_> = run["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let (full, args) = match &args[..] {
            ["--json-full", rest @ ..] => (true, rest),
            ["-o", "json" | "debug", rest @ ..] => (false, rest),
            all => (false, all),
        };
        // The other runs are about options, which are not the library's.
        let [log, parser] = args else { continue };
        let bytes = match *log {
            "invalid.log" => b"kernel \xff log\n".to_vec(),
            "empty.log" => Vec::new(),
            "missing.log" => continue,
            log => read(&folder.join(format!("logs/{log}.gz"))),
        };
        let got = Log::strict(bytes, LineEnds::Universal).ok().and_then(|log| {
            let analysis = logspec::parser(parser)?.analyse(&log).ok()?;
            Some(analysis.to_json(full) + "\n")
        });
        failures.compare(&args.join(" "), &run["exit_code"], &i32::from(got.is_none()).into());
        failures.compare(&args.join(" "), &run["stdout"], &got.unwrap_or_default().into());
    }
    failures.finish(20);
}
