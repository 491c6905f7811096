//! The log of a kernel build.

use crate::engine::{Parser, Step, Then};
use crate::states::kbuild;

pub(super) static PARSER: Parser = Parser {
    name: "kbuild",
    version: "0.0.1",
    about: "kernel builds (make)",
    mark: "",
    steps: &[Step { state: kbuild::START, then: Then::Stop }],
};
