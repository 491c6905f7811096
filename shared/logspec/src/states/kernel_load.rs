//! The kernel's start, up to the shell's prompt (spec 5.2).

use crate::budget::Budget;
use crate::engine::{Record, State};
use crate::finding::Value;
use crate::kernel;
use crate::scan::{find, line_end, stamp, stamped};

/// Set when a shell asked for a command.
pub(crate) const PROMPT: &str = "linux.boot.prompt";
/// Set when the kernel said anything.
pub(crate) const STARTED: &str = "linux.boot.kernel_started";

pub(crate) const KERNEL_LOAD: State = State { name: "kernel_load", run };
pub(crate) const KERNEL_STAGE2_LOAD: State = State { name: "kernel_stage2_load", run };

const PROMPT_MARK: &str = "/ #";

fn run<'t>(text: &'t [u8], budget: &mut Budget) -> Record<'t> {
    let prompt = find(text, PROMPT_MARK, 0);
    let started = prompt.is_some() || has_started(text);
    let summary = match (prompt, started) {
        (Some(_), _) => "Linux boot prompt found",
        (None, true) => "Linux boot prompt not found",
        (None, false) => "Kernel didn't start",
    };
    // Text without a line end is what is left of the hand-over line: nothing to look for errors in.
    let is_log = prompt.is_some() || text.contains(&b'\n');
    let findings = if is_log { kernel::findings(&text[..prompt.unwrap_or(text.len())], budget) } else { Vec::new() };
    Record {
        fields: vec![(PROMPT, Value::Flag(prompt.is_some())), (STARTED, Value::Flag(started))],
        signature_fields: &[PROMPT, STARTED],
        summary,
        findings,
        end: prompt.map_or(text.len(), |at| at + PROMPT_MARK.len()),
    }
}

/// Whether what follows the first line comes from a kernel.
fn has_started(text: &[u8]) -> bool {
    let Some(rest) = text.get(line_end(text, 0) + 1..) else { return false };
    let first_line = stamp(rest).is_some_and(|end| rest.get(end) == Some(&b' '));
    rest.contains(&b'\n') && (first_line || stamped(rest, "] Linux version ").next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str) -> (bool, bool, &'static str, usize) {
        let record = run(text.as_bytes(), &mut Budget::new(text.len()));
        let flag = |index: usize| record.fields[index].1 == Value::Flag(true);
        (flag(0), flag(1), record.summary, record.end)
    }

    #[test]
    fn prompt_and_start() {
        assert_eq!(state("...\nx / # ls"), (true, true, "Linux boot prompt found", 9));
        assert_eq!(state("...\n[1] a\n"), (false, true, "Linux boot prompt not found", 10));
        assert_eq!(state("...\nx\ny[1] Linux version 6"), (false, true, "Linux boot prompt not found", 26));
        assert_eq!(state("...\nx\n[1] a\n"), (false, false, "Kernel didn't start", 12));
        assert_eq!(state("...\n[1] a"), (false, false, "Kernel didn't start", 9));
        assert_eq!(state("..."), (false, false, "Kernel didn't start", 3));
    }
}
