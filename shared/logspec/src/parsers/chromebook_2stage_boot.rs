//! A Chromebook that boots a first Linux, which then boots the one to be tested.

use crate::engine::{Parser, Step, Then};
use crate::states::{bootloader, depthcharge, kernel_load};

pub(super) static PARSER: Parser = Parser {
    name: "chromebook_2stage_boot",
    version: "0.0.1",
    about: "Chromebooks that boot twice",
    mark: kernel_load::STARTED,
    steps: &[
        Step { state: depthcharge::BOOT, then: Then::Next },
        Step { state: bootloader::STARTED, then: Then::If(bootloader::DONE) },
        Step { state: kernel_load::KERNEL_LOAD, then: Then::If(kernel_load::PROMPT) },
        Step { state: depthcharge::BOOT_STAGE2, then: Then::Next },
        Step { state: bootloader::STAGE2_STARTED, then: Then::If(bootloader::DONE) },
        Step { state: kernel_load::KERNEL_STAGE2_LOAD, then: Then::Stop },
    ],
};
