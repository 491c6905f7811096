//! A file that did not link, as part of a compiler error (spec 7.4, strategy 2b).

use memchr::{memchr, memchr2};

use super::compiler::Message;
use super::linker_lines;
use super::names::{extension, mentions, occurrences};
use super::paths;
use crate::budget::Budget;
use crate::chars;
use crate::text::Text;

const KIND: &[u8] = b"linker_error";

/// What the linker says in a report that has `ld: ` in it.
pub(super) fn message<'t>(report: &'t [u8], target: &[u8], budget: &mut Budget) -> Message<'t> {
    let mut message = Message { kind: Some(KIND), ..Message::default() };
    if let Some(object) = object(report, target, budget) {
        let name = paths::base_name(paths::stem(object));
        if let Some(place) = place(report, name, budget) {
            message.location = place.location;
            message.summary = Text::borrowed(place.summary);
            message.src_file = paths::join(paths::directory(object), place.source).into();
        }
    } else if let Some((start, end)) = linker_lines(report).next() {
        message.summary = Text::borrowed(&report[start..end]);
    }
    message
}

/// The object that the linker complains about: the target with an extension, or whatever it names first when the target is no path.
fn object<'t>(report: &'t [u8], target: &[u8], budget: &mut Budget) -> Option<&'t [u8]> {
    linker_lines(report).find_map(|(start, end)| {
        let line = &report[start..end];
        if !target.contains(&b'/') {
            return memchr(b':', line).map(|colon| &line[..colon]);
        }
        occurrences(line, target, budget).find_map(|at| {
            let name_end = at + target.len();
            Some(&line[at..name_end + extension(&line[name_end..])?])
        })
    })
}

/// `source:location: summary`
struct Place<'t> {
    source: &'t [u8],
    location: &'t [u8],
    summary: &'t [u8],
}

/// The first place in a source file of this name, with an extension.
fn place<'t>(report: &'t [u8], name: &[u8], budget: &mut Budget) -> Option<Place<'t>> {
    let (mention, location) = mentions(report, name, budget).find_map(|mention| {
        let rest = &report[mention.after..];
        let location = memchr2(b':', b' ', rest).filter(|&len| len > 0 && rest[len..].starts_with(b": "))?;
        (mention.name.len() > name.len()).then_some((mention, location))
    })?;
    let (location, summary) = report[mention.after..].split_at(location);
    // Where the line of this one has no end, that of a later one has none either.
    let end = memchr(b'\n', summary)?;
    let summary = chars::trim(&summary[2..end], chars::is_space);
    Some(Place { source: &report[mention.name], location, summary })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(report: &str, target: &str) -> (String, String, String) {
        let message = message(report.as_bytes(), target.as_bytes(), &mut Budget::new(report.len()));
        let location = String::from_utf8_lossy(message.location).into_owned();
        (message.summary.to_string(), message.src_file.to_string(), location)
    }

    #[test]
    fn places() {
        let own =
            |summary: &str, file: &str, location: &str| (summary.to_owned(), file.to_owned(), location.to_owned());
        let report = "ld: d/x.o: in function `f':\nx.c:(.text+0x1): undefined reference \n";
        assert_eq!(said(report, "vmlinux.o"), own("undefined reference", "d/x.c", "(.text+0x1)"));
        assert_eq!(said("ld: a\nld: x/y.z\n", "x/y"), own("", "", ""));
        assert_eq!(said("x\nld.lld: cannot\n q-ld: b\n", "x/y"), own("cannot", "", ""));
        assert_eq!(said("ld: d/x.a(m.o): z\nm.c:1: no\n", "v.o"), own("", "", ""));
    }
}
