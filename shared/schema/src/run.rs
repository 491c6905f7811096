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
    members::quoted,
    names::TreeNames,
    object::{Counts, Incident, Issue, Objects},
    options::Options,
    upgrade::List,
    version::Version,
};
use serde_json::{Map, Value};
use std::{borrow::Cow, thread};

/// Documents shorter than this are not worth a second thread, in bytes.
const WORTH_THREADS: usize = 2 << 20;

/// The issue that stands for "this test was waived" of the versions before 5.0.
const WAIVED: &str = "_:waived";
const WAIVED_ORIGIN: &str = "_";
const WAIVED_COMMENT: &str = "Test waived as unreliable";

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

    /// The document in the newest version, as JSON text. Nothing in it is given a standard name.
    ///
    /// # Errors
    /// The document is not accepted.
    pub fn upgraded(&self, options: &Options) -> Result<String, Rejection> {
        let options = Options { tree_names: TreeNames::default(), ..options.clone() };
        let mut json =
            format!(r#"{{"version":{{"major":{},"minor":{}}}"#, Version::NEWEST.major, Version::NEWEST.minor);
        let mut put = |list: List, text: &str| json.extend([",\"", list.name(Version::NEWEST), "\":", text]);
        if self.judged_as().major == Version::NEWEST.major {
            self.check(&options)?;
            for list in List::ALL {
                if let Some(member) = self.member(list.name(Version::NEWEST)) {
                    put(list, self.raw(member));
                }
            }
        } else {
            let mut lists = List::ALL.map(|list| self.member(list.name(self.judged_as())).map(|_| String::new()));
            self.run(&options, Want::Text, |part| {
                let text = lists[part.list as usize].get_or_insert_default();
                text.push_str(if text.is_empty() { "" } else { "," });
                text.push_str(&part.text);
            })?;
            for (list, text) in List::ALL.into_iter().zip(&lists) {
                if let Some(text) = text {
                    put(list, &format!("[{text}]"));
                }
            }
        }
        json.push('}');
        Ok(json)
    }

    /// Works through the document and hands over the parts in order, as long as nothing is wrong.
    fn run(&self, options: &Options, want: Want, mut take: impl FnMut(Part<'a>)) -> Result<Counts, Rejection> {
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
        if !waived.is_empty() {
            waive(&waived, want, &mut counts, take);
        }
        Ok(counts)
    }

    fn threads(&self, options: &Options) -> usize {
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
fn run_batch<'a>(lane: Lane<'_>, batch: &[Segment<'a>]) -> Vec<Part<'a>> {
    let Some((first, others)) = batch.split_first() else { return Vec::new() };
    thread::scope(|scope| {
        let workers: Vec<_> = others.iter().map(|segment| scope.spawn(move || lane.run(*segment))).collect();
        let result = |worker: thread::ScopedJoinHandle<'_, Part<'a>>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        std::iter::once(lane.run(*first)).chain(workers.into_iter().map(result)).collect()
    })
}

/// Adds the issue for waived tests, and an incident for each of them (section 5, 4.x → 5.0).
fn waive<'a>(tests: &[String], want: Want, counts: &mut Counts, mut take: impl FnMut(Part<'a>)) {
    let (mut issues, mut incidents) = (Part::new(List::Issues, 0), Part::new(List::Incidents, 0));
    match want {
        Want::Verdict => {}
        Want::Text => {
            issues.text =
                format!(r#"{{"id":"{WAIVED}","version":1,"origin":"{WAIVED_ORIGIN}","comment":"{WAIVED_COMMENT}"}}"#);
            let incident = |test: &String| {
                let (id, test) = (quoted(&format!("{WAIVED}:1:{test}")), quoted(test));
                format!(
                    r#"{{"id":{id},"origin":"{WAIVED_ORIGIN}","issue_id":"{WAIVED}","issue_version":1,"test_id":{test},"present":true}}"#
                )
            };
            incidents.text = tests.iter().map(incident).collect::<Vec<_>>().join(",");
        }
        Want::Objects => {
            issues.objects.issues.push(waived_issue(counts.issues));
            let incident = |(index, test): (usize, &String)| waived_incident(counts.incidents + index, test);
            incidents.objects.incidents = tests.iter().enumerate().map(incident).collect();
        }
    }
    counts.issues += 1;
    counts.incidents += tests.len();
    take(issues);
    take(incidents);
}

fn waived_issue(index: usize) -> Issue<'static> {
    Issue {
        id: Cow::Borrowed(WAIVED),
        version: 1,
        origin: Cow::Borrowed(WAIVED_ORIGIN),
        timestamp: None,
        categories: None,
        report_url: None,
        report_subject: None,
        culprit: None,
        comment: Some(Cow::Borrowed(WAIVED_COMMENT)),
        misc: None,
        index,
    }
}

fn waived_incident(index: usize, test: &str) -> Incident<'static> {
    Incident {
        id: Cow::Owned(format!("{WAIVED}:1:{test}")),
        origin: Cow::Borrowed(WAIVED_ORIGIN),
        issue_id: Cow::Borrowed(WAIVED),
        issue_version: 1,
        timestamp: None,
        build_id: None,
        test_id: Some(Cow::Owned(test.to_owned())),
        present: Some(true),
        comment: None,
        misc: None,
        index,
    }
}
