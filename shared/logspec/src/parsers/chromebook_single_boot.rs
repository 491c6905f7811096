//! A Chromebook that boots Linux straight from its boot loader.

use crate::engine::{Parser, Step, Then};
use crate::states::{bootloader, depthcharge, kernel_load};

pub(super) static PARSER: Parser = Parser {
    name: "chromebook_single_boot",
    version: "0.0.1",
    about: "Chromebooks that boot once",
    mark: kernel_load::STARTED,
    steps: &[
        Step { state: depthcharge::BOOT, then: Then::Next },
        Step { state: bootloader::STARTED, then: Then::If(bootloader::DONE) },
        Step { state: kernel_load::KERNEL_LOAD, then: Then::Stop },
    ],
};
