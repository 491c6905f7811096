//! The specification once more: patterns for a regular expression engine, a copy of the text for every slice, no regard for
//! time. Each function follows one section, so that it can be compared with it by eye.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

/// Section 2: a decimal digit, a word character, white space, a time stamp and a clock stamp.
const D: &str = r"[\p{Nd}&&\p{age=15.1}]";
const W: &str = r"[[\p{L}\p{N}_]&&\p{age=15.1}]";
const S: &str = r"[\s\x1c-\x1f]";
const TS: &str = r"\[(?:[ .]|@D)+\]";
const HMS: &str = r"(?:@D{2}:@D{2}:@D{2} *)?";

thread_local!(static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::default());

/// The pattern with its abbreviations spelled out: `@T` time stamp, `@H` clock stamp, `@D`, `@W`, `@S` the classes.
fn pattern(short: &str) -> Regex {
    PATTERNS.with_borrow_mut(|patterns| {
        let compile = || {
            let long = short.replace("@T", TS).replace("@H", HMS).replace("@D", D).replace("@W", W).replace("@S", S);
            Regex::new(&long).unwrap()
        };
        patterns.entry(short.to_owned()).or_insert_with(compile).clone()
    })
}

/// A name from the log as part of a pattern.
fn literal(name: &str) -> String {
    regex::escape(name).replace('@', r"\x40")
}

fn first<'t>(short: &str, text: &'t str) -> Option<Captures<'t>> {
    pattern(short).captures(text)
}

fn group<'t>(captures: &Captures<'t>, index: usize) -> &'t str {
    captures.get(index).map_or("", |found| found.as_str())
}

fn end(captures: &Captures<'_>) -> usize {
    captures.get_match().end()
}

fn start(captures: &Captures<'_>) -> usize {
    captures.get_match().start()
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

type Fields = Map<String, Value>;

/// Section 9: the hash form of JSON.
fn hash_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let members: Vec<_> =
                sorted.into_iter().map(|(name, value)| format!("{}: {}", json!(name), hash_json(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(hash_json).collect::<Vec<_>>().join(", ")),
        scalar => scalar.to_string(),
    }
}

fn sha1(text: &str) -> String {
    Sha1::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value == "" || *value == json!([])
}

fn error_signature(error: &Fields, skip: &[&str]) -> String {
    let mut members = Map::new();
    for name in error["_signature_fields"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        if let Some(value) = error.get(name).filter(|value| !is_empty(value) && !skip.contains(&name)) {
            members.insert(name.to_owned(), value.clone());
        }
    }
    sha1(&hash_json(&Value::Object(members)))
}

/// Section 6.1: the fields that every error has.
fn new_error(error_type: &str, more: Value) -> Fields {
    let base = json!({"error_type": error_type, "error_summary": "", "_report": "",
        "_signature_fields": ["error_type", "error_summary"], "_signature": ""});
    let (Value::Object(mut error), Value::Object(more)) = (base, more) else { panic!("two objects") };
    error.extend(more);
    error
}

fn set(error: &mut Fields, name: &str, value: impl Into<Value>) {
    error.insert(name.to_owned(), value.into());
}

fn add_signature_fields(error: &mut Fields, names: &[&str]) {
    let list = error["_signature_fields"].as_array_mut().unwrap();
    list.extend(names.iter().map(|name| json!(name)));
}

fn add_to(error: &mut Fields, name: &str, more: &str) {
    let value = format!("{}{more}", error[name].as_str().unwrap());
    set(error, name, value);
}

fn signed(mut error: Fields) -> Fields {
    let signature = error_signature(&error, &[]);
    set(&mut error, "_signature", signature);
    error
}

// Section 6: kernel errors.

const HEADING: &str = r"@T (?i-u:call trace:)";
const ENTRY: &str = r"@T  (.*)";
const HARDWARE: &str = r"@T Hardware name: (.*)";

fn entries(short: &str, text: &str) -> Value {
    pattern(short).captures_iter(text).map(|found| json!(group(&found, 1))).collect()
}

fn sorted_words(text: &str) -> Value {
    let mut words: Vec<_> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    json!(words)
}

/// The class of a start marker, and the marker's start and end.
fn dispatch(text: &str, with_cut_here: bool) -> Option<(usize, usize, usize)> {
    const FIVE: &str = concat!(
        r"(@T Unable to handle kernel NULL pointer dereference)|(@T (?:kernel )?BUG)|(@T UBSAN:)|(@T Kernel panic)",
        r"|(@T .*?error -@D+)"
    );
    let found =
        if with_cut_here { first(&format!(r"{FIVE}|(@T -+\[ cut here \].*)"), text) } else { first(FIVE, text) }?;
    let class = (1..found.len()).find(|&index| found.get(index).is_some()).unwrap();
    Some((class, start(&found), end(&found)))
}

/// Runs the class on what begins with its marker: the error and the length that it took.
fn run_class(class: usize, text: &str) -> Option<(Fields, usize)> {
    let (error, len) = match class {
        1 => null_pointer(text)?,
        2 => bug(text)?,
        3 => ubsan(text)?,
        4 => panic(text),
        5 => return_code(text)?,
        _ => generic(text)?,
    };
    Some((signed(error), len))
}

/// One round: the error, if any, and where the next one goes on.
fn detect(text: &str) -> Option<(Option<Fields>, usize)> {
    let (class, at, marker_end) = dispatch(text, true)?;
    let outcome = |class: usize, text: &str, at: usize, marker_end: usize| match run_class(class, &text[at..]) {
        Some((error, len)) => (Some(error), at + len),
        None => (None, marker_end),
    };
    if class == 6
        && let Some(mark) = first(r"@T -+\[ end trace", &text[marker_end..])
    {
        let block = &text[marker_end..marker_end + end(&mark)];
        if let Some((class, at, inner_end)) = dispatch(block, false) {
            return Some((outcome(class, block, at, inner_end).0, marker_end + end(&mark)));
        }
    }
    Some(outcome(class, text, at, marker_end))
}

fn kernel_errors(text: &str) -> Vec<Fields> {
    let (mut errors, mut from) = (Vec::new(), 0);
    while let Some((error, end)) = detect(&text[from..]) {
        errors.extend(error);
        from += end;
    }
    errors
}

/// Section 6.2.
fn null_pointer(text: &str) -> Option<(Fields, usize)> {
    let mut error = new_error(
        "linux.kernel.null_pointer_dereference",
        json!({"hardware": null, "address": null, "call_trace": []}),
    );
    let len = start(&first(r"@T ---\[ end trace", text)?);
    let text = &text[..len];
    set(&mut error, "_report", text);
    set(&mut error, "error_summary", "NULL pointer dereference");
    let mut e = 0;
    if let Some(found) = first(r"at virtual address (.*)", text) {
        set(&mut error, "address", group(&found, 1));
        add_to(&mut error, "error_summary", &format!(" at virtual address {}", group(&found, 1)));
        e = end(&found);
    }
    if let Some(found) = first(HARDWARE, &text[e..]) {
        set(&mut error, "hardware", group(&found, 1));
        let points = text[e..][..end(&found)].chars().count();
        e = text.char_indices().nth(points).map_or(text.len(), |(at, _)| at);
    }
    if let Some(found) = first(HEADING, &text[e..]) {
        e += end(&found);
        set(&mut error, "call_trace", entries(ENTRY, &text[e..]));
    }
    add_signature_fields(&mut error, &["address", "call_trace"]);
    Some((error, len))
}

/// Section 6.3.
fn bug(text: &str) -> Option<(Fields, usize)> {
    let mut error = new_error("linux.kernel.bug", json!({"hardware": null, "call_trace": []}));
    let mark = first(r"@T ---\[ end trace", text).map(|found| start(&found));
    let text = mark.map_or(text, |mark| &text[..mark]);
    if mark.is_some() {
        set(&mut error, "_report", text);
    }
    let mut e = 0;
    if let Some(found) = first(r"@T kernel BUG at (.*)!", text) {
        e += end(&found);
        set(&mut error, "location", group(&found, 1));
        set(&mut error, "error_summary", format!("kernel BUG at {}", group(&found, 1)));
    } else if let Some(found) = first(r"@T BUG: (.*)", text) {
        e += end(&found);
        let message = group(&found, 1);
        let known = ["spinlock bad magic", "scheduling while atomic", "workqueue lockup"];
        if let Some((_, location)) = message.split_once(" at ") {
            set(&mut error, "location", location);
            set(&mut error, "error_summary", message);
        } else {
            let known = known.into_iter().find(|known| message.contains(known));
            set(&mut error, "error_summary", known.unwrap_or(message));
        }
    }
    if let Some(found) = first(HARDWARE, &text[e..]) {
        set(&mut error, "hardware", group(&found, 1));
        e += end(&found);
    }
    let mut modules_at = 0;
    if let Some(found) = first(r"@T Modules linked in: *(.*)", &text[e..]) {
        set(&mut error, "modules", sorted_words(group(&found, 1)));
        modules_at = e + start(&found);
        e += end(&found);
    }
    let strict = r"@T  ([^\s\x1c-\x1f].*)";
    if let Some(found) = first(HEADING, &text[..modules_at]) {
        set(&mut error, "call_trace", entries(strict, &text[end(&found)..modules_at]));
    } else if let Some(found) = first(HEADING, &text[e..]) {
        set(&mut error, "call_trace", entries(strict, &text[e + end(&found)..]));
    }
    Some((error, mark.or((e > 0).then_some(e))?))
}

/// Section 6.4.
fn ubsan(text: &str) -> Option<(Fields, usize)> {
    let mut error = new_error("linux.kernel.ubsan", json!({"location": null, "hardware": null}));
    let len = start(&first(r"-+\[ end trace|={80}", text)?);
    let text = &text[..len];
    set(&mut error, "_report", text);
    let mut e = 0;
    if let Some(found) = first(r"@T UBSAN: (.*?) in (.*)", text) {
        set(&mut error, "error_summary", group(&found, 1));
        set(&mut error, "location", group(&found, 2));
        e = end(&found);
    }
    e = (e + 1).min(text.len());
    if let Some(found) = first(r"(?m)^@T ([^:\n]*)\n", &text[e..]) {
        add_to(&mut error, "error_summary", &format!(": {}", group(&found, 1)));
        e += end(&found);
    }
    if let Some(found) = first(HARDWARE, &text[e..]) {
        set(&mut error, "hardware", group(&found, 1));
    }
    add_signature_fields(&mut error, &["location"]);
    Some((error, len))
}

/// Section 6.5.
fn panic(text: &str) -> (Fields, usize) {
    let mut error = new_error("linux.kernel.panic", json!({"hardware": null, "call_trace": []}));
    let stamped = |line: &&str| first("^@T", line).is_some();
    let text = match first(r"@T ---\[ end Kernel panic", text) {
        Some(found) => text[..start(&found)].to_owned(),
        None => text.split('\n').take_while(stamped).collect::<Vec<_>>().join("\n"),
    };
    set(&mut error, "_report", &text[..]);
    let mut e = 0;
    if let Some(found) = first(r"@T Kernel panic .*?: (.*)", &text) {
        set(&mut error, "error_summary", group(&found, 1));
        e = end(&found);
    }
    if let Some(found) = first(HARDWARE, &text[e..]) {
        set(&mut error, "hardware", group(&found, 1));
        e += end(&found);
    }
    if let Some(found) = first(HEADING, &text[e..]) {
        set(&mut error, "call_trace", entries(ENTRY, &text[e + end(&found)..]));
    }
    (error, text.len())
}

/// Section 6.6.
fn return_code(text: &str) -> Option<(Fields, usize)> {
    let mut error = new_error("linux.kernel.error_return_code", json!({}));
    let found = first(r".*?: (.*error -@D+)", text)?;
    set(&mut error, "error_summary", group(&found, 1));
    set(&mut error, "_report", &text[..end(&found)]);
    Some((error, end(&found)))
}

/// Section 6.7.
fn generic(whole: &str) -> Option<(Fields, usize)> {
    let mut error =
        new_error("linux.kernel", json!({"hardware": null, "location": null, "call_trace": [], "modules": []}));
    let text = whole.split_once('\n').map_or(whole, |(_, rest)| rest);
    let dropped = whole.len() - text.len();
    let mark = start(&first(r"@T -+\[ end trace", text)?);
    let text = &text[..mark];
    set(&mut error, "_report", text);
    let mut e = 0;
    if let Some(found) = first(r"@T.*?([A-Z]+):.*? at (.*)", text) {
        let (kind, location) = (group(&found, 1), group(&found, 2));
        e += end(&found);
        set(&mut error, "location", location);
        add_to(&mut error, "error_type", &format!(".{}", kind.to_lowercase()));
        set(&mut error, "error_summary", format!("{kind} at {location}"));
    }
    if let Some(found) = first(r"@T Modules linked in: (.*)", &text[e..]) {
        set(&mut error, "modules", sorted_words(group(&found, 1)));
        e += end(&found);
    }
    if let Some(found) = first(HARDWARE, &text[e..]) {
        set(&mut error, "hardware", group(&found, 1));
        e += end(&found);
    }
    if let Some(found) = first(HEADING, &text[e..]) {
        e += end(&found);
        set(&mut error, "call_trace", entries(ENTRY, &text[e..]));
    }
    add_signature_fields(&mut error, &["location"]);
    Some((error, dropped + mark))
}

// Section 7: kbuild errors.

/// The path without its extension, and the extension.
fn split_extension(path: &str) -> (&str, &str) {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let dots = path[name..].len() - path[name..].trim_start_matches('.').len();
    match path[name + dots..].rfind('.') {
        Some(dot) => path.split_at(name + dots + dot),
        None => (path, ""),
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn directory(path: &str) -> &str {
    let head = &path[..path.len() - base_name(path).len()];
    let trimmed = head.trim_end_matches('/');
    if trimmed.is_empty() { head } else { trimmed }
}

fn join(directory: &str, name: &str) -> String {
    if name.starts_with('/') || directory.is_empty() {
        return name.to_owned();
    }
    if directory.ends_with('/') { format!("{directory}{name}") } else { format!("{directory}/{name}") }
}

fn kbuild_error(log: &str) -> Option<(Fields, usize)> {
    let make = first(r"make.*?: \*\*\* (.*)", log)?;
    let (before, message) = (&log[..start(&make)], group(&make, 1));
    let failure = first(r"\[(.*?): (.*?)\] Error", message);
    let (mut script, mut target) = failure.as_ref().map_or(("", ""), |found| (group(found, 1), group(found, 2)));
    if target.ends_with("vmlinux")
        && let Some(found) = first(r"(.*?ld): (.*?)\.@W+: .*", log)
    {
        (script, target) = (group(&found, 1), group(&found, 2));
    }
    let line_end = end(&make);
    if script.is_empty() && target.is_empty() {
        let mut error = new_error("kbuild.unknown", json!({}));
        set(&mut error, "error_summary", message);
        set(&mut error, "_report", message);
        return Some((error, line_end));
    }
    let (stem, extension) = split_extension(target);
    let named = format!(r"{}(?:\.@W+)?:", literal(base_name(stem)));
    let error = if extension == ".o" || extension == ".s" || first(&named, before).is_some() {
        compiler(before, script, target)
    } else if script.contains("modpost") {
        modpost(before, script, target)
    } else if target == "modules" || target == "Module.symvers" {
        make_process(before, script, target)
    } else {
        other(before, script, target)
    };
    Some((signed(error), line_end))
}

/// Section 7.4.
fn compiler(before: &str, script: &str, target: &str) -> Fields {
    let mut error = new_error(
        "kbuild.compiler",
        json!({"script": script, "target": target, "src_file": "", "location": "", "line_no": "", "position": "",
            "_add_signature_loc": true}),
    );
    let (stem, _) = split_extension(target);
    let one_line = format!(r"(?m)^.*?({}.*?):(@D+):(@D+): (.*?): (.*?)\n", literal(stem));
    if let Some(found) = first(&one_line, before) {
        set(&mut error, "_report", &before[start(&found)..]);
        add_to(&mut error, "error_type", &format!(".{}", group(&found, 4)));
        for (name, index) in [("src_file", 1), ("line_no", 2), ("position", 3), ("error_summary", 5)] {
            set(&mut error, name, group(&found, index));
        }
    } else {
        // Where the last line with the stem begins.
        let mut at = 0;
        let mut last = 0;
        for line in before.split('\n') {
            if line.contains(stem) {
                last = at;
            }
            at += line.len() + 1;
        }
        if last > 0 {
            let report = &before[last..];
            set(&mut error, "_report", report);
            if !compiler_message(&mut error, report, target, stem) {
                linker_message(&mut error, report, target);
            }
        }
    }
    add_signature_fields(&mut error, &["src_file", "target"]);
    for name in ["location", "line_no", "position"] {
        if error[name] != "" {
            add_signature_fields(&mut error, &[name]);
        }
    }
    let signature_loc = error_signature(&error, &["error_summary", "position"]);
    set(&mut error, "_signature_loc", signature_loc);
    error
}

/// Strategy 2 (a).
fn compiler_message(error: &mut Fields, report: &str, target: &str, stem: &str) -> bool {
    if report.contains("ld: ") {
        return false;
    }
    if let Some(found) = first(r"@H(.*?(error|warning): .*?\n)", report) {
        add_to(error, "error_type", &format!(".{}", group(&found, 2)));
        set(error, "error_summary", strip(group(&found, 1)));
    }
    let named = |name: &str| first(&format!(r"({}(?:\.@W+)?):(@D+)", literal(name)), report);
    if let Some(found) = named(stem) {
        set(error, "src_file", group(&found, 1));
        set(error, "location", group(&found, 2));
        return true;
    }
    if let Some(found) = named(base_name(stem)) {
        set(error, "src_file", join(directory(target), group(&found, 1)));
        set(error, "location", group(&found, 2));
        return true;
    }
    false
}

/// Strategy 2 (b).
fn linker_message(error: &mut Fields, report: &str, target: &str) {
    let object = if target.contains('/') {
        first(&format!(r"ld: .*?({}\.@W+)", literal(target)), report)
    } else {
        first(r"ld: (.*?):", report)
    };
    if let Some(found) = object {
        add_to(error, "error_type", ".linker_error");
        let object = group(&found, 1);
        let name = literal(base_name(split_extension(object).0));
        if let Some(found) = first(&format!(r"@H({name}\.@W+):([^: ]+): (.*?)\n"), report) {
            set(error, "location", group(&found, 2));
            set(error, "src_file", join(directory(object), group(&found, 1)));
            set(error, "error_summary", strip(group(&found, 3)));
        }
    } else if let Some(found) = first(r"ld: (.*)", report) {
        add_to(error, "error_type", ".linker_error");
        set(error, "error_summary", group(&found, 1));
    }
}

fn make_error(error_type: &str, script: &str, target: &str) -> Fields {
    let mut error = new_error(error_type, json!({"script": script, "target": target}));
    add_signature_fields(&mut error, &["script", "target"]);
    error
}

fn whole_lines(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn quiet(text: &str) -> &str {
    text.trim_matches(['*', '\n', ' '])
}

/// Section 7.5.
fn make_process(before: &str, script: &str, target: &str) -> Fields {
    let mut error = make_error("kbuild.make", script, target);
    let pattern = pattern(r"\*\*\*.*");
    let runs: Vec<_> = pattern.find_iter(before).map(|run| run.as_str()).collect();
    set(&mut error, "_report", whole_lines(&runs));
    let parts: Vec<_> = runs.iter().map(|run| quiet(run)).filter(|part| !part.is_empty()).collect();
    set(&mut error, "error_summary", parts.join(" "));
    error
}

/// Section 7.6.
fn modpost(before: &str, script: &str, target: &str) -> Fields {
    let mut error = make_error("kbuild.modpost", script, target);
    let pattern = pattern(r"@H(?:ERROR|FATAL): modpost: (.*)");
    let found: Vec<_> = pattern.captures_iter(before).collect();
    set(&mut error, "_report", whole_lines(&found.iter().map(|found| group(found, 0)).collect::<Vec<_>>()));
    set(&mut error, "error_summary", found.iter().map(|found| group(found, 1)).collect::<Vec<_>>().join(" "));
    error
}

/// Section 7.7.
fn other(before: &str, script: &str, target: &str) -> Fields {
    let mut error = make_error("kbuild.other", script, target);
    let Some((_, after)) = before.split_once(target).filter(|_| !target.is_empty()) else { return error };
    let (mut report, mut parts) = (String::new(), Vec::new());
    for line in after.split('\n').filter(|line| line.chars().next().is_some_and(|c| !is_space(c))) {
        report = format!("{report}{line}\n");
        if line.starts_with("***") {
            parts.push(quiet(line));
        } else if line.contains("error:") {
            parts.push(&line[first("^@H", line).map_or(0, |found| end(&found))..]);
        }
    }
    parts.retain(|part| !part.is_empty());
    set(&mut error, "_report", report);
    set(&mut error, "error_summary", parts.join(" "));
    error
}

// Section 5: states.

/// What a state says.
#[derive(Default)]
struct Record {
    fields: Fields,
    signature_fields: &'static [&'static str],
    summary: &'static str,
    errors: Vec<Fields>,
    end: usize,
}

fn object(value: Value) -> Fields {
    let Value::Object(fields) = value else { panic!("an object") };
    fields
}

/// Sections 5.1 and 5.6.
fn boot_loader(log: &str, generic: bool) -> Record {
    let chromebook = r"Starting kernel .{3}|jumping to kernel|@T Booting Linux";
    let any = r"Starting kernel .{3}|jumping to kernel|Booting from ROM.{3}|@T Booting Linux";
    let found = first(if generic { any } else { chromebook }, log);
    let summary = match (&found, generic) {
        (_, false) => "",
        (Some(_), _) => "Bootloader stage done, jump to kernel",
        (None, _) => "Bootloader stage failed, inconclusive or couldn't detect handover to kernel",
    };
    Record {
        fields: object(json!({"bootloader.done": found.is_some()})),
        signature_fields: if generic { &["bootloader.done"] } else { &[] },
        summary,
        errors: Vec::new(),
        end: found.map_or(log.len(), |found| end(&found)),
    }
}

/// Section 5.2, with 14.1 for text without a line end.
fn kernel_load(log: &str) -> Record {
    let prompt = log.find("/ #");
    let rest = log.split_once('\n').map(|(_, rest)| rest);
    let has_started = |rest: &str| {
        let first_line = rest.split_once('\n').map(|(line, _)| line);
        first_line.is_some_and(|line| first("^@T ", line).is_some() || first("@T Linux version ", rest).is_some())
    };
    let started = prompt.is_some() || rest.is_some_and(has_started);
    let text = match (prompt, rest) {
        (Some(prompt), _) => &log[..prompt],
        (None, Some(_)) => log,
        (None, None) => "",
    };
    Record {
        fields: object(json!({"linux.boot.prompt": prompt.is_some(), "linux.boot.kernel_started": started})),
        signature_fields: &["linux.boot.prompt", "linux.boot.kernel_started"],
        summary: match (prompt, started) {
            (Some(_), _) => "Linux boot prompt found",
            (None, true) => "Linux boot prompt not found",
            (None, false) => "Kernel didn't start",
        },
        errors: kernel_errors(text),
        end: prompt.map_or(log.len(), |prompt| prompt + 3),
    }
}

/// Section 5.3.
fn test_baseline(log: &str) -> Record {
    let tag = r"/opt/kernelci/dmesg.sh";
    let mut record = Record { signature_fields: &["test.baseline.start"], end: log.len(), ..Record::default() };
    let found = first(tag, log).map(|found| end(&found));
    record.fields = object(json!({"test.baseline.start": found.is_some()}));
    record.summary = if found.is_some() { "Baseline test started" } else { "Baseline test not detected" };
    let Some(from) = found else { return record };
    if let Some(second) = first(tag, &log[from..]) {
        record.end = from + end(&second);
    }
    for message in pattern(r"kern  :(.*)").captures_iter(&log[from..record.end]) {
        let error = new_error("test.baseline.dmesg", json!({"error_summary": group(&message, 1)}));
        record.errors.push(signed(error));
    }
    record
}

/// Section 5.4.
fn test_kselftest(log: &str) -> Record {
    let signature_fields: &[&str] = &["test.kselftest.script_call", "test.kselftest.start"];
    let mut record = Record { signature_fields, end: log.len(), ..Record::default() };
    let fields = |called: bool, start: bool| {
        object(json!({"test.kselftest.script_call": called, "test.kselftest.start": start}))
    };
    let Some(tag) = first(r"kselftest.sh", log).map(|found| end(&found)) else {
        record.fields = fields(false, false);
        record.summary = "Kselftest not detected";
        return record;
    };
    record.summary = "Kselftest started";
    let last = pattern(r"(?:not )?ok @D+ selftests:").find_iter(&log[tag..]).last().map(|found| tag + found.end());
    record.fields = fields(true, last.is_some());
    record.end = last.unwrap_or(log.len());
    let text = &log[tag..record.end];
    let mut reported = 0;
    for found in pattern(r"not ok @D+ selftests:.*").find_iter(text) {
        let more = json!({"error_summary": found.as_str(), "_report": &text[reported..found.end()]});
        record.errors.push(signed(new_error("linux.kselftest", more)));
        reported = found.end();
    }
    record
}

/// Section 5.5.
fn chromebook_boot(log: &str) -> Record {
    let found = log.find("Starting depthcharge");
    let mut fields = object(json!({"bootloader.start": found.is_some()}));
    if found.is_some() {
        set(&mut fields, "bootloader.id", "depthcharge");
    }
    Record {
        fields,
        signature_fields: &["bootloader.start", "bootloader.id"],
        summary: if found.is_some() { "Depthcharge started" } else { "Depthcharge start not found" },
        errors: Vec::new(),
        end: found.map_or(log.len(), |at| at + "Starting depthcharge".len()),
    }
}

/// Section 5.7.
fn kbuild_start(log: &str) -> Record {
    let found = kbuild_error(log);
    let end = found.as_ref().map_or(log.len(), |(_, end)| *end);
    Record { errors: found.into_iter().map(|(error, _)| error).collect(), end, ..Record::default() }
}

type State = fn(&str) -> Record;

/// Section 4: each state with the flag that has to be set to go on (`""`: always).
fn states(parser: &str) -> Vec<(State, &'static str)> {
    let (done, prompt) = ("bootloader.done", "linux.boot.prompt");
    let generic_boot: State = |log| boot_loader(log, true);
    let depthcharge: State = |log| boot_loader(log, false);
    match parser {
        "kbuild" => vec![(kbuild_start, "")],
        "generic_linux_boot" => vec![(generic_boot, done), (kernel_load, "")],
        "test_baseline" => vec![(generic_boot, done), (kernel_load, prompt), (test_baseline, "")],
        "test_kselftest" => vec![(generic_boot, done), (kernel_load, prompt), (test_kselftest, "")],
        "chromebook_single_boot" => vec![(chromebook_boot, ""), (depthcharge, done), (kernel_load, "")],
        "chromebook_2stage_boot" => vec![
            (chromebook_boot, ""),
            (depthcharge, done),
            (kernel_load, prompt),
            (chromebook_boot, ""),
            (depthcharge, done),
            (kernel_load, ""),
        ],
        other => panic!("no parser {other}"),
    }
}

/// Section 3: the full form of the result, or nothing when a field of the data-level signature is missing.
pub(crate) fn analyse(parser: &str, log: &str) -> Option<Value> {
    let mut result = Fields::new();
    let (mut errors, mut summaries, mut names): (_, _, Vec<&str>) = (Vec::new(), Vec::new(), Vec::new());
    let mut offset = 0;
    for (state, condition) in states(parser) {
        let record = state(&log[offset..]);
        let goes_on = condition.is_empty() || record.fields[condition] == true;
        errors.extend(record.errors.into_iter().map(Value::Object));
        summaries.extend(Some(record.summary).filter(|summary| !summary.is_empty()));
        names.extend(record.signature_fields.iter().copied());
        result.extend(record.fields);
        offset += record.end;
        if !goes_on {
            break;
        }
    }
    let mut members = Fields::new();
    for name in &names {
        set(&mut members, name, result.get(*name)?.clone());
    }
    let signature = if names.is_empty() { Value::Null } else { sha1(&hash_json(&Value::Object(members))).into() };
    set(&mut result, "_signature", signature);
    set(&mut result, "_signature_fields", names);
    set(&mut result, "_states_summary", summaries);
    set(&mut result, "_match_end", log[..offset].chars().count());
    set(&mut result, "errors", errors);
    Some(Value::Object(result))
}

/// Section 10: the default form of a full one.
pub(crate) fn default_form(full: &Value) -> Value {
    let shown = |name: &str| !name.starts_with('_');
    let mut result = full.as_object().unwrap().clone();
    result.retain(|name, _| shown(name));
    for error in result["errors"].as_array_mut().unwrap() {
        error.as_object_mut().unwrap().retain(|name, value| shown(name) && *value != "");
    }
    Value::Object(result)
}

/// Section 12, with a known issue or none.
pub(crate) fn worker(kind: &str, id: &str, origin: &str, full: &Value, known: Option<(&str, i64)>) -> Value {
    let (parser, extra, id_field): (_, (&str, Value), _) = match kind {
        "build" => ("kbuild", ("build_valid", json!(false)), "build_id"),
        "boot" => ("generic_linux_boot", ("test_status", json!("FAIL")), "test_id"),
        _ => ("test_kselftest", ("test_status", json!("FAIL")), "test_id"),
    };
    let (special, new_status) = if kind == "boot" { boot_record(full) } else { (None, Value::Null) };
    let records = full["errors"].as_array().unwrap().iter().map(error_record);
    let (mut issues, mut incidents): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for mut error in special.into_iter().chain(records) {
        let signature = error.remove("signature").unwrap();
        let error_type = error["error_type"].as_str().unwrap().to_owned();
        if signature == "" || error_type == "linux.kernel.error_return_code" {
            continue;
        }
        let (issue, version) = match known.filter(|_| kind == "build") {
            Some((issue, version)) => (issue.to_owned(), version),
            None => (format!("{origin}:{}", signature.as_str().unwrap()), 1),
        };
        let comment = comment(&error, parser, &error_type);
        let misc = json!({"logspec": {"version": "1.0.0", "parser": parser, "error": error}});
        let mut row =
            object(json!({"id": issue, "version": version, "comment": comment, "misc": misc, "origin": origin,
            "culprit": {"code": true, "harness": false, "tool": false}}));
        set(&mut row, extra.0, extra.1.clone());
        let digest = sha1(&hash_json(&json!([id, issue, version])));
        let mut incident =
            object(json!({"id": format!("{origin}:{digest}"), "issue_id": issue, "issue_version": version,
            "comment": "test incident, automatically generated", "origin": origin, "present": true}));
        set(&mut incident, id_field, id);
        incidents.push(Value::Object(incident));
        match issues.iter_mut().find(|other| other["id"] == issue.as_str()) {
            Some(other) => *other = Value::Object(row),
            None => issues.push(Value::Object(row)),
        }
    }
    json!({"new_status": new_status, "issues": issues, "incidents": incidents})
}

/// Section 12.3: the special record of boots.
fn boot_record(full: &Value) -> (Option<Fields>, Value) {
    let record = |summary: &str| {
        object(json!({"error_type": "linux.kernel.boot", "error_summary": summary, "signature": full["_signature"],
            "log_excerpt": "", "signature_fields": full["_signature_fields"]}))
    };
    if full["linux.boot.prompt"] == true {
        (Some(record("WARNING: Unclean boot. Reached prompt but marked as failed.")), "PASS".into())
    } else if full["bootloader.done"] != true || full["linux.boot.kernel_started"] != true {
        (Some(record("Bootloader did not finish or kernel did not start.")), "MISS".into())
    } else {
        (None, Value::Null)
    }
}

/// Section 12.3: any other record.
fn error_record(error: &Value) -> Fields {
    let error = error.as_object().unwrap();
    let mut record = error.clone();
    record.retain(|name, value| !name.starts_with('_') && !is_empty(value));
    set(&mut record, "signature", error["_signature"].clone());
    set(&mut record, "signature_loc", error.get("_signature_loc").unwrap_or(&error["_signature"]).clone());
    set(&mut record, "log_excerpt", error["_report"].clone());
    let names = error["_signature_fields"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let fields: Fields = names.map(|name| (name.to_owned(), error[name].clone())).collect();
    set(&mut record, "signature_fields", fields);
    record
}

/// Section 12.4: the comment.
fn comment(error: &Fields, parser: &str, error_type: &str) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let mut comment = text("error_summary").map_or(String::new(), |summary| format!(" {summary}"));
    if let Some(target) = text("target") {
        comment = format!("{comment} in {target}");
        if let Some(file) = text("src_file").or(text("script")) {
            comment = format!("{comment} ({file})");
        }
    }
    format!("{comment} [logspec:{parser},{error_type}]")
}
