use super::*;

/// Class, strings that belong to it, strings that do not.
const CASES: &[(&str, &[&str], &[&str])] = &[
    ("Name0", &["", "x86_64", "\n", "a\n"], &["A", "a-b", "é", "a\n\n", "a\r"]),
    ("Name1", &["maestro", "_", "a\n"], &["", "\n", "a.b", " a"]),
    ("Id-2", &["o:", "o:x\ny", "o:\u{0}", "a:b:c"], &[":x", "O:x", "o\n:x", "o", ""]),
    ("Id-4", &["o:", "o:a:b", "o:é", "o:x\n"], &["o:x\ny", "o:x\n\n", "x"]),
    ("Id-5", &["o:", "o:x\ny"], &["o:\u{0}", "é:x", ":"]),
    (
        "Sha1",
        &["0123456789abcdef0123456789abcdef01234567", "0123456789abcdef0123456789abcdef01234567\n"],
        &["", "0123456789ABCDEF0123456789abcdef01234567", "0123456789abcdef0123456789abcdef0123456"],
    ),
    ("PatchHash", &["", "\n"], &["0123456789abcdef", "\n\n"]),
    ("Repo-3", &["git://a", "https://", "git://a\n"], &["http://a", "HTTPS://a", "ssh://a", "git://a\nb", "git://é"]),
    ("Repo-5", &["https://", "https://a/b.git"], &["git://a", "HTTPS://a", "https://a b"]),
    ("NoNul", &["", "\n", "\u{1}"], &["a\u{0}"]),
    ("File-2", &["..", "\n", "a\\b", "\u{0}"], &["", "a/b"]),
    ("File-5", &[".."], &["", "a/b", "\u{0}"]),
    ("Path-1", &["", ".", "a..b", ".a", "a\n"], &["a b", "a/b", "é"]),
    ("Path-5", &["", "\n", "ltp.sem01", "-", "a\n"], &[".", "a.", "a..b", ".a", "a.\n", "a b"]),
    ("Compat-4", &["a,b", ",", "a\nb", "\t", "\u{0}"], &["", "a b"]),
    ("Compat-5", &["a,b"], &["", "a b", "\u{0}", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a "]),
    ("Status", &["FAIL", "MISS", "SKIP"], &["pass", "PASS\n", "", "ABORT"]),
    ("Status-1", &["FAIL", "SKIP"], &["MISS"]),
    ("Prefix", &["metric", "binary"], &["Metric", ""]),
    ("Email", &["@", "a@b"], &["", "a"]),
    (
        "Uri",
        &[
            "https://",
            "https:",
            "x:",
            "mailto:x",
            "javascript:alert(1)",
            "https://a:99999999/",
            "https:///b",
            "https://a\n",
            "a+b-c.d:/x?y?z#/?@:",
            "http://u:p@h:80/",
            "http://@/",
            "http://[::]/",
            "http://[::1]:80",
            "http://[1:2:3:4:5:6:7:8]/",
            "http://[::ffff:192.168.001.001]/",
            "http://[1:2:3:4:5:6:1.2.3.4]",
            "http://[v1F.a:b]/",
            "x:%41%aF",
            "http://[1::]/",
            "http://[1:2:3:4:5:6:7::]/",
            "http://a?b/c@d",
        ],
        &[
            "",
            "a",
            "//a",
            "/b",
            "1:x",
            ":x",
            "https://a/[x]",
            "https://é/",
            "git@host:repo",
            "https://[V1.a]/",
            "x: y",
            "x:%4",
            "x:#a#b",
            "http://[:::]/",
            "http://[1:2:3:4:5:6:7]/",
            "http://[1::2::3]/",
            "http://[1:2:3:4:5:6:7:8::]/",
            "http://[::1%25eth0]/",
            "http://[::1.2.3.256]/",
            "http://[::1.2.3]/",
            "http://[::1",
            "http://[v.a]",
            "http://[v1.]",
            "http://[v1.%41]",
            "http://a:b/",
            "http://[::1]x/",
            "http://a b/",
            "x:\n\n",
            "x:|",
            "http://[1.2.3.4::]/",
            "http://[12345::]",
        ],
    ),
    (
        "DateTime",
        &[
            "2025-07-17T18:05:49Z",
            "2025-07-17t18:05:49z",
            "2025-07-17T18:05:49.1234567890123+00:00",
            "0001-01-01T00:00:00-00:00",
            "2024-02-29T23:59:59+23:59",
            "2000-02-29T00:00:00Z",
            "9999-12-31T23:59:59Z\n",
        ],
        &[
            "",
            "2025-07-17",
            "2025-07-17 18:05:49Z",
            "2025-07-17T18:05:49",
            "2025-07-17T18:05:60Z",
            "2025-07-17T24:00:00Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "2025-04-00T00:00:00Z",
            "2025-04-01T00:00:00.Z",
            "2025-04-01T00:00:00+0000",
            "2025-04-01T00:00:00+24:00",
            "2025-04-01T00:00:00+00:60",
            "2025-04-01T00:00:00Zx",
            "2025-04-01T00:00:00+00:00:00",
            "２025-04-01T00:00:00Z",
            "2025-04-01T00:00:00Z\n\n",
        ],
    ),
];

#[test]
fn examples_of_every_class() {
    for (name, good, bad) in CASES {
        let class = Class::find(name).expect("a class of the table");
        for text in *good {
            assert!((class.holds)(text), "{name} has {text:?}");
        }
        for text in *bad {
            assert!(!(class.holds)(text), "{name} has not {text:?}");
        }
    }
}

#[test]
fn length_is_counted_in_code_points() {
    assert!(excerpt5(&"😀".repeat(16384)));
    assert!(!excerpt5(&"a".repeat(16385)));
    assert!(!excerpt5("a\u{0}"));
    assert!(short("a\u{0}"));
}

#[test]
fn revisions() {
    let (commit, patches) = ("a".repeat(40), "0".repeat(64));
    for (text, holds) in [
        (commit.clone(), true),
        (format!("{commit}+{patches}\n"), true),
        (format!("{commit}+{patches}+{patches}"), false),
        (format!("{commit}+"), false),
        (format!("{commit}\n+{patches}"), false),
    ] {
        assert_eq!(rev(&text), holds, "{text}");
    }
}
