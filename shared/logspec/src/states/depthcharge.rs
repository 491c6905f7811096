//! The start of a Chromebook's boot loader (spec 5.5).

use crate::budget::Budget;
use crate::engine::{Record, State};
use crate::finding::Value;
use crate::scan::find;

const START: &str = "bootloader.start";
const ID: &str = "bootloader.id";
const MARK: &str = "Starting depthcharge";

pub(crate) const BOOT: State = State { name: "chromebook_boot", run };
pub(crate) const BOOT_STAGE2: State = State { name: "chromebook_boot_stage2", run };

fn run<'t>(text: &'t [u8], _: &mut Budget) -> Record<'t> {
    let signature_fields = &[START, ID];
    match find(text, MARK, 0) {
        Some(at) => Record {
            fields: vec![(START, Value::Flag(true)), (ID, Value::from(b"depthcharge".as_slice()))],
            summary: "Depthcharge started",
            signature_fields,
            end: at + MARK.len(),
            ..Record::default()
        },
        None => Record {
            fields: vec![(START, Value::Flag(false))],
            summary: "Depthcharge start not found",
            signature_fields,
            end: text.len(),
            ..Record::default()
        },
    }
}
