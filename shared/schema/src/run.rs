//! Judging, converting and upgrading a whole document.
//!
//! A document is *valid* when it holds to the schema of its version, and *accepted* when it can be upgraded as well.
//! Faults against the schema hide those of the later gates.

use crate::{
    code,
    contract::Contract,
    document::{Document, Segment},
    fault::{Fault, Faults, Refusal, Rejection},
    judge,
    lane::{Lane, Part, Want},
    names::TreeNames,
    object::{Counts, Objects},
    options::Options,
    upgrade::{self, List},
    upgraded::Upgraded,
};
use serde_json::{Map, Value};
use std::thread;

/// Documents shorter than this are not worth a second thread, in bytes.
const WORTH_THREADS: usize = 2 << 20;

impl<'a> Document<'a> {
    /// Says whether the document is accepted, and how many objects it has after the upgrade. Keeps nothing. Lab names are
    /// not looked at.
    ///
    /// # Errors
    /// It is not: with what is wrong, and at which gate.
    pub fn check(&self, options: &Options) -> Result<Counts, Rejection> {
        self.run(options, Want::Verdict, drop)
    }

    /// All objects: validated, upgraded, with standard names of trees and labs.
    ///
    /// # Errors
    /// The document is not accepted, or a lab name in it is not a string.
    pub fn objects(&self, options: &Options) -> Result<Objects<'a>, Rejection> {
        let mut all = Objects::default();
        self.run(options, Want::Objects, |part| all.append(part.objects))?;
        Ok(all)
    }

    /// As [`Document::objects`], but hands the objects over in order and in parts of at most `most`, so that they are never
    /// all in memory. A fault may be found after some were handed over: what they say is to be kept only when this returns
    /// `Ok`.
    ///
    /// # Errors
    /// As [`Document::objects`].
    pub fn chunks(
        &self,
        options: &Options,
        most: usize,
        mut each: impl FnMut(Objects<'a>),
    ) -> Result<Counts, Rejection> {
        self.run(options, Want::Objects, |part| {
            let mut objects = part.objects;
            while objects.counts().total() > 0 {
                each(objects.split(most.max(1)));
            }
        })
    }

    /// The document in the newest version, ready to be written. Nothing in it is given a standard name.
    ///
    /// # Errors
    /// The document is not accepted.
    pub fn upgrade<'d>(&'d self, options: &Options) -> Result<Upgraded<'d, 'a>, Rejection> {
        let options = Options { tree_names: TreeNames::default(), ..options.clone() };
        let (mut counts, waived) = self.work(&options, Want::Verdict, drop)?;
        counts.add_waived(waived.len());
        Ok(Upgraded { document: self, options, counts, waived })
    }

    /// The document in the newest version, as JSON text.
    ///
    /// # Errors
    /// The document is not accepted.
    pub fn upgraded(&self, options: &Options) -> Result<String, Rejection> {
        self.upgrade(options).map(|upgraded| upgraded.to_string())
    }

    /// Works through the document and hands over the parts in order, as long as nothing is wrong; at last what stands for
    /// waived tests.
    fn run(&self, options: &Options, want: Want, mut take: impl FnMut(Part<'a>)) -> Result<Counts, Rejection> {
        let (mut counts, waived) = self.work(options, want, &mut take)?;
        if want == Want::Objects && !waived.is_empty() {
            let (mut issues, mut incidents) = (Part::new(List::Issues, 0), Part::new(List::Incidents, 0));
            issues.objects.issues.push(upgrade::waived_issue(counts.issues));
            let incident = |(index, test): (usize, &String)| upgrade::waived_incident(counts.incidents + index, test);
            incidents.objects.incidents = waived.iter().enumerate().map(incident).collect();
            take(issues);
            take(incidents);
        }
        counts.add_waived(waived.len());
        Ok(counts)
    }

    /// As [`Document::run`], but only what was sent; the ids of the waived tests come with the counts.
    fn work(
        &self,
        options: &Options,
        want: Want,
        mut take: impl FnMut(Part<'a>),
    ) -> Result<(Counts, Vec<String>), Rejection> {
        let mut invalid = self.root(options);
        if !invalid.is_empty() && self.version().is_none() {
            return Err(invalid.reject(Refusal::Invalid, None));
        }
        let (mut impossible, mut unnamed) = (Faults::new(options.max_faults), Faults::new(options.max_faults));
        if self.version().is_none() {
            impossible.push(self.version_as_float());
        }
        let lane = Lane { version: self.judged_as(), options, want };
        let (mut counts, mut waived) = (Counts::default(), Vec::new());
        for batch in self.segments().chunks(self.threads(options)) {
            for (segment, mut part) in batch.iter().zip(run_batch(lane, batch)) {
                *counts.of(segment.list) += segment.count;
                waived.append(&mut part.waived);
                invalid.append(std::mem::take(&mut part.invalid));
                impossible.append(std::mem::take(&mut part.impossible));
                unnamed.append(std::mem::take(&mut part.unnamed));
                if invalid.is_empty() && impossible.is_empty() && unnamed.is_empty() {
                    take(part);
                }
            }
        }
        let gates = [(Refusal::Invalid, invalid), (Refusal::NotUpgradable, impossible), (Refusal::BadName, unnamed)];
        for (refusal, faults) in gates {
            if !faults.is_empty() {
                return Err(faults.reject(refusal, self.version()));
            }
        }
        Ok((counts, waived))
    }

    pub(crate) fn threads(&self, options: &Options) -> usize {
        if self.text.len() < WORTH_THREADS { 1 } else { options.threads.max(1) }
    }

    /// What is wrong with the root.
    fn root(&self, options: &Options) -> Faults {
        let mut faults = Faults::new(options.max_faults);
        let Some(members) = &self.members else {
            faults.push(judge::not_an_object(self.text, String::new()));
            return faults;
        };
        let contract = Contract::of(self.judged_as());
        let plain = self.version().is_some_and(|version| version.major > 1)
            && members.iter().all(|member| match member.name.as_ref() {
                "version" => {
                    self.raw(member).len() < 40
                        && !self.raw(member).contains("\\u")
                        && is_plain_version(self.version_value())
                }
                list => contract.kind_in(list).is_some() && self.raw(member).starts_with('['),
            });
        if !plain {
            let value = |member: &crate::document::Member<'a>| match member.name.as_ref() {
                "version" => self.version_value().unwrap_or_default(),
                name if contract.has("document", name) => judge::outline(self.raw(member)),
                _ => Value::Null,
            };
            let root: Map<_, _> = members.iter().map(|member| (member.name.to_string(), value(member))).collect();
            judge::root(contract, &root.into(), &mut faults);
        }
        faults
    }

    /// `version` is right by the schema, but says nothing, because a number in it is written as a fraction (section 11).
    fn version_as_float(&self) -> Fault {
        Fault {
            pointer: "/version".to_owned(),
            code: code::NOT_UPGRADABLE,
            message: r#"`version` must be written in whole numbers without a fraction, as in {"major": 5, "minor": 3}"#
                .to_owned(),
            value: self.version_value().map(|value| judge::shown(&value)),
            id: None,
        }
    }
}

/// Whether nothing but the two numbers is there, so that the judge need not be asked.
fn is_plain_version(version: Option<Value>) -> bool {
    let Some(Value::Object(members)) = version else { return false };
    members.iter().all(|(name, value)| matches!(name.as_str(), "major" | "minor") && value.is_u64())
}

/// Works on several pieces at once, on the first of them in this thread.
pub(crate) fn run_batch<'a>(lane: Lane<'_>, batch: &[Segment<'a>]) -> Vec<Part<'a>> {
    let Some((first, others)) = batch.split_first() else { return Vec::new() };
    thread::scope(|scope| {
        let workers: Vec<_> = others.iter().map(|segment| scope.spawn(move || lane.run(*segment))).collect();
        let result = |worker: thread::ScopedJoinHandle<'_, Part<'a>>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        std::iter::once(lane.run(*first)).chain(workers.into_iter().map(result)).collect()
    })
}
