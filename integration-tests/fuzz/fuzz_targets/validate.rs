//! Any text: no panic; the version and the upgraded document are those of the slow way over trees of values; and the ways
//! to look at a document agree with each other.
#![no_main]

#[path = "../../../shared/schema/tests/oracle/mod.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;
use schema::{Document, Options, TreeNames, Version};
use serde_json::Value;
use std::sync::LazyLock;

static WITH_NAMES: LazyLock<Options> = LazyLock::new(|| Options { tree_names: TreeNames::public(), ..Options::default() });

fuzz_target!(|text: &[u8]| {
    let value = serde_json::from_slice::<Value>(text);
    let (document, value) = match (Document::open(text), value) {
        (Ok(document), Ok(value)) => (document, value),
        (Err(_), Err(_)) => return,
        (opened, value) => panic!("{opened:?} {value:?}"),
    };
    // `-0` is a whole number to us and to the reference, a double to `serde_json`.
    let negative_zero = text.windows(2).any(|pair| pair == b"-0");
    let version = oracle::version(&value);
    assert!(negative_zero || document.version() == version, "{:?} {version:?}", document.version());
    let plain = Options::default();
    let verdict = document.check(&plain);
    let upgraded = document.upgraded(&plain);
    assert_eq!(verdict.as_ref().err(), upgraded.as_ref().err());
    // The same document as a tree of values, printed again: repeated names and escapes are gone, the verdict stays.
    let printed = value.to_string();
    let printed = Document::open(printed.as_bytes()).expect("a printed tree is JSON").check(&plain);
    assert!(negative_zero || printed.as_ref().ok() == verdict.as_ref().ok(), "{printed:?} {verdict:?}");
    if verdict.as_ref().err().is_none_or(|rejection| rejection.code.is_valid()) {
        let wanted = document.version().and_then(|version| oracle::upgrade(value, version));
        let upgraded = upgraded.as_ref().ok().map(|text| serde_json::from_str::<Value>(text).expect("the upgrade writes JSON"));
        assert_eq!(upgraded, wanted);
    }
    if let (Ok(counts), Ok(upgraded)) = (&verdict, &upgraded) {
        let again = Document::open(upgraded.as_bytes()).expect("the upgrade writes JSON");
        assert_eq!(again.version(), Some(Version::NEWEST));
        if document.version().is_some_and(|version| version.major >= 3) {
            assert_eq!(again.check(&plain).as_ref(), Ok(counts));
        }
    }
    let objects = document.objects(&WITH_NAMES);
    let mut seen = 0;
    let parts = document.chunks(&WITH_NAMES, 2, |part| seen += part.counts().total());
    match (&objects, &parts) {
        (Ok(objects), Ok(counts)) => assert_eq!((objects.counts(), counts.total()), (*counts, seen)),
        (Err(one), Err(two)) => assert_eq!(one, two),
        _ => panic!("objects and parts disagree"),
    }
});
