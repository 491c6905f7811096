//! A boot that goes on to the kernel's own tests.

use crate::engine::{Parser, Step, Then};
use crate::states::{bootloader, kernel_load, kselftest};

pub(super) static PARSER: Parser = Parser {
    name: "test_kselftest",
    version: "0.0.1",
    about: "boots followed by kselftest",
    mark: kselftest::CALLED,
    steps: &[
        Step { state: bootloader::GENERIC_BOOT, then: Then::If(bootloader::DONE) },
        Step { state: kernel_load::KERNEL_LOAD, then: Then::If(kernel_load::PROMPT) },
        Step { state: kselftest::TEST_KSELFTEST, then: Then::Stop },
    ],
};
