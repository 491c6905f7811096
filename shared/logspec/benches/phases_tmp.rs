#![allow(missing_docs, clippy::all)]
use logspec::*;
use std::time::Instant;
fn main() {
    for (n, k, piece, head) in [
        ("bug", Kind::Boot, "[1] BUG: x\n", "Starting kernel ...\n"),
        ("notok", Kind::Kselftest, "not ok 1 selftests:\n", "Starting kernel ...\n/ # kselftest.sh\n"),
        ("turns", Kind::Boot, "[1] BUG: x\n[1] -[ cut here ]\n[1] BUG\n[1] -[ end trace\n", "Starting kernel ...\n"),
        ("err2", Kind::Boot, "[1] usb: a: failed with error -2\n", "Starting kernel ...\n"),
    ] {
        let bytes = [head.as_bytes(), &piece.as_bytes().repeat((1 << 20) / piece.len())].concat();
        for _ in 0..4 {
            let t = Instant::now();
            let log = Log::new(bytes.clone(), LineEnds::Raw);
            let a = k.parser().analyse(&log).unwrap();
            let t1 = t.elapsed();
            let t = Instant::now();
            let j = a.to_json(false).len();
            let t2 = t.elapsed();
            let t = Instant::now();
            let r = Report::new(&a, &Node { id: "lab:1", origin: "lab", kind: k }, |_| None);
            let t3 = t.elapsed();
            let t = Instant::now();
            let j2 = serde_json::to_vec(&r).unwrap().len();
            let t4 = t.elapsed();
            println!("{n} {} analyse {t1:?} json {t2:?} {j} report {t3:?} json {t4:?} {j2}", a.findings.len());
        }
    }
}
