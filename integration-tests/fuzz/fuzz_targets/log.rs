//! Any log, in both ways to read line ends: no parser panics, all that is printed is JSON, and no issue or incident comes
//! from nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logspec::{Kind, LineEnds, Log, Node, Report};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    for ends in [LineEnds::Raw, LineEnds::Universal] {
        let log = Log::new(bytes.to_vec(), ends);
        for parser in logspec::ALL {
            let Ok(analysis) = parser.analyse(&log) else { continue };
            for full in [true, false] {
                let printed = analysis.to_json(full);
                assert!(serde_json::from_str::<Value>(&printed).is_ok(), "{printed}");
            }
            for kind in [Kind::Build, Kind::Boot, Kind::Kselftest] {
                if kind.parser().name == parser.name {
                    let node = Node { id: "maestro:1", origin: "maestro", kind };
                    let report = Report::new(&analysis, &node, |_| None);
                    assert!(report.issues.len() <= report.incidents.len());
                    assert!(report.incidents.len() <= analysis.findings.len() + 1);
                    serde_json::to_string(&report).expect("a report has a JSON form");
                }
            }
        }
    }
});
