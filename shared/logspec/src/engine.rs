//! The machine that runs a parser: states in a row, each on what the last one left of the log (spec section 3).

use std::collections::BTreeMap;

use crate::analysis::{Analysis, GaveUp, Stage};
use crate::budget::Budget;
use crate::finding::{Finding, Value};
use crate::log::{Locator, Log};
use crate::signature::Signature;

/// A parser: its states and what leads from one to the next.
#[derive(Debug)]
pub struct Parser {
    /// Its name, as in the output and in issues.
    pub name: &'static str,
    /// The version of its definition; it changes whenever a result may.
    pub version: &'static str,
    /// What logs it is for.
    pub about: &'static str,
    /// The flag by which the last state shows that the log is of this kind; empty where its errors show it.
    pub(crate) mark: &'static str,
    pub(crate) steps: &'static [Step],
}

/// A state in a parser.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) state: State,
    pub(crate) then: Then,
}

/// A state: its name and what it makes of the text.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) run: for<'t> fn(&'t [u8], &mut Budget) -> Record<'t>,
}

/// Whether the next state follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// This is the last state.
    Stop,
    /// Always.
    Next,
    /// When the state has set this flag.
    If(&'static str),
}

/// What a state says about the text that it was given. Offsets are bytes of that text.
#[derive(Debug, Default)]
pub(crate) struct Record<'t> {
    pub(crate) fields: Vec<(&'static str, Value<'t>)>,
    pub(crate) signature_fields: &'static [&'static str],
    pub(crate) summary: &'static str,
    pub(crate) findings: Vec<Finding<'t>>,
    pub(crate) end: usize,
}

impl Record<'_> {
    fn is_set(&self, flag: &str) -> bool {
        self.fields.iter().any(|(name, value)| *name == flag && *value == Value::Flag(true))
    }
}

/// A field that the parser's signature needs was not set by any state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parser {parser} does not fit this log: nothing in it sets {field}")]
pub struct Unfit {
    /// The parser.
    pub parser: &'static str,
    /// The field.
    pub field: &'static str,
}

impl Parser {
    /// What is wrong in this log. Takes time in proportion to its size, and memory for the findings alone.
    ///
    /// # Errors
    /// The log is not of the kind that the parser is for, so that it cannot say what identifies it (only the Chromebook
    /// parsers, on a log without their boot loader).
    pub fn analyse<'t>(&'static self, log: &'t Log) -> Result<Analysis<'t>, Unfit> {
        let mut analysis = Analysis::new(self);
        let mut budget = Budget::new(log.len());
        let mut offset = 0;
        for step in self.steps {
            let mut record = (step.state.run)(&log.bytes()[offset..], &mut budget);
            let goes_on = match step.then {
                Then::Stop => false,
                Then::Next => true,
                Then::If(flag) => record.is_set(flag),
            };
            for finding in &mut record.findings {
                finding.span = finding.span.start + offset..finding.span.end + offset;
            }
            let start = offset;
            offset += record.end;
            merge(&mut analysis, step.state.name, start..offset, record);
            if budget.is_spent() {
                analysis.give_up(step.state.name, budget.reason());
                break;
            }
            if !goes_on {
                break;
            }
        }
        analysis.match_end = log.code_points(offset);
        analysis.signature = sign(self, &analysis)?;
        locate(&mut analysis, log);
        Ok(analysis)
    }
}

fn merge<'t>(analysis: &mut Analysis<'t>, state: &'static str, span: std::ops::Range<usize>, record: Record<'t>) {
    analysis.fields.extend(record.fields);
    analysis.signature_fields.extend(record.signature_fields);
    if !record.summary.is_empty() {
        analysis.states_summary.push(record.summary);
    }
    let first = analysis.findings.len();
    analysis.findings.extend(record.findings);
    let findings = first..analysis.findings.len();
    analysis.stages.push(Stage { state, summary: record.summary, findings, span });
}

/// The data-level signature: over all signature fields, flags that are false too.
fn sign(parser: &'static Parser, analysis: &Analysis<'_>) -> Result<Option<Signature>, Unfit> {
    let mut members = BTreeMap::new();
    for &field in &analysis.signature_fields {
        let value = analysis.fields.get(field).ok_or(Unfit { parser: parser.name, field })?;
        members.insert(field, value);
    }
    let mut members: Vec<_> = members.into_iter().collect();
    Ok((!members.is_empty()).then(|| Signature::of(&mut members)))
}

fn locate(analysis: &mut Analysis<'_>, log: &Log) {
    if analysis.findings.is_empty() {
        return;
    }
    let mut locator = Locator::new(log);
    for finding in &mut analysis.findings {
        finding.place = locator.place(&finding.span);
    }
    if let Some(GaveUp { place, span, .. }) = &mut analysis.gave_up {
        *place = locator.place(span);
    }
}
