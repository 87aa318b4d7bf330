#!/bin/bash
# Installs what the tests need and runs all of them: format, lints, docs, unit
# tests, the tests with the real thing, ten seconds of each fuzz target, and that
# the benches build. Goes on after a failure; the last line is the sum. Extra
# arguments go to the tests with the real thing, such as `--test guests`.
set -u

cd "$(dirname "$0")/.." || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failures=()

# step NAME COMMAND…: runs it, and remembers where it failed.
step() {
	local name=$1
	shift
	echo "== $name"
	if ! "$@" 2>&1 | tee -a "$log"; then
		failures+=("$name")
	fi
}
set -o pipefail

# Cargo takes a relative one from the folder that it runs in, which for test
# programs is another one.
if [ -n "${CARGO_TARGET_DIR:-}" ]; then
	CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")
	export CARGO_TARGET_DIR
fi

for tool in fmt clippy; do
	step "cargo $tool is there" cargo "$tool" --version
done
step "what the tests need" tests/install.sh

step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
step "format and lints of the fuzz targets" bash -c '
	cargo fmt --manifest-path fuzz/Cargo.toml --check && cargo clippy --quiet --locked \
		--manifest-path fuzz/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}" -- -D warnings'
step "docs" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
step "the programs" cargo build --release --package vmlan --package vmlan-bridge-helper
step "the package" packaging/build.sh
step "tests" cargo test --workspace --exclude vmlan-tests --no-fail-fast
# One at a time: on two cores they would only take time from each other.
step "tests with the real thing" \
	env RUST_TEST_THREADS=1 cargo test --package vmlan-tests --no-fail-fast "$@"
step "fuzz targets" fuzz/run.sh 10
step "benches" cargo bench --workspace --no-run --quiet
# These two count, and measure no time.
step "memory a lease, allocations a frame" cargo bench --quiet \
	--package vmlan-benches --bench leases --bench allocations

for failure in "${failures[@]}"; do
	echo "failed: $failure"
done
awk '/^test result: / { passed += $4; failed += $6 }
	END { printf "%d passed, %d failed\n", passed, failed }' "$log"
[ "${#failures[@]}" -eq 0 ]
