//! Which parser a log is for, when the log leaves no doubt.

use crate::analysis::Analysis;
use crate::engine::Parser;
use crate::log::Log;
use crate::parsers::ALL;

/// The parser that a log is for. A parser fits when all its states were run and the last one found what it looks for; the
/// log is for the one of which all others that fit are a beginning. Nothing, when none fits or two fit equally well.
pub fn guess(log: &Log) -> Option<&'static Parser> {
    let fitting: Vec<_> =
        ALL.iter().copied().filter(|parser| parser.analyse(log).is_ok_and(|found| fits(&found))).collect();
    let longest = fitting.iter().copied().max_by_key(|parser| parser.steps.len())?;
    fitting.iter().all(|parser| is_beginning(parser, longest)).then_some(longest)
}

fn fits(analysis: &Analysis<'_>) -> bool {
    let is_complete = analysis.stages.len() == analysis.parser.steps.len();
    let found = match analysis.parser.mark {
        "" => !analysis.findings.is_empty(),
        flag => analysis.is_set(flag),
    };
    is_complete && found
}

fn is_beginning(parser: &Parser, of: &Parser) -> bool {
    parser.steps.len() <= of.steps.len()
        && parser.steps.iter().zip(of.steps).all(|(one, other)| one.state.name == other.state.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LineEnds;

    #[test]
    fn only_what_is_beyond_doubt_is_guessed() {
        let boot = "Starting kernel ...\nx\n[1] Linux version 6\n";
        let depthcharge = "Starting depthcharge\njumping to kernel\nx\n[1] Linux version 6\n";
        for (log, name) in [
            ("make: *** [s:1: x] Error 1\n".to_owned(), Some("kbuild")),
            (boot.to_owned(), Some("generic_linux_boot")),
            (format!("{boot}/ # kselftest.sh\n"), Some("test_kselftest")),
            (format!("{boot}/ # /opt/kernelci/dmesg.sh\n"), Some("test_baseline")),
            (format!("{boot}make: *** [s:1: x] Error 1\n"), None),
            (format!("{boot}/ # kselftest.sh /opt/kernelci/dmesg.sh\n"), None),
            // The generic parser reads these as well.
            (depthcharge.to_owned(), None),
            ("Starting kernel ...\n".to_owned(), None),
            (String::new(), None),
        ] {
            let guessed = guess(&Log::new(log.clone().into_bytes(), LineEnds::Raw));
            assert_eq!(guessed.map(|parser| parser.name), name, "{log}");
        }
    }
}
