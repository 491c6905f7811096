//! The parsers, one file each. A new one is a new file and a line here.

mod chromebook_2stage_boot;
mod chromebook_single_boot;
mod generic_linux_boot;
mod kbuild;
mod test_baseline;
mod test_kselftest;

use crate::engine::Parser;

/// Every parser there is.
pub static ALL: &[&Parser] = &[
    &kbuild::PARSER,
    &generic_linux_boot::PARSER,
    &test_baseline::PARSER,
    &test_kselftest::PARSER,
    &chromebook_single_boot::PARSER,
    &chromebook_2stage_boot::PARSER,
];

/// The parser of this name.
pub fn parser(name: &str) -> Option<&'static Parser> {
    ALL.iter().find(|parser| parser.name == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Then;

    #[test]
    fn parsers_have_names_of_their_own_and_an_end() {
        for (index, one) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != one.name), "{}", one.name);
            let (last, others) = one.steps.split_last().expect("a parser has a state");
            assert_eq!(last.then, Then::Stop, "{}", one.name);
            assert!(others.iter().all(|step| step.then != Then::Stop), "{}", one.name);
        }
        assert!(parser("kbuild").is_some() && parser("nope").is_none());
    }
}
