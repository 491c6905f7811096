//! Every parser on arbitrary bytes: no panic, no result that is not JSON, no log that takes long.
//!
//! `KCIDB_LOGSPEC_SECONDS` sets for how long; `KCIDB_LOGSPEC_SEED` where the random numbers begin. Logs of the conformance data
//! are what is damaged, when they are there.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use logspec::{Kind, LineEnds, Log, Node, Report};

const LONGEST: usize = 64 << 10;
const LIMIT: Duration = Duration::from_secs(2);

/// Words that parsers look for, so that chance does not have to spell them.
const WORDS: &[&str] = &[
    "Starting kernel ...\n",
    "[    0.000000] Booting Linux",
    "Starting depthcharge",
    "/ #",
    "[1] BUG: ",
    "[1] kernel BUG at ",
    "!",
    "[1] UBSAN: ",
    " in ",
    "[1] Kernel panic - x: ",
    "[1] -[ cut here ]\n",
    "[1] ---[ end trace",
    "[1] ---[ end Kernel panic",
    "[1] Unable to handle kernel NULL pointer dereference",
    "[1] Hardware name: ",
    "[1] Modules linked in: ",
    "[1] Call trace:",
    "[1]  f+0x1/0x2\n",
    "error -22",
    ": ",
    "\n[",
    "] ",
    "\n",
    "/opt/kernelci/dmesg.sh",
    "kern  :",
    "kselftest.sh",
    "not ok 1 selftests:",
    "make: *** [s:1: a/b.o] Error 1\n",
    "make[1]: *** [s:1: vmlinux] Error 2\n",
    "a/b.c:1:2: error: x\n",
    "ld: a/b.o: ",
    "b.c:(.text): ",
    "ERROR: modpost: ",
    "***",
    "12:34:56 ",
    "a/b",
    "\r\n",
    "\u{fffd}",
    "é",
    "\0",
    "\u{1c}",
    "٣",
];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % end.max(1)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

/// The small logs of the conformance data.
fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let folder = std::env::var_os("KCIDB_CONFORMANCE").map_or(root, PathBuf::from).join("logspec");
    let mut logs = vec![WORDS.concat().into_bytes()];
    for entry in ["logs", "mutants/logs"].iter().flat_map(|name| fs::read_dir(folder.join(name))).flatten().flatten() {
        let mut log = Vec::new();
        flate2::read::MultiGzDecoder::new(&fs::read(entry.path()).unwrap()[..]).read_to_end(&mut log).unwrap();
        // Of a long log the end, where the errors are, behind the beginning.
        if log.len() > LONGEST {
            log.drain(LONGEST / 2..log.len() - LONGEST / 2);
        }
        logs.push(log);
    }
    logs
}

fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    if random.below(16) == 0 {
        let len = random.below(4096);
        return random.bytes(len);
    }
    let mut log = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(24) {
        let from = random.below(log.len() + 1);
        let longest = 1 << random.below(12);
        let to = (from + random.below(longest)).min(log.len());
        let new = match random.below(6) {
            0 => Vec::new(),
            1 => {
                let count = random.below(8);
                random.bytes(count)
            }
            2 => log[from..to].repeat(1 + random.below(8)),
            3 => {
                let other = &corpus[random.below(corpus.len())];
                let start = random.below(other.len() + 1);
                other[start..(start + random.below(2000)).min(other.len())].to_vec()
            }
            _ => WORDS[random.below(WORDS.len())].repeat(1 + random.below(3)).into_bytes(),
        };
        log.splice(from..if random.below(2) == 0 { to } else { from }, new);
    }
    log.truncate(2 * LONGEST);
    log
}

/// Everything that can be asked of the analyser for this log. Gives the number of analyses.
fn analyse(bytes: &[u8]) -> usize {
    let mut count = 0;
    for ends in [LineEnds::Raw, LineEnds::Universal] {
        let log = Log::new(bytes.to_vec(), ends);
        logspec::guess(&log);
        for parser in logspec::ALL {
            count += 1;
            let Ok(analysis) = parser.analyse(&log) else { continue };
            for text in [analysis.to_json(true), serde_json::to_string(&analysis.located()).unwrap()] {
                assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
            }
            for finding in &analysis.findings {
                let (place, lines) = (&finding.place, finding.lines(&log));
                let numbers = lines.first().zip(lines.last()).map(|(first, last)| (first.0, last.0));
                assert_eq!(numbers, Some((place.first_line, place.last_line)));
            }
            for kind in [Kind::Build, Kind::Boot, Kind::Kselftest] {
                let report = Report::new(&analysis, &Node { id: "lab:1", origin: "lab", kind }, |_| None);
                for issue in report.issues {
                    assert!(!issue.stored(1000).to_string().contains("\\u0000"));
                }
            }
        }
    }
    count
}

#[test]
fn arbitrary_bytes_are_survived() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let time = Duration::from_secs(number("KCIDB_LOGSPEC_SECONDS", 3));
    let mut random = Random(number("KCIDB_LOGSPEC_SEED", 7).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let corpus = corpus();
    let (start, mut logs, mut analyses, mut slowest) = (Instant::now(), 0_usize, 0, Duration::ZERO);
    while start.elapsed() < time {
        let log = mutated(&mut random, &corpus);
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| analyse(&log)));
        let took = begun.elapsed();
        let good = outcome.as_ref().is_ok_and(|_| took < LIMIT);
        assert!(good, "log {logs} ({took:?}): {}", log.escape_ascii());
        (logs, analyses, slowest) = (logs + 1, analyses + outcome.unwrap_or(0), slowest.max(took));
    }
    println!("{logs} logs, {analyses} analyses in {:?}, the slowest log took {slowest:?}", start.elapsed());
    assert!(logs > 0);
}
