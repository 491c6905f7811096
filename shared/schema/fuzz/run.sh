#!/bin/sh
# Fuzzes each target for so many seconds (default 60): shared/schema/fuzz/run.sh [SECONDS] [TARGET…]
# Needs a C++ compiler besides Rust. Seeds come from the recorded corpora (KCIDB_CONFORMANCE) where they are at hand.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -gt 0 ] && shift
targets=${*:-syntax document}
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
cargo build --release --target x86_64-unknown-linux-gnu
for target in $targets; do
    mkdir -p "corpus/$target"
    python3 seeds.py "$target" "${KCIDB_CONFORMANCE:-../../../../shared/conformance}" "corpus/$target"
    ./target/x86_64-unknown-linux-gnu/release/"$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
        -dict=json.dict -print_final_stats=1 -artifact_prefix="corpus/$target-" "corpus/$target"
done
