//! A kernel build, up to the line with which make gives up (spec 5.7).

use crate::budget::Budget;
use crate::engine::{Record, State};
use crate::kbuild;

pub(crate) const START: State = State { name: "kbuild_start", run };

fn run<'t>(text: &'t [u8], budget: &mut Budget) -> Record<'t> {
    // What the budget did not suffice for may lack something.
    let found = kbuild::finding(text, budget).filter(|_| !budget.is_spent());
    let end = found.as_ref().map_or(text.len(), |(_, end)| *end);
    Record { findings: found.into_iter().map(|(finding, _)| finding).collect(), end, ..Record::default() }
}
