//! What happens to each object: read at once when it is plainly right, else judged, upgraded and then read.

use crate::{
    code,
    contract::Contract,
    document::Segment,
    fault::{Fault, Faults, cut, step},
    judge,
    members::Members,
    names::{self, NotText},
    object::{Build, Checkout, Incident, Issue, Json, Objects, Test},
    options::Options,
    read::Cursor,
    upgrade::{List, sent_name, upgrade},
    version::Version,
};
use std::borrow::Cow;

/// What is wanted of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Only the verdict.
    Verdict,
    /// Typed objects with standard names.
    Objects,
    /// The upgraded objects as JSON text.
    Text,
}

/// The way of the objects of one document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane<'o> {
    pub(crate) version: Version,
    pub(crate) options: &'o Options,
    pub(crate) want: Want,
}

/// What became of a piece of a list.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) list: List,
    pub(crate) objects: Objects<'a>,
    /// Elements joined by commas, for [`Want::Text`].
    pub(crate) text: String,
    /// Against the schema.
    pub(crate) invalid: Faults,
    /// Against the upgrade.
    pub(crate) impossible: Faults,
    /// Against the names.
    pub(crate) unnamed: Faults,
    /// Ids of tests that were waived.
    pub(crate) waived: Vec<String>,
}

/// What the five kinds of object have in common.
trait Object<'a>: Sized {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self>;
    /// Reads one that the upgrade made, which may not be valid (section 5).
    fn read_upgraded(text: &str) -> Option<Self>;
    /// The minor version that brought the newest of its fields.
    fn minor(&self) -> u8;
    /// Gives a lab its standard name.
    fn name_lab(&mut self) -> Result<(), NotText>;
    fn id(&self) -> &str;
    fn put(self, index: usize, objects: &mut Objects<'a>);
}

macro_rules! object {
    ($kind:ident, $list:ident, $this:ident, $minor:expr $(, $lab:literal)?) => {
        impl<'a> Object<'a> for $kind<'a> {
            #[inline]
            fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
                $kind::read(cursor)
            }
            fn read_upgraded(text: &str) -> Option<Self> {
                let mut cursor = Cursor::new(text);
                cursor.check = false;
                $kind::read(&mut cursor).map($kind::into_owned)
            }
            fn minor(&self) -> u8 {
                let $this = self;
                $minor
            }
            fn name_lab(&mut self) -> Result<(), NotText> {
                $(
                    if let Some(misc) = names::lab(self.misc.as_ref().map(Json::as_str), $lab, &self.origin)? {
                        self.misc = Some(Json(Cow::Owned(misc)));
                    }
                )?
                Ok(())
            }
            fn id(&self) -> &str {
                &self.id
            }
            fn put(mut self, index: usize, objects: &mut Objects<'a>) {
                self.index = index;
                objects.$list.push(self);
            }
        }
    };
}

object!(
    Checkout,
    checkouts,
    this,
    u8::from(this.origin_builds_finish_time.is_some() || this.origin_tests_finish_time.is_some())
);
object!(Build, builds, _this, 0, "lab");
object!(Test, tests, this, if this.input_files.is_some() { 3 } else { 0 }, "runtime");
object!(Issue, issues, this, if this.categories.is_some() { 2 } else { 0 });
object!(Incident, incidents, _this, 0);

impl Lane<'_> {
    /// Works through a piece of a list.
    pub(crate) fn run<'a>(&self, segment: Segment<'a>) -> Part<'a> {
        let mut part = Part::new(segment.list, self.options.max_faults);
        match segment.list {
            List::Checkouts => self.elements(segment, &mut part, |checkout: &mut Checkout<'a>| {
                let name = checkout.git_repository_url.as_ref().and_then(|url| self.options.tree_names.get(url));
                if let Some(name) = name {
                    checkout.tree_name = Some(Cow::Owned(name.to_owned()));
                }
            }),
            List::Builds => self.elements(segment, &mut part, |_: &mut Build<'a>| ()),
            List::Tests => self.elements(segment, &mut part, |_: &mut Test<'a>| ()),
            List::Issues => self.elements(segment, &mut part, |_: &mut Issue<'a>| ()),
            List::Incidents => self.elements(segment, &mut part, |_: &mut Incident<'a>| ()),
        }
        part
    }

    fn elements<'a, T: Object<'a>>(&self, segment: Segment<'a>, part: &mut Part<'a>, name_tree: impl Fn(&mut T)) {
        let mut cursor = Cursor::new(segment.text);
        cursor.keep = self.want == Want::Objects;
        for index in segment.first..segment.first + segment.count {
            cursor.peek();
            let start = cursor.at;
            let quick = (self.version.major == 5 && self.want != Want::Text).then(|| T::read(&mut cursor)).flatten();
            if let Some(mut object) = quick.filter(|object| object.minor() <= self.version.minor) {
                name_tree(&mut object);
                self.keep(object, index, part);
            } else {
                cursor.at = start;
                self.judge::<T>(cursor.raw(), index, part);
            }
            cursor.next_element();
        }
    }

    /// What is not plainly right: verdict, upgrade, and then read what came of it.
    fn judge<'a, T: Object<'a>>(&self, text: &'a str, index: usize, part: &mut Part<'a>) {
        let contract = Contract::of(self.version);
        let list = part.list.name(self.version);
        let pointer = || format!("/{list}/{index}");
        let kind = contract.kind_in(list).expect("a list of the contract has a kind");
        let Some(mut members) = Members::parse(text, |name| contract.has(kind, name)) else {
            part.invalid.push(judge::not_an_object(text, pointer()));
            return;
        };
        if list == "checkouts" {
            self.options.tree_names.repair(&mut members);
        }
        let faults = part.invalid.count;
        judge::object(contract, kind, &members, &pointer(), &mut part.invalid);
        if part.invalid.count > faults {
            return;
        }
        let id = members.text("id").map(|id| cut(&id));
        match upgrade(part.list, self.version, &mut members) {
            Ok(waived) if waived => part.waived.push(members.text("id").unwrap_or_default().into_owned()),
            Ok(_) => {}
            Err(impossible) => {
                let mut pointer = pointer();
                step(&mut pointer, sent_name(&impossible.field, self.version));
                let message = impossible.message.to_owned();
                let value = Some(cut(&impossible.value));
                part.impossible.push(Fault { pointer, code: code::NOT_UPGRADABLE, message, value, id });
                return;
            }
        }
        if self.options.strict && !self.newest_accepts(&members, &pointer(), part) {
            return;
        }
        self.convert::<T>(&members, index, part);
    }

    /// Whether the upgraded object is valid in the newest version; faults when it is not.
    fn newest_accepts(&self, members: &Members<'_>, pointer: &str, part: &mut Part<'_>) -> bool {
        let contract = Contract::of(Version::NEWEST);
        let kind = contract.kind_in(part.list.name(Version::NEWEST)).expect("a list of the contract has a kind");
        let mut faults = Faults::new(self.options.max_faults);
        judge::object(contract, kind, members, pointer, &mut faults);
        for fault in &mut faults.list {
            fault.message =
                format!("after the upgrade from {} to {}: {}", self.version, Version::NEWEST, fault.message);
            fault.code = code::NOT_UPGRADABLE;
        }
        let accepts = faults.is_empty();
        part.impossible.append(faults);
        accepts
    }

    fn convert<'a, T: Object<'a>>(&self, members: &Members<'_>, index: usize, part: &mut Part<'a>) {
        match self.want {
            Want::Verdict => {}
            Want::Text => {
                if !part.text.is_empty() {
                    part.text.push(',');
                }
                part.text.push_str(&members.to_json());
            }
            Want::Objects => {
                let object =
                    T::read_upgraded(&members.to_json()).expect("what the judge took and the upgrade kept can be read");
                self.keep(object, index, part);
            }
        }
    }

    /// Keeps an object under its standard names, when objects are wanted.
    fn keep<'a, T: Object<'a>>(&self, mut object: T, index: usize, part: &mut Part<'a>) {
        if self.want != Want::Objects {
            return;
        }
        match object.name_lab() {
            Ok(()) => object.put(index, &mut part.objects),
            Err(NotText(value)) => {
                let field = if part.list == List::Builds { "lab" } else { "runtime" };
                let message = format!(
                    "`misc.{field}` names the lab and must be a string; write the lab's name, or leave the field out"
                );
                part.unnamed.push(Fault {
                    pointer: format!("/{}/{index}/misc/{field}", part.list.name(self.version)),
                    code: code::BAD_LAB,
                    message,
                    value: Some(cut(&value)),
                    id: Some(cut(object.id())),
                });
            }
        }
    }
}

impl Part<'_> {
    /// Nothing yet.
    pub(crate) fn new(list: List, max_faults: usize) -> Self {
        let faults = || Faults::new(max_faults);
        Self {
            list,
            objects: Objects::default(),
            text: String::new(),
            invalid: faults(),
            impossible: faults(),
            unnamed: faults(),
            waived: Vec::new(),
        }
    }
}
