//! What make itself says (spec 7.1, 7.2, 7.5).

use std::ops::Range;

use memchr::memmem;

use super::{MAKE_FIELDS, linker_lines, quiet};
use crate::budget::Budget;
use crate::chars;
use crate::excerpt::{Excerpt, Lines};
use crate::finding::{Finding, Value};
use crate::scan::{find, line_end, line_start};

/// The line with which make gives up.
pub(super) struct Line {
    /// Where the word `make` is.
    pub(super) start: usize,
    /// Where the message begins.
    pub(super) message: usize,
    /// The end of the line.
    pub(super) end: usize,
}

/// Which rule failed.
#[derive(Clone, Copy)]
pub(super) struct Failure<'t> {
    /// The makefile and line, or the linker's name.
    pub(super) script: &'t [u8],
    /// What was to be made.
    pub(super) target: &'t [u8],
}

impl<'t> Failure<'t> {
    /// The two as fields.
    pub(super) fn fields(self) -> Vec<(&'static str, Value<'t>)> {
        vec![("script", Value::from(self.script)), ("target", Value::from(self.target))]
    }
}

/// The first line with `make` and then `: *** `.
pub(super) fn line(text: &[u8]) -> Option<Line> {
    const SHOUT: &str = ": *** ";
    let mut from = 0;
    while let Some(shout) = find(text, SHOUT, from) {
        let start = from + line_start(&text[from..], shout - from);
        let end = line_end(text, shout);
        let line = &text[start..end];
        if let Some(make) = find(line, "make", 0)
            && let Some(shout) = find(line, SHOUT, make + 4)
        {
            return Some(Line { start: start + make, message: start + shout + SHOUT.len(), end });
        }
        from = end;
    }
    None
}

/// The rule that the message is about: `[script: target] Error`. For a kernel image, what the linker says is more exact.
pub(super) fn failure<'t>(text: &'t [u8], message: &'t [u8]) -> Option<Failure<'t>> {
    let script = find(message, "[", 0)? + 1;
    let colon = find(message, ": ", script)?;
    let target = colon + 2;
    let end = find(message, "] Error", target)?;
    let mut failure = Failure { script: &message[script..colon], target: &message[target..end] };
    if failure.target.ends_with(b"vmlinux") {
        failure = linker_failure(text).unwrap_or(failure);
    }
    (!failure.script.is_empty() || !failure.target.is_empty()).then_some(failure)
}

/// The first line `….ld: target.word: …`; the target goes without its extension.
fn linker_failure(text: &[u8]) -> Option<Failure<'_>> {
    linker_lines(text).find_map(|(body, end)| {
        let target = memmem::find_iter(&text[body..end], ": ").find_map(|colon| {
            let before = &text[body..body + colon];
            let word = chars::word_before(before);
            let target = before[..before.len() - word].strip_suffix(b".")?;
            (word > 0).then_some(target)
        })?;
        let script = &text[line_start(text, body)..body - 2];
        Some(Failure { script, target })
    })
}

/// The class for targets that stand for many: everything that was shouted before (spec 7.5).
pub(super) fn finding<'t>(before: &'t [u8], failure: Failure<'t>, budget: &mut Budget) -> Finding<'t> {
    let shouts = Lines::new(before, 0, shout);
    let mut finding = Finding::new("kbuild.make", budget.join(shouts.iter().map(quiet)));
    finding.report = Excerpt::Lines(shouts);
    finding.fields = failure.fields();
    finding.signature_fields = MAKE_FIELDS.into();
    finding
}

fn shout(text: &[u8], from: usize) -> Option<Range<usize>> {
    let at = find(text, "***", from)?;
    Some(at..line_end(text, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> Option<(String, String)> {
        let line = line(text.as_bytes())?;
        let failure = failure(text.as_bytes(), &text.as_bytes()[line.message..line.end])?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Some((text(failure.script), text(failure.target)))
    }

    #[test]
    fn the_make_line_is_the_first_with_both_words() {
        let line = line(b": *** x\nmake a make: *** b: *** c\n").expect("there is one");
        assert_eq!((line.start, line.message, line.end), (8, 25, 33));
    }

    #[test]
    fn rules() {
        let own = |script: &str, target: &str| Some((script.to_owned(), target.to_owned()));
        assert_eq!(failed("make[1]: *** [a:1: b/c.o] Error 1"), own("a:1", "b/c.o"));
        assert_eq!(failed("make: *** [[a: b] Error] Error 2"), own("[a", "b"));
        assert_eq!(failed("make: *** [: ] Error 2"), None);
        assert_eq!(failed("make: *** No rule"), None);
        let linked = "x.lld: a b: c\nmy-ld: d/e.f.tmp: no\nmake: *** [s: vmlinux] Error 1";
        assert_eq!(failed(linked), own("my-ld", "d/e.f"));
        assert_eq!(failed("make: *** [s: vmlinux] Error 1"), own("s", "vmlinux"));
    }
}
