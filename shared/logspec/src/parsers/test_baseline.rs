//! A boot that goes on to the baseline test.

use crate::engine::{Parser, Step, Then};
use crate::states::{baseline, bootloader, kernel_load};

pub(super) static PARSER: Parser = Parser {
    name: "test_baseline",
    version: "0.0.1",
    about: "boots followed by the baseline test",
    mark: baseline::START,
    steps: &[
        Step { state: bootloader::GENERIC_BOOT, then: Then::If(bootloader::DONE) },
        Step { state: kernel_load::KERNEL_LOAD, then: Then::If(kernel_load::PROMPT) },
        Step { state: baseline::TEST_BASELINE, then: Then::Stop },
    ],
};
