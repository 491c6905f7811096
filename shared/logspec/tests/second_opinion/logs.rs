//! Random logs: the markers of the specification in likely and unlikely order, and damage to them.

/// A source of random numbers that gives the same ones for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end.max(1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const ODD: &[&[u8]] = &[
    b"\r",
    b"\r\n",
    b"\0",
    b"\x1c",
    b"\x1f",
    b"\x0b",
    b"\x0c",
    b"\t",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xed\xa0\x80",
    "é".as_bytes(),
    "€".as_bytes(),
    "😀".as_bytes(),
    "\u{85}".as_bytes(),
    "\u{a0}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{3000}".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{fffd}".as_bytes(),
    "٣".as_bytes(),
    "²".as_bytes(),
    "\u{301}".as_bytes(),
    "‿".as_bytes(),
    "Ⓐ".as_bytes(),
    "Ⅷ".as_bytes(),
    "日".as_bytes(),
    b"\"",
    b"\\",
];

const STAMPS: &[&str] = &[
    "[    1.234567]",
    "[1]",
    "[1]",
    "[1]",
    "[ ]",
    "[...]",
    "[]",
    "[\t1]",
    "[٣]",
    "[1[2]",
    "[1",
    "1]",
    "[2]  ",
    "[3] ",
    "[x]",
];

const KERNEL: &[&str] = &[
    " Unable to handle kernel NULL pointer dereference",
    " at virtual address ",
    "at virtual address 0010",
    " BUG",
    " kernel BUG",
    " kernel BUG at ",
    "!",
    " BUG: ",
    " at ",
    "spinlock bad magic",
    "scheduling while atomic",
    "workqueue lockup",
    " UBSAN:",
    " UBSAN: ",
    " UBSAN: a-b in x.c:1:2",
    " in ",
    " Kernel panic",
    " Kernel panic - not x: y",
    ": ",
    ":",
    "error -",
    "error -22",
    " x: failed with error -2",
    " error -1",
    "22",
    " -",
    " ---",
    "[ cut here ]",
    " ---[ cut here ]---",
    "[ end trace",
    " ---[ end trace 0 ]---",
    " --[ end trace 0 ]--",
    "-[ end trace",
    " ---[ end Kernel panic - x ]---",
    " ---[ end Kernel panic",
    "================================================================================",
    "===============================================================================",
    " Hardware name: ",
    " Hardware name: Board X",
    " Modules linked in:",
    " Modules linked in: ",
    " Modules linked in: z b a",
    " Call trace:",
    " Call Trace:",
    " CALL TRACE:",
    " call trace",
    "  f+0x1/0x2",
    "   ? g",
    "  ",
    " ",
    " a",
    "WARNING:",
    " WARNING: CPU: 0 at x.c:1 f+0x0",
    "ERR:",
    "aB:",
    " Linux version ",
    " Linux version 6.1",
    " Booting Linux",
    "word",
    "-",
    "]",
    "[",
];

const BOOT: &[&str] = &[
    "Starting kernel ...",
    "Starting kernel ..",
    "Starting kernel ",
    "jumping to kernel",
    "Booting from ROM...",
    "Booting from ROM",
    "[    0.000000] Booting Linux on",
    " Booting Linux",
    "Starting depthcharge",
    "Starting depthcharg",
    "...",
    "x",
];

const TESTS: &[&str] = &[
    "/opt/kernelci/dmesg.sh",
    "/opt/kernelci/dmesgXsh",
    "/opt/kernelci/dmesg",
    "sh",
    "kern  :",
    "kern  :err : x",
    "kern :",
    "kselftest.sh",
    "kselftest-sh",
    "kselftest",
    ".sh",
    "ok 1 selftests:",
    "ok 2 selftests: a: b",
    "not ok 3 selftests: a: c # x",
    "not ok ",
    "not ",
    "ok ",
    "ok 4 selftest",
    "1",
    "٣",
    " selftests:",
    "# not ok 9",
    " ",
];

const KBUILD: &[&str] = &[
    "make",
    "gmake[2]",
    ": *** ",
    "*** ",
    "***",
    " *** x",
    "make: *** ",
    "[",
    "] Error 1",
    "] Error",
    "s:1: ",
    ": ",
    ":",
    " ",
    "  ",
    ":12",
    ":12:3",
    ":1:2: error: ",
    ":1:2: note: ",
    ":1:2: fatal error: x: y",
    "error: ",
    "warning: ",
    "error:",
    " error: x",
    "ld: ",
    "ld:",
    "my-ld: ",
    "ld.lld: ",
    "12:34:56",
    "12:34:56  ",
    "12:34:5",
    "ERROR",
    "FATAL",
    ": modpost: ",
    "ERROR: modpost: \"f\" [m.ko] undefined!",
    "FATAL: modpost: x",
    "12:00:00 ERROR: modpost: ",
    "  CC      ",
    "\t",
    ".c",
    ".S",
    ".",
    "/",
    ":(.text+0x1)",
    ": in function `f':",
    "undefined reference to `g'",
    "collect2: error: ld returned 1 exit status",
    "lib.a(",
    ")",
    "x",
];

const TARGETS: &[&str] = &[
    "a/b.o",
    "a/b.o",
    "a/b.o",
    "a/b.s",
    "a/b",
    "b.o",
    "b",
    "a/b.c.o",
    ".o",
    "a/.o",
    "a/b/",
    "a/",
    "",
    "vmlinux",
    "d/vmlinux",
    "vmlinux.o",
    "modules",
    "Module.symvers",
    "c++.o",
    "a/x(y).o",
    "a/b[1].o",
    "a//b.o",
    "/b.o",
    "/tmp/a/b.o",
    "a/../b.o",
    "é/ü.o",
    "a/b$c|d.o",
    "aa.o",
    "12:34:56.o",
    "^.o",
    "a b.o",
    "..",
    "...o",
    "@T.o",
    "x",
];

const SCRIPTS: &[&str] = &["s:1", "scripts/Makefile.build:243", "scripts/Makefile.modpost:9", "", "a: b", "é", "x[1]"];

const REPORTS: &[&str] = &[
    "[1] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010\n[1] Mem abort info:\n\
     [1] Hardware name: Board\n[1] Call trace:\n[1]  f+0x1/0x2\n[1]   ? g\n[1] Code: x\n[1] ---[ end trace 0 ]---\n",
    "[1] kernel BUG at mm/x.c:12!\n[1] Hardware name: Board\n[1] Modules linked in: z y\n[1] Call Trace:\n[1]  f\n[1]   g\n\
     [1] ---[ end trace 0 ]---\n",
    "[1] BUG: spinlock bad magic on CPU#0\n[1] Hardware name: Board\n[1] Call trace:\n[1]  f\n[1] Modules linked in:  b  a \n\
     [1]  h\n[1] ---[ end trace 0 ]---\n",
    "[1] BUG: sleeping function called from invalid context at x.c:1\n[1] Hardware name: é\n[1] Call Trace:\n[1]  f\n",
    "[1] ================\n[1] UBSAN: shift-out-of-bounds in x.h:57:13\n[1] shift exponent 32 is too large\n[1] Hardware name: B\n\
     [1] Call Trace:\n[1]  f\n\
     [1] ================================================================================\n",
    "[1] Kernel panic - not syncing: VFS: x\n[1] Hardware name: B\n[1] Call Trace:\n[1]  f\n[1]  g\n\
     [1] ---[ end Kernel panic - not syncing: VFS: x ]---\n",
    "[1] Kernel panic - not syncing: x\n[1] Hardware name: B\n[1] Call trace:\n[1]  f\nno stamp\n",
    "[1] usb 1-1: Direct firmware load for a.bin failed with error -2\n",
    "[1] probe error -22\n[1] x: y\n[1] a: b error -1 error -12 z\n",
    "[1] ------------[ cut here ]------------\n[1] WARNING: CPU: 0 PID: 0 at x.c:730 f+0xc0/0x241\n[1] Modules linked in: b a\n\
     [1] Hardware name: B\n[1] Call Trace:\n[1]  f\n[1]  g\n[1] ---[ end trace 0 ]---\n",
    "[1] ------------[ cut here ]------------\n[1] kernel BUG at mm/y.c:3!\n[1] Call Trace:\n[1]  f\n[1] ---[ end trace 0 ]---\n",
    "[1] -[ cut here ]-\n[1] WARNING: x at y\n[1] x: probe failed with error -22\n[1] -[ end trace 0 ]-\n",
];

const MESSAGES: &[&str] = &[
    "a/b.c:1266:3: error: label at end of compound statement\n",
    "a/b.c: In function 'f':\n",
    "a/b.c:12: Error: unknown `x'\n",
    "12:34:56 a/b.c:1: error: bad \n",
    "b.c:7: warning: x\n",
    "cc1: error: y\n",
    "  CC      a/b.o\n",
    "12:00:00   AS      a/b.s\n",
    "ld: a/b.o: in function `f':\nb.c:(.text+0x1): undefined reference to `g'\n",
    "arm-ld: vmlinux.o: in function `f':\n",
    "vmlinux.c:(.text+0x1): undefined \n",
    "my-ld: x/y.o: z\ny.c:(.data): multiple definition \n",
    "ld: cannot find x\n",
    "ERROR: modpost: \"f\" [m.ko] undefined!\n",
    "*** x ***\n",
    "x y\n\tindented\n",
    "modules\nerror: no\n*** stop\n",
    "ld: lib.a(m.o): in f\nm.c:1: no\n",
    "ld.lld: error: undefined symbol: x\n",
    "aaaa.c:1:1: a: a\n",
];

fn soup(random: &mut Random, out: &mut Vec<u8>, pools: &[&[&str]]) {
    for _ in 0..random.below(24) {
        if random.one_in(12) {
            out.extend_from_slice(random.pick(ODD));
        }
        if random.one_in(3) {
            out.push(b'\n');
        }
        let pool = pools[random.below(pools.len())];
        out.extend_from_slice(random.pick(pool).as_bytes());
    }
}

/// A report or several, with lines missing, doubled or torn.
fn pieces(random: &mut Random, out: &mut Vec<u8>, whole: &[&str]) {
    for _ in 0..random.below(5) {
        for line in random.pick(whole).split_inclusive('\n') {
            if random.one_in(8) {
                continue;
            }
            let again = 1 + usize::from(random.one_in(12));
            out.extend_from_slice(line.repeat(again).as_bytes());
            if random.one_in(16) {
                out.pop();
            }
        }
    }
}

fn kernel(random: &mut Random, out: &mut Vec<u8>) {
    let stamped: &[&[&str]] = &[STAMPS, KERNEL];
    for _ in 0..random.below(4) {
        if random.one_in(2) { soup(random, out, stamped) } else { pieces(random, out, REPORTS) }
    }
}

/// The log of a boot, perhaps with a test after it.
fn boot(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..=random.below(2) {
        soup(random, &mut out, &[BOOT]);
        out.extend_from_slice(random.pick(BOOT).as_bytes());
        if !random.one_in(6) {
            out.push(b'\n');
        }
        kernel(random, &mut out);
        if random.one_in(2) {
            out.extend_from_slice(b"\n/ # ");
            soup(random, &mut out, &[TESTS]);
        }
    }
    out
}

/// The log of a build.
fn build(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let target = random.pick(TARGETS);
    let stem = target.rsplit_once('.').map_or(target, |(stem, _)| stem);
    let base = stem.rsplit('/').next().unwrap_or(stem);
    let names: &[&str] = &[target, stem, base, stem];
    for _ in 0..random.below(6) {
        if random.one_in(2) {
            soup(random, &mut out, &[KBUILD, KBUILD, names]);
        } else {
            let mut part = Vec::new();
            pieces(random, &mut part, MESSAGES);
            let part = String::from_utf8(part).unwrap();
            let is_renamed = random.one_in(2);
            out.extend_from_slice(if is_renamed { part.replace("a/b", stem) } else { part }.as_bytes());
        }
    }
    if !random.one_in(8) {
        let script = random.pick(SCRIPTS);
        out.extend_from_slice(format!("make[2]: *** [{script}: {target}] Error 1\n").as_bytes());
    }
    soup(random, &mut out, &[KBUILD, names]);
    out
}

/// Removes, doubles, moves and replaces pieces.
fn damage(random: &mut Random, log: &mut Vec<u8>) {
    for _ in 0..random.below(4) {
        let from = random.below(log.len() + 1);
        let to = (from + random.below(20)).min(log.len());
        let piece = log[from..to].to_vec();
        match random.below(4) {
            0 => drop(log.drain(from..to)),
            1 => drop(log.splice(from..from, piece)),
            2 => drop(log.splice(from..from, random.pick(ODD).iter().copied())),
            _ => {
                log.drain(from..to);
                let at = random.below(log.len() + 1);
                log.splice(at..at, piece);
            }
        }
    }
}

/// The log of this number.
pub(crate) fn log(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    for _ in 0..4 {
        random.next();
    }
    let mut log = if random.one_in(2) { boot(&mut random) } else { build(&mut random) };
    if random.one_in(2) {
        damage(&mut random, &mut log);
    }
    if random.one_in(8) {
        log = String::from_utf8_lossy(&log).replace('\n', "\r\n").into_bytes();
    }
    log
}
