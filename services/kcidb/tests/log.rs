//! `kcidb log` as a command: output, exit codes, packed logs.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A build that failed in `a/b.c`, with a line end of another system and a character of two bytes.
const BUILD: &str =
    "  CC      a/b.o\r\na/b.c:12:3: error: nö x\n    y\nmake[1]: *** [scripts/m:7: a/b.o] Error 1\nmake: *** x\n";

/// A boot that got to a warning, with an escape sequence and a character of two bytes.
const BOOT: &str = "U-Boot\nStarting kernel ...\n\n[    0.0] Linux version 6\n[    1.0] BUG: \u{1b}[2Jbäd at x.c:3\n\
                    [    1.1] Call trace:\n[    1.1]  f+0x1/0x2\n[    1.2] ---[ end trace 0 ]---\n[    2.0] end\n";

fn kcidb(args: &[&str], input: &[u8], folder: &Path) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kcidb"))
        .args(args)
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails before it reads closes its end.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// The standard output of a run that has to end well.
fn stdout(args: &[&str], input: &[u8]) -> String {
    let output = kcidb(args, input, Path::new("."));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {err}");
    assert_eq!(err, "", "{args:?}");
    out
}

/// What a run that has to end with code 1 says.
fn failure(args: &[&str], input: &[u8]) -> String {
    let output = kcidb(args, input, Path::new("."));
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

const NODE: [&str; 8] = ["--findings", "--kind", "build", "--node-id", "lab:1", "--origin", "lab", "-"];

fn findings(log: &[u8]) -> Value {
    let args = [&["log", "parse"][..], &NODE].concat();
    serde_json::from_str(&stdout(&args, log)).unwrap()
}

#[test]
fn parse_prints_the_errors() {
    let out = stdout(&["log", "parse", "-", "--parser", "kbuild"], BUILD.as_bytes());
    let expected = r#"{
    "errors": [
        {
            "error_summary": "nö x",
            "error_type": "kbuild.compiler.error",
            "line_no": "12",
            "position": "3",
            "script": "scripts/m:7",
            "src_file": "a/b.c",
            "target": "a/b.o"
        }
    ]
}
"#;
    assert_eq!(out, expected);
}

#[test]
fn full_has_what_the_default_leaves_out() {
    let full: Value =
        serde_json::from_str(&stdout(&["log", "parse", "-", "--parser", "kbuild", "--full"], BUILD.as_bytes()))
            .unwrap();
    assert_eq!(full["_match_end"], 87);
    assert_eq!(full["errors"][0]["_report"], "a/b.c:12:3: error: nö x\n    y\n");
    assert_eq!(full["errors"][0]["location"], "");
}

#[test]
fn packed_logs_are_read_as_plain_ones() {
    let args = ["log", "parse", "-", "--parser", "kbuild", "--full"];
    let plain = stdout(&args, BUILD.as_bytes());
    assert_eq!(stdout(&args, &gzip(BUILD.as_bytes())), plain);
    assert_eq!(stdout(&args, &zstd::encode_all(BUILD.as_bytes(), 1).unwrap()), plain);
    assert!(failure(&args, &gzip(BUILD.as_bytes())[..30]).contains("damaged"));
    assert!(failure(&args, &gzip(b"a\xff")).contains("not UTF-8 at byte 1"));
}

#[test]
fn what_is_not_utf8_is_refused_or_replaced() {
    let args = ["log", "parse", "-", "--parser", "kbuild", "--lossy"];
    let log = [b"\xff\nmake: *** \xff\xfex".as_slice(), b"\n"].concat();
    assert!(failure(&args[..5], &log).contains("not UTF-8 at byte 0"));
    let errors: Value = serde_json::from_str(&stdout(&args, &log)).unwrap();
    assert_eq!(errors["errors"][0]["error_summary"], "\u{fffd}\u{fffd}x");
}

#[test]
fn places_are_lines_and_bytes_of_the_file() {
    let places: Value = serde_json::from_str(&stdout(&["log", "parse", "-", "--places"], BUILD.as_bytes())).unwrap();
    assert_eq!((&places["parser"], &places["parser_version"]), (&json!("kbuild"), &json!("0.0.1")));
    let place = &places["findings"][0]["place"];
    assert_eq!((&place["first_line"], &place["last_line"]), (&json!(2), &json!(4)));
    let offset = |name: &str| usize::try_from(place["bytes"][name].as_u64().unwrap()).unwrap();
    let bytes = offset("start")..offset("end");
    assert_eq!(&BUILD[bytes], BUILD.split_inclusive('\n').skip(1).take(3).collect::<String>().trim_end());
}

#[test]
fn findings_are_those_of_the_worker() {
    let report = findings(BUILD.as_bytes());
    assert_eq!(report["new_status"], Value::Null);
    let (issue, incident) = (&report["issues"][0], &report["incidents"][0]);
    assert_eq!(issue["comment"], " nö x in a/b.o (a/b.c) [logspec:kbuild,kbuild.compiler.error]");
    assert_eq!(issue["build_valid"], false);
    assert_eq!((&incident["issue_id"], &incident["build_id"]), (&issue["id"], &json!("lab:1")));
}

#[test]
fn findings_keep_line_ends_unless_the_log_was_packed() {
    let log = b"a/b.c:1:2: error: x\r\nmake: *** [s:1: a/b.o] Error 1\r\n";
    let summary = |log: &[u8]| findings(log)["issues"][0]["misc"]["logspec"]["error"]["error_summary"].clone();
    assert_eq!((summary(log), summary(&gzip(log))), (json!("x\r"), json!("x")));
    let args = [&["log", "parse"][..], &NODE].concat();
    assert!(failure(&args, b"").contains("empty log"));
}

#[test]
fn the_parser_is_guessed_only_when_there_is_no_doubt() {
    let guessed = stdout(&["log", "parse", "-"], BUILD.as_bytes());
    assert_eq!(guessed, stdout(&["log", "parse", "-", "--parser", "kbuild"], BUILD.as_bytes()));
    for (args, log) in [(&["log", "parse", "-"][..], "nothing"), (&["log", "parse", "-", "--parser", "nope"], BUILD)] {
        let said = failure(args, log.as_bytes());
        assert!(said.contains("kbuild, generic_linux_boot, test_baseline"), "{said}");
    }
    let list = stdout(&["log", "parse", "--list"], b"");
    assert_eq!(list.lines().count(), 6, "{list}");
}

#[test]
fn explain_shows_lines_state_by_state() {
    let out = stdout(&["log", "explain", "-", "--lines", "3"], BOOT.as_bytes());
    let expected = "parser generic_linux_boot 0.0.1, analyser 1.0.0
signature of the outcome ba9e602132800ee40eaca0982ded5872ff7eb20c

generic_boot, lines 1 to 2: Bootloader stage done, jump to kernel

kernel_load, lines 2 to 9: Linux boot prompt not found

  1. linux.kernel.bug: \u{241b}[2Jbäd at x.c:3
     lines 5 to 7, bytes 54 to 130, signature ";
    assert!(out.starts_with(expected), "{out}");
    let excerpt = "
           5 [    1.0] BUG: \u{241b}[2Jbäd at x.c:3
           6 [    1.1] Call trace:
           7 [    1.1]  f+0x1/0x2
";
    assert!(out.ends_with(excerpt), "{out}");
    assert!(!out.contains('\u{1b}'), "no colours outside a terminal");
}

#[test]
fn explain_shortens_long_reports() {
    let log = format!("a/b.c:1:2: error: x\n{}make: *** [s:1: a/b.o] Error 1\n", "z\n".repeat(50));
    let out = stdout(&["log", "explain", "-"], log.as_bytes());
    assert!(out.contains("\n           8 z\n           … 40 more lines (--lines)\n          49 z\n"), "{out}");
    let many = "Starting kernel ...\n".to_owned() + &"[1] x: failed with error -2\n".repeat(5);
    let out = stdout(&["log", "explain", "-", "--errors", "2"], many.as_bytes());
    assert!(
        out.contains("  2. linux") && !out.contains("  3. linux") && out.ends_with("… and 3 more errors (--errors)\n")
    );
}

#[test]
fn a_log_over_the_limit_is_cut_and_that_is_said() {
    let args = ["log", "parse", "-", "--parser", "kbuild", "--max-size", "10"];
    let output = kcidb(&args, BUILD.as_bytes(), Path::new("."));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\n    \"errors\": []\n}\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("only the first 10 bytes"));
}

/// The recorded runs of the existing analyser's command.
fn recorded() -> Option<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let folder = std::env::var_os("KCIDB_CONFORMANCE").map_or(root, PathBuf::from).join("logspec");
    let Ok(runs) = fs::read(folder.join("expected/cli.json")) else {
        println!("skipped: no conformance data (KCIDB_CONFORMANCE)");
        return None;
    };
    Some((folder, serde_json::from_slice(&runs).unwrap()))
}

/// The arguments for the same with our command; nothing for what ours does in another way (output types, versions,
/// definitions in a file, a parser that is not named).
fn translated<'a>(args: &[&'a str]) -> Option<Vec<&'a str>> {
    let (option, rest): (&[&str], _) = match args {
        ["--json-full", rest @ ..] => (&["--full"], rest),
        ["-o", "json" | "debug", rest @ ..] | rest => (&[], rest),
    };
    match rest {
        [] => Some(vec!["log", "parse"]),
        [log, parser] if !log.starts_with('-') => {
            Some([&["log", "parse", log, "--parser", parser][..], option].concat())
        }
        ["--bogus"] => Some(vec!["log", "parse", "--bogus"]),
        _ => None,
    }
}

#[test]
fn runs_are_those_of_the_existing_command() {
    let Some((folder, record)) = recorded() else { return };
    let logs = tempfile::tempdir().unwrap();
    fs::write(logs.path().join("invalid.log"), b"kernel \xff log\n").unwrap();
    fs::write(logs.path().join("empty.log"), b"").unwrap();
    let mut compared = 0;
    for run in record["runs"].as_array().unwrap() {
        let args: Vec<_> = run["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let Some(translated) = translated(&args) else { continue };
        for log in args.iter().filter(|arg| !logs.path().join(arg).exists()) {
            let Ok(packed) = fs::read(folder.join(format!("logs/{log}.gz"))) else { continue };
            let mut bytes = Vec::new();
            flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
            fs::write(logs.path().join(log), bytes).unwrap();
        }
        let output = kcidb(&translated, b"", logs.path());
        assert_eq!(output.status.code().map(Value::from).as_ref(), Some(&run["exit_code"]), "{args:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), run["stdout"].as_str().unwrap(), "{args:?}");
        compared += 1;
    }
    assert!(compared >= 15, "only {compared} runs");
}
