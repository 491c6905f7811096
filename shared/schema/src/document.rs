//! A submission: split into its lists once, then worked through object by object.
//!
//! Invariants: the text went through the syntax check before anything else looks at it. Only places in the text are kept,
//! one for each [`SEGMENT`] bytes, never the objects; so memory depends on what the caller keeps. Faults and objects come
//! in the order of the lists, whatever the number of threads.

use crate::{
    contract::Contract,
    fault::Rejection,
    judge,
    members::Members,
    read::Cursor,
    syntax::{Checker, Mark, Problem, SyntaxError},
    upgrade::List,
    version::Version,
};
use serde_json::Value;
use std::borrow::Cow;

/// Lists are divided into pieces of about this size, in bytes.
const SEGMENT: usize = 1 << 20;
/// The members that the root has in some version.
const KNOWN: [&str; 7] = ["version", "revisions", "checkouts", "builds", "tests", "issues", "incidents"];
/// How many members of the root are remembered, unknown ones included.
const REMEMBERED: usize = 16;

/// A JSON document that may be a submission, borrowed from the text it was sent in.
#[derive(Debug)]
pub struct Document<'a> {
    pub(crate) text: &'a str,
    /// The members of the root that some version has, and some others; nothing when the root is no object.
    pub(crate) members: Option<Vec<Member<'a>>>,
    version: Option<Version>,
}

/// A member of the root.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Elements, for a list.
    pub(crate) count: usize,
    segments: Vec<Start>,
}

/// Where a piece of a list begins.
#[derive(Debug, Clone, Copy)]
struct Start {
    at: usize,
    index: usize,
}

/// A piece of a list: whole elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) list: List,
    /// The text from the first element on, to the end of the document.
    pub(crate) text: &'a str,
    /// Index of the first element in the list.
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl<'a> Document<'a> {
    /// Checks the syntax and finds the lists.
    ///
    /// # Errors
    /// The text is not one JSON document as [`Checker`] takes it.
    pub fn open(text: &'a [u8]) -> Result<Self, Rejection> {
        let Ok(string) = std::str::from_utf8(text) else { return Err(not_utf8(text).into()) };
        let mut splitter = Splitter { text: string, root: 0, members: Vec::new(), current: None };
        let mut checker = Checker::new();
        checker.scan(text, |mark, at, depth| splitter.mark(mark, at, depth))?;
        checker.finish()?;
        let members = (string.as_bytes().get(splitter.root) == Some(&b'{')).then_some(splitter.members);
        let mut document = Self { text: string, members, version: None };
        document.version = document.version_value().as_ref().and_then(Version::of);
        Ok(document)
    }

    /// The version that the document names, when there is such a version.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The version by which the document is judged.
    pub(crate) fn judged_as(&self) -> Version {
        self.version.unwrap_or(Version::NEWEST)
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Member<'a>> {
        self.members.as_ref()?.iter().find(|member| member.name == name)
    }

    pub(crate) fn raw(&self, member: &Member<'a>) -> &'a str {
        &self.text[member.start..member.end]
    }

    /// What `version` says, however long it is; of what is wrong in it no more than shows that.
    pub(crate) fn version_value(&self) -> Option<Value> {
        let raw = self.raw(self.member("version")?);
        let Some(members) = Members::parse(raw, |name| matches!(name, "major" | "minor")) else {
            return Some(judge::plain(raw));
        };
        let members = members.0.iter().map(|(name, text)| (name.to_string(), judge::plain(text)));
        Some(Value::Object(members.collect()))
    }

    /// All pieces of all lists that the version has, in order.
    pub(crate) fn segments(&self) -> Vec<Segment<'a>> {
        let version = self.judged_as();
        let contract = Contract::of(version);
        let lists = List::ALL.into_iter().filter_map(|list| {
            let member = self.member(list.name(version))?;
            let is_list = contract.kind_in(&member.name).is_some() && self.raw(member).starts_with('[');
            is_list.then_some((list, member))
        });
        lists.flat_map(|(list, member)| member.segments(list, self.text)).collect()
    }
}

impl<'a> Member<'a> {
    fn segments(&self, list: List, text: &'a str) -> Vec<Segment<'a>> {
        let ends = self.segments.iter().skip(1).map(|start| start.index).chain([self.count]);
        let starts = self.segments.iter().zip(ends);
        starts
            .map(|(start, end)| Segment { list, text: &text[start.at..], first: start.index, count: end - start.index })
            .collect()
    }
}

/// Bytes that are not UTF-8 are a fault of syntax; where, the checker says best.
fn not_utf8(text: &[u8]) -> SyntaxError {
    let mut checker = Checker::new();
    let otherwise = SyntaxError { problem: Problem::InvalidUnicode, line: 1, column: 0 };
    checker.feed(text).and_then(|()| checker.finish()).err().unwrap_or(otherwise)
}

/// Notes where the members of the root and the pieces of its lists are.
struct Splitter<'a> {
    text: &'a str,
    /// Where the root starts.
    root: usize,
    members: Vec<Member<'a>>,
    /// The member being read.
    current: Option<Member<'a>>,
}

impl Splitter<'_> {
    #[inline]
    fn mark(&mut self, mark: Mark, at: usize, depth: u32) {
        match (mark, depth, &mut self.current) {
            (Mark::Start, 0, _) => self.root = at,
            (Mark::Key, _, _) => {
                let name = Cow::Borrowed("");
                self.current = Some(Member { name, start: at, end: at, count: 0, segments: Vec::new() });
            }
            (Mark::Start, 1, Some(member)) => {
                // Only now the name is known to be right.
                member.name = Cursor::new(&self.text[member.start..at]).string().unwrap_or_default();
                member.start = at;
            }
            (Mark::Start, _, Some(member)) => {
                if member.segments.last().is_none_or(|start| at - start.at >= SEGMENT) {
                    member.segments.push(Start { at, index: member.count });
                }
                member.count += 1;
            }
            (Mark::End, 1, _) => self.end(at),
            _ => {}
        }
    }

    /// A member of the root is complete. Of members with the same name the last counts; of unknown ones a few are enough.
    fn end(&mut self, at: usize) {
        let Some(mut member) = self.current.take() else { return };
        member.end = at;
        self.members.retain(|other| other.name != member.name);
        if KNOWN.contains(&member.name.as_ref()) || self.members.len() < REMEMBERED {
            self.members.push(member);
        }
    }
}
