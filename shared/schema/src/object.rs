//! The objects of version 5.3, and the quick way to read them.
//!
//! Invariant: `read` gives an object only when the text is an object that version 5.3 plainly accepts. Anything else,
//! however slight (an unknown or repeated field, null, a wrong type or class), gives nothing, and the judge decides. A
//! property test holds the two against each other.

use crate::{classes, members::quoted, read::Cursor, upgrade::List};
use std::borrow::Cow;

/// JSON text as it was sent: an object for `misc`, a list of `{"name","url"}` objects for files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<'a>(pub Cow<'a, str>);

impl Json<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A list of strings: its JSON text as it was sent, so that it takes no more memory than that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts<'a>(Cow<'a, str>);

impl Texts<'_> {
    /// The strings, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut cursor = Cursor::new(&self.0);
        cursor.at = 1;
        std::iter::from_fn(move || {
            let text = cursor.string();
            cursor.next_element();
            text
        })
    }
}

impl<'t> FromIterator<&'t str> for Texts<'static> {
    fn from_iter<I: IntoIterator<Item = &'t str>>(texts: I) -> Self {
        let texts: Vec<String> = texts.into_iter().map(quoted).collect();
        Self(Cow::Owned(format!("[{}]", texts.join(","))))
    }
}

/// Makes a field independent of the text it was read from.
trait IntoOwned {
    type Free;
    fn into_owned(self) -> Self::Free;
}

impl IntoOwned for Cow<'_, str> {
    type Free = Cow<'static, str>;
    fn into_owned(self) -> Self::Free {
        Cow::Owned(Cow::into_owned(self))
    }
}

impl IntoOwned for Json<'_> {
    type Free = Json<'static>;
    fn into_owned(self) -> Self::Free {
        Json(IntoOwned::into_owned(self.0))
    }
}

impl IntoOwned for Texts<'_> {
    type Free = Texts<'static>;
    fn into_owned(self) -> Self::Free {
        Texts(IntoOwned::into_owned(self.0))
    }
}

impl<T: IntoOwned> IntoOwned for Option<T> {
    type Free = Option<T::Free>;
    fn into_owned(self) -> Self::Free {
        self.map(IntoOwned::into_owned)
    }
}

macro_rules! owned_already {
    ($($type:ty),*) => {$(
        impl IntoOwned for $type {
            type Free = Self;
            fn into_owned(self) -> Self {
                self
            }
        }
    )*};
}
owned_already!(bool, f64, i64, usize, Culprit);

/// Types of fields, as [`Cursor`] reads them.
impl<'a> Cursor<'a> {
    #[inline]
    fn text(&mut self, class: impl Fn(&str) -> bool) -> Option<Cow<'a, str>> {
        self.string().filter(|text| !self.check || class(text))
    }

    fn texts(&mut self, class: impl Fn(&str) -> bool) -> Option<Texts<'a>> {
        self.peek();
        let start = self.at;
        self.list(|cursor| cursor.text(&class).map(drop))?;
        Some(Texts(Cow::Borrowed(self.since(start))))
    }

    /// Longer than `LONG_EXCERPT` bytes before decoding it has too many characters, however they are written.
    fn excerpt(&mut self) -> Option<Cow<'a, str>> {
        if !self.check {
            return self.string();
        }
        self.short_string(classes::LONG_EXCERPT).filter(|text| classes::excerpt5(text))
    }

    fn double(&mut self) -> Option<f64> {
        self.number()?.parse().ok()
    }

    /// A whole number from 0 on, however written; what is too large becomes the largest.
    fn count(&mut self) -> Option<i64> {
        let text = self.number()?;
        if let Ok(number) = text.parse::<i64>() {
            return (number >= 0).then_some(number);
        }
        let number = text.parse::<f64>().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, as documented")]
        (number >= 0.0 && number.fract() == 0.0).then_some(number as i64)
    }

    fn free(&mut self) -> Option<Json<'a>> {
        (self.peek() == b'{').then(|| Json(Cow::Borrowed(self.raw())))
    }

    fn files(&mut self) -> Option<Json<'a>> {
        self.peek();
        let start = self.at;
        self.list(|cursor| {
            let (mut name, mut url) = (None, None);
            cursor.object(|cursor, field| match field.as_ref() {
                "name" if name.is_none() => {
                    name = Some(cursor.text(classes::file5)?);
                    Some(())
                }
                "url" if url.is_none() => {
                    url = Some(cursor.text(classes::uri)?);
                    Some(())
                }
                _ => None,
            })?;
            name.and(url).map(drop)
        })?;
        Some(Json(Cow::Borrowed(self.since(start))))
    }
}

/// Declares a kind of object: its struct, how it is read, and how it is made independent of the text.
macro_rules! object {
    (
        $(#[$doc:meta])* $name:ident
        { $($(#[$rdoc:meta])* $required:ident: $rtype:ty = $rjson:literal, $rread:expr;)* }
        { $($(#[$odoc:meta])* $optional:ident: $otype:ty = $ojson:literal, $oread:expr;)* }
        $({ $(#[$xdoc:meta])* $extra:ident: $xtype:ty })?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name<'a> {
            $($(#[$rdoc])* pub $required: $rtype,)*
            $($(#[$odoc])* pub $optional: Option<$otype>,)*
            $($(#[$xdoc])* pub $extra: $xtype,)?
        }

        impl<'a> $name<'a> {
            /// Reads one; nothing when it is not plainly right.
            pub(crate) fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
                $(let mut $required: Option<$rtype> = None;)*
                $(let mut $optional: Option<$otype> = None;)*
                cursor.object(|cursor, name| {
                    match name.as_ref() {
                        $($rjson if $required.is_none() => $required = Some(($rread)(cursor)?),)*
                        $($ojson if $optional.is_none() => $optional = Some(($oread)(cursor)?),)*
                        _ => return None,
                    }
                    Some(())
                })?;
                Some(Self { $($required: $required?,)* $($optional,)* $($extra: <$xtype>::default(),)? })
            }

            /// The same, independent of the document's text.
            pub fn into_owned(self) -> $name<'static> {
                $name {
                    $($required: IntoOwned::into_owned(self.$required),)*
                    $($optional: IntoOwned::into_owned(self.$optional),)*
                    $($extra: self.$extra,)?
                }
            }
        }

        impl IntoOwned for $name<'_> {
            type Free = $name<'static>;
            fn into_owned(self) -> Self::Free {
                $name::into_owned(self)
            }
        }
    };
}

/// A string of a class.
macro_rules! text {
    ($class:ident) => {
        |cursor: &mut Cursor<'a>| cursor.text(classes::$class)
    };
}

object! {
    /// A source tree state that was checked out.
    Checkout
    {
        /// Identity.
        id: Cow<'a, str> = "id", text!(id5);
        /// Who sent it.
        origin: Cow<'a, str> = "origin", text!(name1);
    }
    {
        /// Ignored when storing (section 8).
        timestamp: Cow<'a, str> = "_timestamp", text!(date_time);
        /// Short name of the tree.
        tree_name: Cow<'a, str> = "tree_name", Cursor::text_without_nul;
        /// Where the sources came from.
        git_repository_url: Cow<'a, str> = "git_repository_url", text!(repo5);
        /// The commit.
        git_commit_hash: Cow<'a, str> = "git_commit_hash", text!(sha1);
        /// As `git describe` names the commit.
        git_commit_name: Cow<'a, str> = "git_commit_name", Cursor::text_without_nul;
        /// Tags on the commit.
        git_commit_tags: Texts<'a> = "git_commit_tags", |cursor: &mut Cursor<'a>| cursor.texts(classes::no_nul);
        /// The commit message.
        git_commit_message: Cow<'a, str> = "git_commit_message", Cursor::text_without_nul;
        /// The branch.
        git_repository_branch: Cow<'a, str> = "git_repository_branch", Cursor::text_without_nul;
        /// Whether the commit was the branch's tip.
        git_repository_branch_tip: bool = "git_repository_branch_tip", Cursor::boolean;
        /// Patches applied.
        patchset_files: Json<'a> = "patchset_files", Cursor::files;
        /// Hash over the patches; empty when there are none.
        patchset_hash: Cow<'a, str> = "patchset_hash", text!(patch_hash);
        /// Message-ID of the mail with the patches.
        message_id: Cow<'a, str> = "message_id", text!(email);
        /// For people.
        comment: Cow<'a, str> = "comment", Cursor::text_without_nul;
        /// When it was made.
        start_time: Cow<'a, str> = "start_time", text!(date_time);
        /// When the origin finished all its builds of it.
        origin_builds_finish_time: Cow<'a, str> = "origin_builds_finish_time", text!(date_time);
        /// When the origin finished all its tests of it.
        origin_tests_finish_time: Cow<'a, str> = "origin_tests_finish_time", text!(date_time);
        /// The whole log.
        log_url: Cow<'a, str> = "log_url", text!(uri);
        /// The part of the log that tells most.
        log_excerpt: Cow<'a, str> = "log_excerpt", Cursor::excerpt;
        /// Whether the sources could be put together.
        valid: bool = "valid", Cursor::boolean;
        /// Anything else.
        misc: Json<'a> = "misc", Cursor::free;
    }
    {
        /// Position in the document's list.
        index: usize
    }
}

object! {
    /// A build of a checkout.
    Build
    {
        /// The checkout that was built.
        checkout_id: Cow<'a, str> = "checkout_id", text!(id5);
        /// Identity.
        id: Cow<'a, str> = "id", text!(id5);
        /// Who sent it.
        origin: Cow<'a, str> = "origin", text!(name1);
    }
    {
        /// Ignored when storing (section 8).
        timestamp: Cow<'a, str> = "_timestamp", text!(date_time);
        /// For people.
        comment: Cow<'a, str> = "comment", Cursor::text_without_nul;
        /// When it began.
        start_time: Cow<'a, str> = "start_time", text!(date_time);
        /// Seconds it took.
        duration: f64 = "duration", Cursor::double;
        /// Target architecture.
        architecture: Cow<'a, str> = "architecture", text!(name0);
        /// The command line.
        command: Cow<'a, str> = "command", Cursor::text_without_nul;
        /// Name and version of the compiler.
        compiler: Cow<'a, str> = "compiler", Cursor::text_without_nul;
        /// Files that went in.
        input_files: Json<'a> = "input_files", Cursor::files;
        /// Files that came out.
        output_files: Json<'a> = "output_files", Cursor::files;
        /// Name of the configuration.
        config_name: Cow<'a, str> = "config_name", Cursor::text_without_nul;
        /// The configuration.
        config_url: Cow<'a, str> = "config_url", text!(uri);
        /// The whole log.
        log_url: Cow<'a, str> = "log_url", text!(uri);
        /// The part of the log that tells most.
        log_excerpt: Cow<'a, str> = "log_excerpt", Cursor::excerpt;
        /// `FAIL`, `ERROR`, `MISS`, `PASS`, `DONE` or `SKIP`.
        status: Cow<'a, str> = "status", text!(status);
        /// Anything else.
        misc: Json<'a> = "misc", Cursor::free;
    }
    {
        /// Position in the document's list.
        index: usize
    }
}

object! {
    /// A run of a test on a build.
    Test
    {
        /// The build that was tested.
        build_id: Cow<'a, str> = "build_id", text!(id5);
        /// Identity.
        id: Cow<'a, str> = "id", text!(id5);
        /// Who sent it.
        origin: Cow<'a, str> = "origin", text!(name1);
    }
    {
        /// Ignored when storing (section 8).
        timestamp: Cow<'a, str> = "_timestamp", text!(date_time);
        /// What it ran on.
        environment: Environment<'a> = "environment", Environment::read;
        /// Place in the tree of tests, joined by dots.
        path: Cow<'a, str> = "path", text!(path5);
        /// For people.
        comment: Cow<'a, str> = "comment", Cursor::text_without_nul;
        /// The whole log.
        log_url: Cow<'a, str> = "log_url", text!(uri);
        /// The part of the log that tells most.
        log_excerpt: Cow<'a, str> = "log_excerpt", Cursor::excerpt;
        /// `FAIL`, `ERROR`, `MISS`, `PASS`, `DONE` or `SKIP`.
        status: Cow<'a, str> = "status", text!(status);
        /// A measured value.
        number: Number<'a> = "number", Number::read;
        /// When it began.
        start_time: Cow<'a, str> = "start_time", text!(date_time);
        /// Seconds it took.
        duration: f64 = "duration", Cursor::double;
        /// Files that went in.
        input_files: Json<'a> = "input_files", Cursor::files;
        /// Files that came out.
        output_files: Json<'a> = "output_files", Cursor::files;
        /// Anything else.
        misc: Json<'a> = "misc", Cursor::free;
    }
    {
        /// Position in the document's list.
        index: usize
    }
}

object! {
    /// What a test ran on.
    Environment
    {}
    {
        /// For people.
        comment: Cow<'a, str> = "comment", Cursor::text_without_nul;
        /// Compatible strings, most specific first.
        compatible: Texts<'a> = "compatible", |cursor: &mut Cursor<'a>| cursor.texts(classes::compat5);
        /// Anything else.
        misc: Json<'a> = "misc", Cursor::free;
    }
}

object! {
    /// A value that a test measured.
    Number
    {
        /// The value.
        value: f64 = "value", Cursor::double;
    }
    {
        /// Its unit.
        unit: Cow<'a, str> = "unit", Cursor::text_without_nul;
        /// Which prefixes suit it: `metric` or `binary`.
        prefix: Cow<'a, str> = "prefix", text!(prefix);
    }
}

object! {
    /// A known problem.
    Issue
    {
        /// Identity, with `version`.
        id: Cow<'a, str> = "id", text!(id5);
        /// Grows with each edit; what is beyond the range becomes its end.
        version: i64 = "version", Cursor::count;
        /// Who sent it.
        origin: Cow<'a, str> = "origin", text!(name1);
    }
    {
        /// Ignored when storing (section 8).
        timestamp: Cow<'a, str> = "_timestamp", text!(date_time);
        /// Kinds of problem.
        categories: Texts<'a> = "categories", |cursor: &mut Cursor<'a>| cursor.texts(classes::path5);
        /// Where it was reported.
        report_url: Cow<'a, str> = "report_url", text!(uri);
        /// Under which subject.
        report_subject: Cow<'a, str> = "report_subject", Cursor::text_without_nul;
        /// What is to blame.
        culprit: Culprit = "culprit", Culprit::read;
        /// For people.
        comment: Cow<'a, str> = "comment", Cursor::text_without_nul;
        /// Anything else.
        misc: Json<'a> = "misc", Cursor::free;
    }
    {
        /// Position in the document's list.
        index: usize
    }
}

/// What is to blame for an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Culprit {
    /// The code that was tested.
    pub code: Option<bool>,
    /// The tool that built it, or ran it.
    pub tool: Option<bool>,
    /// The system around it.
    pub harness: Option<bool>,
}

impl Culprit {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut culprit = Self::default();
        cursor.object(|cursor, name| {
            let field = match name.as_ref() {
                "code" => &mut culprit.code,
                "tool" => &mut culprit.tool,
                "harness" => &mut culprit.harness,
                _ => return None,
            };
            field.replace(cursor.boolean()?).is_none().then_some(())
        })?;
        Some(culprit)
    }
}

object! {
    /// An issue seen, or shown absent, in a build or a test.
    Incident
    {
        /// Identity.
        id: Cow<'a, str> = "id", text!(id5);
        /// Who sent it.
        origin: Cow<'a, str> = "origin", text!(name1);
        /// The issue.
        issue_id: Cow<'a, str> = "issue_id", text!(id5);
        /// The issue's version; what is beyond the range becomes its end.
        issue_version: i64 = "issue_version", Cursor::count;
    }
    {
        /// Ignored when storing (section 8).
        timestamp: Cow<'a, str> = "_timestamp", text!(date_time);
        /// The build it is about.
        build_id: Cow<'a, str> = "build_id", text!(id5);
        /// The test it is about.
        test_id: Cow<'a, str> = "test_id", text!(id5);
        /// Whether the issue was there.
        present: bool = "present", Cursor::boolean;
        /// For people.
        comment: Cow<'a, str> = "comment", Cursor::text_without_nul;
        /// Anything else.
        misc: Json<'a> = "misc", Cursor::free;
    }
    {
        /// Position in the document's list.
        index: usize
    }
}

/// What a document says, in version 5.3, or a part of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Objects<'a> {
    /// Source tree states.
    pub checkouts: Vec<Checkout<'a>>,
    /// Builds of them.
    pub builds: Vec<Build<'a>>,
    /// Tests of those.
    pub tests: Vec<Test<'a>>,
    /// Known problems.
    pub issues: Vec<Issue<'a>>,
    /// Where they were seen.
    pub incidents: Vec<Incident<'a>>,
}

/// How many objects of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[expect(missing_docs, reason = "named after the lists")]
pub struct Counts {
    pub checkouts: usize,
    pub builds: usize,
    pub tests: usize,
    pub issues: usize,
    pub incidents: usize,
}

impl Counts {
    /// Adds what stands for so many waived tests.
    pub(crate) fn add_waived(&mut self, tests: usize) {
        self.issues += usize::from(tests > 0);
        self.incidents += tests;
    }

    /// Objects of all kinds.
    pub fn total(&self) -> usize {
        self.checkouts + self.builds + self.tests + self.issues + self.incidents
    }
}

impl Objects<'_> {
    /// How many there are.
    pub fn counts(&self) -> Counts {
        Counts {
            checkouts: self.checkouts.len(),
            builds: self.builds.len(),
            tests: self.tests.len(),
            issues: self.issues.len(),
            incidents: self.incidents.len(),
        }
    }
}

impl Objects<'_> {
    /// Adds those of another part.
    pub fn append(&mut self, mut other: Self) {
        self.checkouts.append(&mut other.checkouts);
        self.builds.append(&mut other.builds);
        self.tests.append(&mut other.tests);
        self.issues.append(&mut other.issues);
        self.incidents.append(&mut other.incidents);
    }

    /// Takes at most so many out, from the front.
    pub(crate) fn split(&mut self, mut most: usize) -> Self {
        fn front<T>(list: &mut Vec<T>, most: &mut usize) -> Vec<T> {
            let rest = list.split_off((*most).min(list.len()));
            *most -= list.len();
            std::mem::replace(list, rest)
        }
        Self {
            checkouts: front(&mut self.checkouts, &mut most),
            builds: front(&mut self.builds, &mut most),
            tests: front(&mut self.tests, &mut most),
            issues: front(&mut self.issues, &mut most),
            incidents: front(&mut self.incidents, &mut most),
        }
    }
}

impl Counts {
    pub(crate) fn of(&mut self, list: List) -> &mut usize {
        match list {
            List::Checkouts => &mut self.checkouts,
            List::Builds => &mut self.builds,
            List::Tests => &mut self.tests,
            List::Issues => &mut self.issues,
            List::Incidents => &mut self.incidents,
        }
    }
}
