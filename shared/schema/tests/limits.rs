//! Hostile and huge documents: no crash, no quadratic time, bounded memory.

use schema::{Document, Options, Refusal, Verdict};
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

const VERSION: &str = r#""version":{"major":5,"minor":3}"#;

fn verdict(text: &str) -> Verdict {
    let start = Instant::now();
    let verdict = Verdict::of(text.as_bytes(), &Options::default());
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
    verdict
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let deep = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let rejection = Document::open(deep.as_bytes()).unwrap_err();
    assert_eq!(rejection.code, Refusal::NotJson);
    assert!(rejection.to_string().contains("recursion limit exceeded at line 1 column 128"), "{rejection}");
    // Deep where no contract looks, and where one does.
    for field in ["misc", "comment", "environment", "input_files", "unknown"] {
        let (open, close) = (r#"{"misc":"#.repeat(123), "}".repeat(123));
        let text = format!(
            r#"{{{VERSION},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o","{field}":{open}{{}}{close}}}]}}"#
        );
        assert_eq!(verdict(&text).accepted, matches!(field, "misc" | "environment"), "{field}");
    }
}

#[test]
fn a_document_cut_or_bent_anywhere() {
    let whole = r#"{"version":{"major":5,"minor":3},"\u00e9\\\"é\ud83d\ude00":1,"tests":[{"id":"o:\u00e9\\é","a\\":"\ud83d\ude00"}]}"#;
    for end in 0..whole.len() {
        assert_eq!(Document::open(&whole.as_bytes()[..end]).unwrap_err().code, Refusal::NotJson, "cut at {end}");
        for byte in *b"\"\\{}u\0\xff" {
            let mut bent = whole.as_bytes().to_vec();
            bent[end] = byte;
            let _ = Verdict::of(&bent, &Options::default());
        }
    }
}

#[test]
fn versions_written_in_odd_ways() {
    let space = " ".repeat(100_000);
    for (version, wanted) in [
        (format!(r#"{{"major":5,{space}"minor":3}}"#), Some("5.3")),
        (r#"{"minor":7,"major":5,"min\u006fr":-0}"#.to_owned(), Some("5.0")),
        (format!(r#"{{{}"minor":1}}"#, r#""major":4,"#.repeat(100_000)), Some("4.1")),
        (r#"{"major":5,"minor":-0.0}"#.to_owned(), None),
        (format!(r#""1{space}""#), None),
        (format!(r#"{{"major":5,"minor":3{}}}"#, r#","x":1"#.repeat(100_000)), None),
        (format!("[{space}]"), None),
    ] {
        let verdict = verdict(&format!(r#"{{"version":{version}}}"#));
        assert_eq!(verdict.accepted, wanted.is_some(), "{version:.100} {:?}", verdict.faults);
        if wanted.is_some() {
            assert_eq!(verdict.version.map(|version| version.to_string()).as_deref(), wanted, "{version:.100}");
        }
        assert!(verdict.faults.iter().all(|fault| fault.value.as_ref().is_none_or(|value| value.len() < 600)));
    }
}

#[test]
fn a_million_repeated_and_unknown_names() {
    let repeated = r#""comment":"x","#.repeat(1_000_000);
    let text = format!(r#"{{{VERSION},"tests":[{{{repeated}"id":"o:1","build_id":"o:1","origin":"o"}}]}}"#);
    assert!(verdict(&text).accepted);
    let unknown = (0..300_000).map(|number| format!(r#""f{number}":[],"#)).collect::<Vec<_>>().concat();
    let text = format!(r#"{{{VERSION},"tests":[{{{unknown}"id":"o:1","build_id":"o:1","origin":"o"}}]}}"#);
    let fault = &verdict(&text).faults[0];
    assert_eq!((fault.code, fault.pointer.as_str(), fault.id.as_deref()), ("unknown_field", "/tests/0", Some("o:1")));
    assert!(fault.message.len() < 500, "{}", fault.message);
    let text = format!("{{{unknown}{VERSION}}}");
    assert_eq!(verdict(&text).faults[0].code, "unknown_field");
    let text = format!("{{{}{VERSION}}}", r#""tests":5,"#.repeat(300_000));
    assert_eq!(verdict(&text).faults[0].code, "wrong_type");
    let text = format!(r#"{{{}"tests":[],{VERSION}}}"#, r#""tests":5,"#.repeat(300_000));
    assert!(verdict(&text).accepted);
}

#[test]
fn a_million_tiny_objects_good_and_bad() {
    let good = vec![r#"{"id":"o:1","build_id":"o:1","origin":"o"}"#; 1_000_000].join(",");
    let counts = verdict(&format!(r#"{{{VERSION},"tests":[{good}]}}"#)).counts.unwrap();
    assert_eq!(counts.tests, 1_000_000);
    let bad = verdict(&format!(r#"{{{VERSION},"tests":[{}1]}}"#, "{},".repeat(200_000)));
    assert_eq!((bad.faults.len(), bad.fault_count), (100, 600_001));
}

#[test]
fn texts_are_checked_without_being_decoded() {
    for (comment, accepted) in
        [(r"\\u0000", true), (r"\\\u0000", false), (r"\u0000", false), (r"\n\\\\u0000\n", true), (r"\u00000", false)]
    {
        for filler in [0, 200_000] {
            let long = "é\\n".repeat(filler);
            let text = format!(
                r#"{{{VERSION},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o","comment":"{long}{comment}"}}]}}"#
            );
            assert_eq!(verdict(&text).accepted, accepted, "{comment} after {filler}");
            let objects = Document::open(text.as_bytes()).unwrap().objects(&Options::default());
            assert_eq!(objects.is_ok(), accepted, "{comment} after {filler}");
        }
    }
    // Twelve bytes for a character are the most there can be.
    for (count, accepted) in [(16_384, true), (16_385, false), (50_000, false)] {
        let excerpt = r"\ud83d\ude00".repeat(count);
        let text = format!(
            r#"{{{VERSION},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o","log_excerpt":"{excerpt}"}}]}}"#
        );
        let verdict = verdict(&text);
        assert_eq!(verdict.accepted, accepted, "{count}");
        assert!(
            accepted || verdict.faults[0].message.contains(&format!("has {count} characters")),
            "{:?}",
            verdict.faults
        );
    }
}

#[test]
fn huge_strings() {
    let long = "long \\n".repeat(3_000_000);
    let with = |field: &str| {
        format!(r#"{{{VERSION},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o","{field}":"{long}"}}]}}"#)
    };
    assert!(verdict(&with("comment")).accepted);
    let fault = &verdict(&with("log_excerpt")).faults[0];
    assert_eq!((fault.code, fault.pointer.as_str()), ("too_long", "/tests/0/log_excerpt"));
    assert!(fault.message.contains("18000000 characters") && fault.value.as_ref().unwrap().len() < 300, "{fault}");
    let compatible = format!("{} ", "a,".repeat(1_000_000));
    let text = format!(
        r#"{{{VERSION},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o","environment":{{"compatible":["{compatible}"]}}}}]}}"#
    );
    assert_eq!(verdict(&text).faults[0].code, "bad_compatible");
}

/// Peak memory of this process so far, in bytes.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
}

/// In a process of its own (see `memory`), or the other tests would be measured too.
#[test]
#[ignore = "started by `memory`"]
fn memory_of_a_large_document() {
    let object = r#"{"id":"o:1","build_id":"o:1","origin":"o","misc":{}}"#;
    let mut text = format!(r#"{{{VERSION},"tests":[{object}"#);
    let size = 128 << 20;
    text.reserve_exact(size);
    while text.len() < size {
        text.push(',');
        text.push_str(object);
    }
    text.push_str("]}");
    let before = peak().unwrap();
    let document = Document::open(text.as_bytes()).unwrap();
    let options = Options { threads: 2, ..Options::default() };
    let counts = document.check(&options).unwrap();
    let mut seen = 0;
    document.chunks(&options, 2000, |part| seen += part.counts().total()).unwrap();
    assert_eq!(seen, counts.total());
    let more = peak().unwrap() - before;
    println!("{} objects in {} MiB took {} MiB more", seen, text.len() >> 20, more >> 20);
    assert!(more < 64 << 20, "{} MiB more", more >> 20);
}

/// One object that the judge has to look at, with millions of values far inside of it.
#[test]
#[ignore = "started by `memory`"]
fn memory_of_a_large_object() {
    for (head, filler, tail, faults) in [
        (r#""environment":{"compatible":["a""#, r#","a""#, "]}", 1),
        (r#""environment":{"a":0"#, r#","a":0"#, "}", 2),
        (r#""input_files":[{"name":"a","url":"a:/""#, r#","b":0"#, "}]", 2),
        (r#""input_files":[{"name":"a","url":"a:/"},{"c":0"#, r#","\u0061":[{}]"#, "}]", 4),
        (r#""input_files":[[0"#, ",0", "]]", 2),
        (r#""input_files":{"a":[0"#, ",0", "]}", 2),
    ] {
        let mut text = String::with_capacity(65 << 20);
        write!(text, r#"{{{VERSION},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o","status":7,{head}"#).unwrap();
        while text.len() < 64 << 20 {
            text.push_str(filler);
        }
        text.push_str(tail);
        text.push_str("}]}");
        let before = peak().unwrap();
        let found = verdict(&text).faults;
        let more = peak().unwrap() - before;
        println!("{} MiB of {filler} took {} MiB more", text.len() >> 20, more >> 20);
        assert!(more < 16 << 20, "{filler}: {} MiB more", more >> 20);
        assert_eq!(found.len(), faults, "{filler}: {found:?}");
        if faults == 1 {
            // Without its fault it is an object, and that takes no more.
            let text = text.replacen(r#""status":7,"#, "", 1);
            let before = peak().unwrap();
            let document = Document::open(text.as_bytes()).unwrap();
            let objects = document.objects(&Options::default()).unwrap();
            let more = peak().unwrap() - before;
            let environment = objects.tests[0].environment.as_ref().unwrap();
            assert_eq!(environment.compatible.as_ref().unwrap().iter().count(), text.matches(filler).count() + 1);
            println!("its object took {} MiB more", more >> 20);
            assert!(more < 16 << 20, "{filler}: {} MiB more", more >> 20);
        }
    }
}

#[test]
fn memory() {
    if peak().is_none() {
        println!("skipped: no /proc/self/status to read the peak memory from");
        return;
    }
    for test in ["memory_of_a_large_document", "memory_of_a_large_object"] {
        let program = std::env::current_exe().unwrap();
        let status = std::process::Command::new(program).args(["--ignored", "--exact", test]).status();
        assert!(status.unwrap().success(), "{test}");
    }
}
