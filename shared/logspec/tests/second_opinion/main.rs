//! A second, slow and literal implementation of the specification, compared with the first one on random logs.
//!
//! `KCIDB_LOGSPEC_ROUNDS` sets how many logs, `KCIDB_LOGSPEC_FIRST` the number of the first.

#![expect(clippy::unwrap_used, reason = "a test")]

mod logs;
mod naive;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use logspec::{Analysis, Kind, KnownIssue, LineEnds, Log, Node, Report};
use serde_json::Value;

const NODE: (&str, &str) = ("lab:\u{e9}1", "lab");
const KNOWN: (&str, i64) = ("lab:old", 7);

fn text(log: &[u8], ends: LineEnds) -> String {
    let text = String::from_utf8_lossy(log).into_owned();
    if ends == LineEnds::Universal { text.replace("\r\n", "\n").replace('\r', "\n") } else { text }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// What is different between the two for this log.
fn difference(log: &[u8]) -> Option<String> {
    [LineEnds::Raw, LineEnds::Universal].into_iter().find_map(|ends| {
        let text = text(log, ends);
        let read = Log::new(log.to_vec(), ends);
        logspec::ALL.iter().find_map(|parser| {
            let what = format!("{} {ends:?}", parser.name);
            let expected = naive::analyse(parser.name, &text);
            let Ok(analysis) = parser.analyse(&read) else {
                return expected.map(|_| format!("{what}: does not fit"));
            };
            let Some(expected) = expected else { return Some(format!("{what}: fits")) };
            let json = |full| serde_json::from_str::<Value>(&analysis.to_json(full)).unwrap();
            compare(&what, &expected, &json(true))
                .or_else(|| compare(&what, &naive::default_form(&expected), &json(false)))
                .or_else(|| compare_reports(&what, &expected, &analysis))
                .or_else(|| misplaced(&what, log, ends, &analysis))
        })
    })
}

fn compare_reports(what: &str, full: &Value, analysis: &Analysis<'_>) -> Option<String> {
    let kinds = [Kind::Build, Kind::Boot, Kind::Kselftest].into_iter();
    kinds.filter(|kind| kind.parser().name == analysis.parser.name).find_map(|kind| {
        [None, Some(KNOWN)].into_iter().find_map(|known| {
            let (id, origin) = NODE;
            let issue = known.map(|(id, version)| KnownIssue { id: id.to_owned(), version });
            let report = Report::new(analysis, &Node { id, origin, kind }, |_| issue.clone());
            let expected = naive::worker(kind.name(), id, origin, full, known);
            compare(&format!("{what} {}", kind.name()), &expected, &serde_json::to_value(&report).unwrap())
        })
    })
}

/// A finding whose lines are not those of its bytes.
fn misplaced(what: &str, log: &[u8], ends: LineEnds, analysis: &Analysis<'_>) -> Option<String> {
    let lines = |bytes: &[u8]| text(bytes, ends).matches('\n').count();
    analysis.findings.iter().find_map(|finding| {
        let place = &finding.place;
        let bytes = place.bytes.clone()?;
        let inner = text(&log[bytes.clone()], ends);
        let first_line = 1 + lines(&log[..bytes.start]);
        let last_line = first_line + inner.strip_suffix('\n').unwrap_or(&inner).matches('\n').count();
        let fits = (place.first_line, place.last_line) == (first_line, last_line);
        (!fits).then(|| format!("{what}: {place:?} is not {first_line} to {last_line}"))
    })
}

fn compare(path: &str, expected: &Value, got: &Value) -> Option<String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected.keys().chain(got.keys()).find_map(|name| {
            let value = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or("(absent)".into());
            compare(&format!("{path}/{name}"), &value(expected), &value(got))
        }),
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => expected
            .iter()
            .zip(got)
            .enumerate()
            .find_map(|(index, (expected, got))| compare(&format!("{path}/{index}"), expected, got)),
        _ => (expected != got).then(|| format!("{path}: expected {expected}, got {got}")),
    }
}

/// The difference, or the panic.
fn checked(log: &[u8]) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| difference(log))).unwrap_or_else(|_| Some("panic".to_owned()))
}

/// A smaller log that still differs.
fn shrunk(mut log: Vec<u8>) -> Vec<u8> {
    let mut size = log.len();
    while size > 0 {
        let mut from = 0;
        while from < log.len() {
            let mut shorter = log.clone();
            shorter.drain(from..(from + size).min(log.len()));
            if checked(&shorter).is_some() { log = shorter } else { from += size }
        }
        size /= 2;
    }
    log
}

/// How often each class of error came up, so that random logs which reach nothing would show.
fn classes(log: &[u8], seen: &mut BTreeMap<String, usize>) {
    let log = Log::new(log.to_vec(), LineEnds::Raw);
    for analysis in logspec::ALL.iter().filter_map(|parser| parser.analyse(&log).ok()) {
        for finding in &analysis.findings {
            let class = finding.error_type.to_string();
            *seen.entry(class.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")).or_default() += 1;
        }
    }
}

#[test]
fn both_implementations_agree() {
    let (first, rounds) = (number("KCIDB_LOGSPEC_FIRST", 0), number("KCIDB_LOGSPEC_ROUNDS", 600));
    let (mut failures, mut seen) = (Vec::new(), BTreeMap::new());
    for round in first..first + rounds {
        let log = logs::log(round);
        classes(&log, &mut seen);
        if checked(&log).is_some() && failures.len() < 10 {
            let small = shrunk(log);
            failures.push(format!(
                "log {round}: {:?}\n    {}",
                small.escape_ascii().to_string(),
                checked(&small).unwrap()
            ));
        }
    }
    println!("{rounds} logs, {} classes: {seen:?}", seen.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
