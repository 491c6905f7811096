//! How the time grows with the size of logs that are made to be expensive (spec section 16, and some more).
//!
//! `cargo bench -p kcidb-logspec --bench scaling` prints milliseconds per size and the growth per doubling, for analysis and
//! output together, and fails when a family grows more than 2.2 times per doubling (the mean of three) or 1 MB of it takes more than 100 ms.

use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use logspec::{Kind, LineEnds, Log, Node, Report};

const SIZES: [usize; 4] = [256 << 10, 512 << 10, 1 << 20, 2 << 20];
const MEGABYTE: usize = 2;
const ROUNDS: usize = 9;
const LIMIT_MS: f64 = 100.0;
const LIMIT_GROWTH: f64 = 2.2;

/// A family of logs: what it is, who reads it, and a log of about a size.
type Family = (&'static str, Kind, fn(usize) -> Vec<u8>);

const FAMILIES: [Family; 32] = [
    ("one line of many `make `", Kind::Build, |size| fill("", "make ", "", size)),
    ("vmlinux target, one long line", Kind::Build, |size| {
        fill("", "ld: ld ", "\nmake: *** [s:1: vmlinux] Error 1\n", size)
    }),
    ("vmlinux target, one line of words", Kind::Build, |size| {
        fill("ld: ", "a.b ", "\nmake: *** [s:1: vmlinux] Error 1\n", size)
    }),
    ("block strategy, one long line", Kind::Build, |size| fill("\n a/b ", "err or: ", MAKE, size)),
    ("generic, one long unindented line", Kind::Build, |size| {
        fill("x ", "error", "\nmake: *** [s:1: x] Error 1\n", size)
    }),
    ("strategy 1, the stem over and over", Kind::Build, |size| fill("\n", "a/b", MAKE, size)),
    ("strategy 1, many numbers", Kind::Build, |size| fill("\na/b", ":1:2:3", MAKE, size)),
    ("a target that overlaps itself", Kind::Build, overlapping),
    ("code lines without colon, filler", Kind::Boot, |size| boot("[1] error -22\nfiller filler filler\n", "", size)),
    ("code line without colon, many `a: `", Kind::Boot, |size| boot("a: ", "\n[1] x\n", size)),
    ("code lines on one line", Kind::Boot, |size| boot("[1] error -2 ", "\n", size)),
    ("many BUG without end", Kind::Boot, |size| boot("[1] BUG: x\n", "", size)),
    ("many BUG without end, one trace", Kind::Boot, shared_trace),
    ("many kernel BUG on one line", Kind::Boot, |size| boot("[1] kernel BUG at x ", "\n", size)),
    ("many cut here without end", Kind::Boot, |size| boot("[1] ---[ cut here ]---\n", "", size)),
    ("many cut here without time stamp", Kind::Boot, |size| boot("---[ cut here ]---\n", "[1] -[ cut here ]\n", size)),
    ("many cut here, one end", Kind::Boot, |size| boot("[1] -[ cut here ]\n", "[1] -[ end trace\n", size)),
    ("many BUG, one list of modules", Kind::Boot, |size| boot("[1] BUG: y\n", "[1] Modules linked in: a\n", size)),
    ("many BUG without message", Kind::Boot, |size| boot("[1] BUG\n", "[1] Hardware name: x\n", size)),
    ("many null pointers without end", Kind::Boot, |size| {
        boot("[1] Unable to handle kernel NULL pointer dereference\n", "", size)
    }),
    ("many UBSAN without end", Kind::Boot, |size| boot("[1] UBSAN: x in y\n", "", size)),
    ("BUG and blocks by turns", Kind::Boot, |size| {
        boot("[1] BUG: x\n[1] -[ cut here ]\n[1] BUG\n[1] -[ end trace\n", "", size)
    }),
    ("many failed with error -2", Kind::Boot, |size| boot("[1] usb: a: failed with error -2\n", "", size)),
    ("one line of many time stamps", Kind::Boot, |size| boot("[1] ", "error -1\n", size)),
    ("one time stamp that never ends", Kind::Boot, |size| boot("[1 ", "] BUG\n", size)),
    ("many panics", Kind::Boot, |size| boot("[1] Kernel panic - x: y\n", "", size)),
    ("many failed tests", Kind::Kselftest, |size| {
        fill("Starting kernel ...\n/ # kselftest.sh\n", "not ok 1 selftests:\n", "", size)
    }),
    ("linker, places on one line", Kind::Build, |size| fill("\nld: a/b.o.x\n", "b.c:1: ", MAKE_ON_LINE, size)),
    ("linker, names without extension", Kind::Build, |size| fill("\nld: a/b.o.x\n", "b:1: ", MAKE, size)),
    ("many complaints of modpost", Kind::Build, |size| {
        fill("", "ERROR: modpost: x\n", "make: *** [modpost:1: x] Error 1\n", size)
    }),
    ("many shouts", Kind::Build, |size| fill("", "*** x\n", "make: *** [s:1: modules] Error 1\n", size)),
    ("many modules", Kind::Boot, |size| boot("z a ", "\n", size)),
];

const MAKE_ON_LINE: &str = "make: *** [s:1: a/b.o] Error 1\n";
const MAKE: &str = "\nmake: *** [s:1: a/b.o] Error 1\n";

fn fill(head: &str, piece: &str, tail: &str, size: usize) -> Vec<u8> {
    [head.as_bytes(), &piece.as_bytes().repeat(size / piece.len()), tail.as_bytes()].concat()
}

fn boot(piece: &str, tail: &str, size: usize) -> Vec<u8> {
    let head = match piece {
        "a: " => "Starting kernel ...\n[0] error -1\n",
        "z a " => "Starting kernel ...\n[0] BUG: x\n[1] Modules linked in: ",
        _ => "Starting kernel ...\n",
    };
    fill(head, piece, tail, size)
}

fn overlapping(size: usize) -> Vec<u8> {
    let name = "a.".repeat(size / 8);
    fill("", "a.", &format!("\nmake: *** [s:1: {name}] Error 1\n"), size)
}

fn shared_trace(size: usize) -> Vec<u8> {
    let bugs = "[1] BUG: x\n".repeat(size / 22);
    fill(&format!("Starting kernel ...\n{bugs}[1] Call trace:\n"), "[1]  f+0x1/0x2\n", "", size / 2)
}

/// Milliseconds for which this thread has run, so that a busy machine does not count; by the clock where the kernel does not
/// tell.
fn clock_ms() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // The kernel brings its count up to date when the thread stops.
    std::thread::sleep(Duration::from_micros(50));
    let ran = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = ran.as_deref().and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.filter(|ran| *ran > 0.0).map_or_else(|| START.elapsed().as_secs_f64() * 1e3, |ran| ran / 1e6)
}

/// Counts what is written, as `kcidb log parse` keeps nothing of it either.
struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Milliseconds from the bytes to the JSON of the analysis and of its issues, and what came of it.
fn run(kind: Kind, bytes: Vec<u8>) -> (f64, String) {
    let start = clock_ms();
    let log = Log::new(bytes, LineEnds::Raw);
    let analysis = kind.parser().analyse(&log).expect("these parsers fit every log");
    let report = Report::new(&analysis, &Node { id: "lab:1", origin: "lab", kind }, |_| None);
    let mut json = Count(0);
    analysis.write_json(false, &mut json).expect("everything can be counted");
    serde_json::to_writer(&mut json, &report).expect("everything can be counted");
    let ms = clock_ms() - start;
    let gave_up = analysis.gave_up.as_ref().map_or("", |gave_up| gave_up.reason);
    (
        ms,
        format!(
            "{} errors, {} issues, {} kB of JSON {gave_up}",
            analysis.findings.len(),
            report.issues.len(),
            json.0 >> 10
        ),
    )
}

fn main() -> ExitCode {
    let mut failed = false;
    println!("{:36} {:>38} {:>22}", "family", "ms for 256 kB, 512 kB, 1 MB, 2 MB", "growth per doubling");
    for (name, kind, make) in FAMILIES {
        let mut times = [f64::MAX; SIZES.len()];
        let mut outcome = String::new();
        // The sizes by turns, so that what else the machine does hits all of them.
        for _ in 0..ROUNDS {
            for (time, size) in times.iter_mut().zip(SIZES) {
                let (ms, came_of_it) = run(kind, make(size));
                (*time, outcome) = (time.min(ms), came_of_it);
            }
        }
        let growth: Vec<f64> = times.windows(2).map(|pair| pair[1] / pair[0]).collect();
        // The mean of the three doublings: single ones have the noise of the machine and the steps of its caches in them.
        // Below a tenth of a millisecond it is the clock that is measured.
        let steep = times[SIZES.len() - 1] > 0.1 && (times[SIZES.len() - 1] / times[0]).cbrt() > LIMIT_GROWTH;
        let slow = times[MEGABYTE] > LIMIT_MS;
        failed |= steep || slow;
        let times: Vec<_> = times.iter().map(|time| format!("{time:8.3}")).collect();
        let growth: Vec<_> = growth.iter().map(|growth| format!("{growth:5.2}")).collect();
        let verdict = if steep || slow { "FAILED" } else { "" };
        println!("{name:36} {:>38} {:>22}  {outcome} {verdict}", times.join(" "), growth.join(" "));
    }
    ExitCode::from(u8::from(failed))
}
