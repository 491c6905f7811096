//! Documents made at random from the schema itself, right and slightly wrong: the quick way never takes what the judge
//! refuses, and what is valid stays valid when upgraded, as far as spec/io-schema.md section 5 promises.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod made;

use made::{Maker, disguised, repeated};
use rand::{SeedableRng as _, rngs::StdRng};
use schema::{Counts, Document, Options, Refusal, TreeNames, Verdict, Version, json_schema};
use serde_json::{Value, json};

/// Documents of each version.
const ROUNDS: u64 = 200;

/// The verdict, without the text of values, which a disguise changes.
fn verdict(text: &str) -> Verdict {
    let mut verdict = Verdict::of(text.as_bytes(), &Options::default());
    verdict.faults.iter_mut().for_each(|fault| fault.value = None);
    verdict
}

/// How many objects there are, or at which gate the document is refused.
fn counts(text: &str) -> Result<Counts, Refusal> {
    let objects = Document::open(text.as_bytes()).unwrap().objects(&Options::default());
    objects.map(|objects| objects.counts()).map_err(|rejection| rejection.code)
}

#[test]
fn what_follows_the_schema_is_accepted_and_stays_valid() {
    let mut accepted = 0;
    for version in Version::ALL {
        for seed in 0..ROUNDS {
            let mut maker = Maker { random: StdRng::seed_from_u64(seed), schema: json_schema(version), wrong: 0 };
            let document = maker.document(version);
            let text = document.to_string();
            let opened = Document::open(text.as_bytes()).unwrap();
            let counts = match opened.check(&Options::default()) {
                Ok(counts) => counts,
                // A repository, a path or a text that version 5.0 does not allow.
                Err(rejection) if version.major < 5 && rejection.code == Refusal::NotUpgradable => continue,
                Err(rejection) => panic!("{version} {seed}: {rejection}\n{text}"),
            };
            accepted += 1;
            let upgraded = opened.upgraded(&Options::default()).unwrap();
            let again = Document::open(upgraded.as_bytes()).unwrap();
            assert_eq!(again.version(), Some(Version::NEWEST));
            if version.major >= 3 {
                assert_eq!(again.check(&Options::default()), Ok(counts), "{version} {seed}");
            }
            if version == Version::NEWEST {
                assert_eq!(serde_json::from_str::<Value>(&upgraded).unwrap(), document);
            }
            assert_eq!(again.upgraded(&Options::default()).is_ok(), again.check(&Options::default()).is_ok());
            let objects = opened.objects(&Options { tree_names: TreeNames::public(), ..Options::default() });
            assert_eq!(objects.unwrap().counts(), counts);
        }
    }
    assert!(accepted > 1000, "{accepted} accepted: the test says little");
}

#[test]
fn the_quick_way_agrees_with_the_judge() {
    let (mut accepted, mut refused) = (0, 0);
    for version in Version::ALL {
        for seed in 0..ROUNDS {
            let mut maker = Maker { random: StdRng::seed_from_u64(seed), schema: json_schema(version), wrong: 60 };
            let document = maker.document(version);
            let quick = verdict(&document.to_string());
            let repeated = repeated(&document);
            assert_eq!(quick, verdict(&repeated), "{version} {seed}\n{document}");
            assert_eq!(counts(&document.to_string()), counts(&repeated), "{version} {seed}\n{repeated}");
            let text = disguised(&document.to_string(), &mut maker.random);
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
            assert_eq!(
                Verdict::of(text.as_bytes(), &Options::default()).accepted,
                quick.accepted,
                "{version} {seed}\n{text}"
            );
            *if quick.accepted { &mut accepted } else { &mut refused } += 1;
        }
    }
    assert!(accepted > 300 && refused > 300, "{accepted} accepted, {refused} refused: the test says little");
}

#[test]
fn threads_change_nothing() {
    let mut maker = Maker { random: StdRng::seed_from_u64(7), schema: json_schema(Version::NEWEST), wrong: 2000 };
    let rule = maker.schema["properties"]["tests"].clone();
    let tests: Vec<_> = (0..40_000).flat_map(|_| maker.value(&rule).as_array().cloned().unwrap_or_default()).collect();
    let text = json!({"version": {"major": 5, "minor": 3}, "tests": tests}).to_string();
    let document = Document::open(text.as_bytes()).unwrap();
    let options = |threads| Options { threads, max_faults: 10, ..Options::default() };
    let rejection = document.check(&options(1)).unwrap_err();
    assert_eq!(rejection.code, Refusal::Invalid);
    assert!(rejection.faults.len() == 10 && rejection.fault_count > 10);
    assert_eq!(document.check(&options(3)).unwrap_err(), rejection);
}

#[test]
fn parts_are_what_the_whole_is() {
    let mut maker = Maker { random: StdRng::seed_from_u64(8), schema: json_schema(Version::NEWEST), wrong: 0 };
    let rule = maker.schema["properties"]["builds"].clone();
    let builds: Vec<_> = (0..5000).flat_map(|_| maker.value(&rule).as_array().cloned().unwrap()).collect();
    let text = json!({"builds": builds, "tests": [], "version": {"major": 5, "minor": 3}}).to_string();
    let document = Document::open(text.as_bytes()).unwrap();
    let whole = document.objects(&Options::default()).unwrap();
    let mut parts = schema::Objects::default();
    let counts = document.chunks(&Options { threads: 2, ..Options::default() }, 700, |part| {
        assert!((1..=700).contains(&part.counts().total()));
        parts.append(part);
    });
    assert_eq!(counts, Ok(whole.counts()));
    assert_eq!(parts, whole);
    assert!(whole.builds.iter().enumerate().all(|(index, build)| build.index == index));
}
