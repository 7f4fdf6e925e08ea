#!/bin/sh
# Fuzzes the engine under AddressSanitizer: tests/fuzz/run.sh [libFuzzer options], e.g. -runs=1000000.
# Needs a C++ compiler (for libFuzzer) and the sanitizers that come with Rust on Linux; no nightly toolchain.
set -eu
cd "$(dirname "$0")"
target=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
export RUSTC_BOOTSTRAP=1 # -Zsanitizer on a stable toolchain
export RUSTFLAGS="$coverage -Zsanitizer=address -Ccodegen-units=1 --cfg fuzzing"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../../target}/fuzz"
cargo build --release --target "$target"
mkdir -p "$CARGO_TARGET_DIR/corpus"
exec "$CARGO_TARGET_DIR/$target/release/graph" -max_len=60000 -timeout=20 -rss_limit_mb=4000 -print_final_stats=1 \
    "$@" "$CARGO_TARGET_DIR/corpus" seeds
