#!/bin/bash
# Fuzzes what reads bytes from outside: each target for SECONDS, one after another.
#
#   tests/fuzz/run.sh [SECONDS [TARGET...]]        (60 s of every target if nothing is said)
#
# Needs `cargo install cargo-fuzz`, a C++ compiler, and no nightly Rust: the targets are built without a
# sanitizer. The code that is fuzzed has no `unsafe` of its own, so AddressSanitizer would find
# nothing that a panic, an assertion or an overflow check does not, and it would want all of the
# bundled SQLite built for it. What is learned stays in corpus/, what fails in artifacts/; a find
# becomes a named test beside the code. See design/fuzzing.md.
set -eu
cd "$(dirname "$0")"

seconds=${1:-60}
[ "$#" -eq 0 ] || shift
if [ "$#" -eq 0 ]; then
    set -- rtp h264 rtsp sdp journal index http mp4 discovery soap boot_file bundle
fi
command -v cargo-fuzz >/dev/null || {
    echo 'run.sh: cargo-fuzz is needed: cargo install cargo-fuzz' >&2
    exit 1
}

# What is fuzzed is what is built.
cp ../../Cargo.lock Cargo.lock
export RUSTC_BOOTSTRAP=1
for target; do
    seeds=()
    case $target in
        h264) seeds=(../fixtures/h264) ;;
        rtsp | sdp) seeds=(../../src/rtsp/tests/dialogues) ;;
        discovery | soap) seeds=(../fixtures/onvif/"$target") ;;
        boot_file) seeds=(../../etc) ;;
    esac
    mkdir -p "corpus/$target"
    echo "== $target, $seconds s"
    cargo fuzz run --sanitizer none --fuzz-dir . "$target" "corpus/$target" ${seeds[@]+"${seeds[@]}"} -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1
done
