//! A boot of Linux with any boot loader, up to the shell's prompt.

use crate::engine::{Parser, Step, Then};
use crate::states::{bootloader, kernel_load};

pub(super) static PARSER: Parser = Parser {
    name: "generic_linux_boot",
    version: "0.0.1",
    about: "boots of Linux with any boot loader",
    mark: kernel_load::STARTED,
    steps: &[
        Step { state: bootloader::GENERIC_BOOT, then: Then::If(bootloader::DONE) },
        Step { state: kernel_load::KERNEL_LOAD, then: Then::Stop },
    ],
};
