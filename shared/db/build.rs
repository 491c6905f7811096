//! Migrations are compiled in: build again when one comes or changes.
fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
