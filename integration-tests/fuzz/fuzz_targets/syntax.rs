//! The syntax checker takes exactly what `serde_json` takes, however the text is cut, and says the same about the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::syntax::Checker;
use serde_json::Value;

fn check(text: &[u8], size: usize) -> Result<(), String> {
    let mut checker = Checker::new();
    text.chunks(size).try_for_each(|piece| checker.feed(piece)).and_then(|()| checker.finish()).map_err(|error| error.to_string())
}

fuzz_target!(|input: &[u8]| {
    let Some((size, text)) = input.split_first() else { return };
    let whole = check(text, text.len().max(1));
    assert_eq!(whole, check(text, usize::from(*size).max(1)));
    match std::str::from_utf8(text) {
        Ok(text) => {
            let theirs = serde_json::from_str::<Value>(text).map(drop).map_err(|error| error.to_string());
            // Where in a number that is too large the error is found, is not worth imitating.
            let out_of_range = |result: &Result<(), String>| matches!(result, Err(error) if error.starts_with("number out of range"));
            if out_of_range(&theirs) {
                assert!(whole.is_err(), "{theirs:?}");
            } else {
                assert_eq!(whole, theirs);
            }
        }
        Err(_) => assert!(whole.is_err()),
    }
});
