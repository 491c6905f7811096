//! Compiles `proto/` into Rust types with the protobuf JSON mapping; needs no protoc.

use std::{error::Error, path::Path};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let descriptors = protox::compile(["kcidb/events/v1/events.proto"], [&proto])?;
    let encoded = descriptors.encode_to_vec();
    prost_build::Config::new().compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .ignore_unknown_fields()
        .emit_fields()
        .build(&[".kcidb.events.v1"])?;
    Ok(())
}
