//! Any text: no panic, and the ways to look at a document agree with each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::{Document, Options, TreeNames, Version};
use serde_json::Value;
use std::sync::LazyLock;

static WITH_NAMES: LazyLock<Options> = LazyLock::new(|| Options { tree_names: TreeNames::public(), ..Options::default() });

fuzz_target!(|text: &[u8]| {
    let document = match Document::open(text) {
        Ok(document) => document,
        Err(rejection) => {
            assert!(serde_json::from_slice::<Value>(text).is_err(), "{rejection}");
            return;
        }
    };
    let plain = Options::default();
    let verdict = document.check(&plain);
    let upgraded = document.upgraded(&plain);
    match (&verdict, &upgraded) {
        (Ok(counts), Ok(upgraded)) => {
            let again = Document::open(upgraded.as_bytes()).expect("the upgrade writes JSON");
            assert_eq!(again.version(), Some(Version::NEWEST));
            if document.version().is_some_and(|version| version.major >= 3) {
                assert_eq!(again.check(&plain).as_ref(), Ok(counts));
            }
        }
        (Err(one), Err(two)) => assert_eq!(one, two),
        _ => panic!("check and upgrade disagree: {verdict:?} {upgraded:?}"),
    }
    // The same document as a tree of values, printed again: repeated names and escapes are gone, the verdict stays.
    let printed = serde_json::from_slice::<Value>(text).expect("the syntax is right").to_string();
    let printed = Document::open(printed.as_bytes()).expect("a printed tree is JSON").check(&plain);
    assert_eq!(printed.as_ref().ok(), verdict.as_ref().ok());
    let objects = document.objects(&WITH_NAMES);
    let mut seen = 0;
    let parts = document.chunks(&WITH_NAMES, 2, |part| seen += part.counts().total());
    match (&objects, &parts) {
        (Ok(objects), Ok(counts)) => assert_eq!((objects.counts(), counts.total()), (*counts, seen)),
        (Err(one), Err(two)) => assert_eq!(one, two),
        _ => panic!("objects and parts disagree"),
    }
});
