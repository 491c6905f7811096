//! What a log goes through, one file per kind of state (spec section 5).

pub(crate) mod baseline;
pub(crate) mod bootloader;
pub(crate) mod depthcharge;
pub(crate) mod kbuild;
pub(crate) mod kernel_load;
pub(crate) mod kselftest;
