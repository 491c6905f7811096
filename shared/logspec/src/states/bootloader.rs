//! The boot loader's work, up to the hand-over to the kernel (spec 5.1, 5.6).

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::budget::Budget;
use crate::chars;
use crate::engine::{Record, State};
use crate::finding::Value;
use crate::scan::stamp_before;

/// Set when the kernel took over.
pub(crate) const DONE: &str = "bootloader.done";

pub(crate) const GENERIC_BOOT: State = State { name: "generic_boot", run: generic_boot };
pub(crate) const STARTED: State = State { name: "chromebook_bootloader_started", run: started };
pub(crate) const STAGE2_STARTED: State = State { name: "chromebook_bootloader_stage2_started", run: started };

/// What may follow the words that announce the kernel.
#[derive(Clone, Copy)]
enum Form {
    /// Three characters on the same line (dots in practice).
    ThreeMore,
    Plain,
    /// The kernel's own first line: a time stamp in front.
    Stamped,
}

const HANDOVERS: [(&str, Form); 4] = [
    ("Starting kernel ", Form::ThreeMore),
    ("jumping to kernel", Form::Plain),
    ("] Booting Linux", Form::Stamped),
    ("Booting from ROM", Form::ThreeMore),
];
/// Chromebooks do not boot from a ROM in this sense.
const CHROMEBOOK: usize = 3;

static ANY: LazyLock<AhoCorasick> = LazyLock::new(|| any(&HANDOVERS));
static ANY_CHROMEBOOK: LazyLock<AhoCorasick> = LazyLock::new(|| any(&HANDOVERS[..CHROMEBOOK]));

fn any(handovers: &[(&str, Form)]) -> AhoCorasick {
    let literals = handovers.iter().map(|(literal, _)| literal);
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals).expect("four short literals")
}

/// The end of the first hand-over. No alternative can lie inside another one, so the first literal that fits is leftmost.
fn handover(text: &[u8], any: &AhoCorasick) -> Option<usize> {
    any.find_iter(text).find_map(|found| {
        let end = found.end();
        match HANDOVERS[found.pattern().as_usize()].1 {
            Form::Plain => Some(end),
            Form::Stamped => stamp_before(text, found.start()).map(|_| end),
            Form::ThreeMore => (0..3).try_fold(end, |at, _| {
                let (c, width) = chars::first(&text[at..])?;
                (c != '\n').then_some(at + width)
            }),
        }
    })
}

fn generic_boot<'t>(text: &'t [u8], _: &mut Budget) -> Record<'t> {
    let end = handover(text, &ANY);
    let summary = match end {
        Some(_) => "Bootloader stage done, jump to kernel",
        None => "Bootloader stage failed, inconclusive or couldn't detect handover to kernel",
    };
    Record { summary, signature_fields: &[DONE], ..handed_over(text, end) }
}

fn started<'t>(text: &'t [u8], _: &mut Budget) -> Record<'t> {
    handed_over(text, handover(text, &ANY_CHROMEBOOK))
}

fn handed_over(text: &[u8], end: Option<usize>) -> Record<'_> {
    Record { fields: vec![(DONE, Value::Flag(end.is_some()))], end: end.unwrap_or(text.len()), ..Record::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hand_over_is_recognised() {
        for (text, end) in [
            ("Starting kernel ...\n", 19),
            ("Starting kernel ..\nx jumping to kernel", 38),
            ("Starting kernel é日!\n", 22),
            ("Booting from ROM...", 19),
            ("Booting from ROM..", 0),
            ("x] Booting Linux [ 0.0] Booting Linux on", 37),
            ("[ 0.0]  Booting Linux", 0),
        ] {
            assert_eq!(handover(text.as_bytes(), &ANY).unwrap_or(0), end, "{text}");
        }
        assert_eq!(handover(b"Booting from ROM...", &ANY_CHROMEBOOK), None);
    }
}
