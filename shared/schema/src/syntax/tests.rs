use super::*;

fn check_in(text: &[u8], size: usize) -> Result<(), String> {
    let mut checker = Checker::new();
    for piece in text.chunks(size.max(1)) {
        checker.feed(piece).map_err(|error| error.to_string())?;
    }
    checker.finish().map_err(|error| error.to_string())
}

/// Texts on which every way to cut and `serde_json` itself must agree, message and position included.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\n\n ",
    "{}",
    "[]",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "12",
    "1.5",
    "1e5",
    "1E+5",
    "-1.25e-7",
    "\"\"",
    "\"a\"",
    " {\"a\" : [ 1 , 2.5 , {} ] }\n",
    "{\"a\":{\"b\":[[],[[]]]}}",
    "nul",
    "nulx",
    "tru\n",
    "falsy",
    "-",
    "-x",
    "01",
    "1.",
    "1.x",
    "1.\n",
    "1e",
    "1e+",
    "1ex",
    "1e+\n",
    "+1",
    ".5",
    "1 2",
    "{} {}",
    "[1,]",
    "[1,",
    "[1",
    "[",
    "[,",
    "[1 2]",
    "{",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{a:1}",
    "{\"a\" 1}",
    "{\"a\":}",
    "{1:2}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1,2}",
    "]",
    "}",
    "[}",
    "{]",
    "\"abc",
    "\"a\\",
    "\"a\\x\"",
    "\"\\u12\"",
    "\"\\u12G4\"",
    "\"\\u1\n23\"",
    "\"\\ud83d\\u\n\n1",
    "\"\\u123\n\"",
    "\"\\u0041\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ud83dx\"",
    "\"\\ud83d\\n\"",
    "\"\\ud83d\\u0041\"",
    "\"\\ude00\"",
    "\"\\u",
    "\"\\ud83d",
    "\"\\ud83d\\",
    "\"a\nb\"",
    "\"a\u{0}b\"",
    "\"\\\n\"",
    "\"é😀ü\"",
    "{\"é\":\"\\u00e9\"}",
    "\u{feff}{}",
    "\u{c}{}",
    "1e400",
    "-1e400",
    "1e308",
    "1.8e308",
    "1e-400",
    "[1e309]",
    "NaN",
    "[\n1,\n2\n}",
    "{\n \"a\":\n  tru }",
    "nullx",
    "\"a\"x",
    "[\"a\"\"b\"]",
    "/*x*/{}",
    "{'a':1}",
    "0.000000000000000000000001e330",
    "17976931348623157e292",
    "17976931348623159e292",
];

#[test]
fn agrees_with_serde_json_however_cut() {
    for text in TEXTS {
        let wanted = serde_json::from_str::<serde_json::Value>(text).map(drop).map_err(|error| error.to_string());
        for size in [1, 2, 3, 7, 8, 1000] {
            assert_eq!(check_in(text.as_bytes(), size), wanted, "{text:?} in pieces of {size}");
        }
    }
}

#[test]
fn depth() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [1, 126, 127, 128, 129, 100_000] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let wanted = serde_json::from_str::<serde_json::Value>(&text).map(drop).map_err(|error| error.to_string());
            assert_eq!(check_in(text.as_bytes(), 4096), wanted, "{depth}");
            assert_eq!(wanted.is_ok(), depth <= 127);
        }
    }
}

#[test]
fn bytes_that_are_not_utf8() {
    for bytes in
        [&b"\"\xff\""[..], b"\"\xc0\x80\"", b"\"\xed\xa0\xbd\"", b"\"\xe9\"", b"\"\xf5\x80\x80\x80\"", b"\"\xe2\x82\""]
    {
        let error = check_in(bytes, 1).unwrap_err();
        assert!(error.starts_with("invalid unicode code point at line 1 column "), "{error}");
    }
    assert!(check_in(b"\xff", 1).unwrap_err().starts_with("expected value"));
}

#[test]
fn numbers_at_the_edge_of_a_double() {
    let nines = "9".repeat(400);
    for text in [
        "9".repeat(308), "9".repeat(309), format!("1{}", "0".repeat(308)), format!("1{}", "0".repeat(309)),
        format!("0.{}1e400", "0".repeat(95)), format!("0.{}1e400", "0".repeat(90)), format!("{nines}e-100"),
        format!("{nines}e-91"), "1e9223372036854775808".to_owned(), "1e-9223372036854775808".to_owned(),
        "0e99999999999999999999".to_owned(), "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880".to_owned(),
    ] {
        let wanted = text.parse::<f64>().is_ok_and(f64::is_finite);
        assert_eq!(check_in(text.as_bytes(), 5).is_ok(), wanted, "{text}");
    }
}

#[test]
fn marks_the_outer_levels_only() {
    let text = br#"{"v": {"a":[1]}, "l":[{"x":{}}, 2]}"#;
    let mut seen = Vec::new();
    let mut checker = Checker::new();
    checker.scan(text, |mark, at, depth| seen.push((mark, at, depth))).unwrap();
    checker.finish().unwrap();
    let starts: Vec<_> =
        seen.iter().filter(|(mark, _, _)| *mark != Mark::End).map(|&(mark, at, depth)| (mark, at, depth)).collect();
    assert_eq!(
        starts,
        [
            (Mark::Start, 0, 0),
            (Mark::Key, 1, 1),
            (Mark::Start, 6, 1),
            (Mark::Start, 11, 2),
            (Mark::Key, 17, 1),
            (Mark::Start, 21, 1),
            (Mark::Start, 22, 2),
            (Mark::Start, 32, 2),
        ]
    );
}
