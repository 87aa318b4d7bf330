#!/bin/bash
# Builds the fuzz targets and runs each for a time over its corpus:
#
#   fuzz/run.sh [SECONDS] [TARGET…]     default: 60 seconds, all targets
#   fuzz/run.sh --merge [TARGET…]       makes the corpus anew of what it has and
#                                       what was found since: the fewest inputs
#                                       that reach as much
#
# Fails on the first input that a target does not stand up to, and keeps it in
# target/fuzz/artifacts. What is found on the way is kept in target/fuzz/corpus,
# and is where the next run goes on. Wants stable Rust, gcc and g++, no more.
set -eu

cd "$(dirname "$0")/.."
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

merge=
seconds=60
case ${1:-} in
--merge) merge=1 && shift ;;
[0-9]*) seconds=$1 && shift ;;
esac
if [ $# -eq 0 ]; then
	mapfile -t targets < <(sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | tail -n +2)
else
	targets=("$@")
fi

# What `cargo fuzz` has rustc do: count the edges that an input takes, and tell
# what it compares. With --target, programs that only build are left out of it.
flags=(
	--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module
	-Cllvm-args=-sanitizer-coverage-level=4
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters
	-Cllvm-args=-sanitizer-coverage-pc-table
	-Cllvm-args=-sanitizer-coverage-trace-compares
)
RUSTFLAGS="${flags[*]}" cargo build --quiet --locked --release --bins \
	--manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$out"

log=$(mktemp)
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$log" "$TMPDIR"' EXIT

for target in "${targets[@]}"; do
	program=$out/$host/release/$target
	kept=fuzz/corpus/$target
	found=$out/corpus/$target
	artifacts=$out/artifacts/$target
	mkdir -p "$kept" "$found" "$artifacts"
	if [ -n "$merge" ]; then
		mkdir "$TMPDIR/$target"
		# The fewest inputs that take every edge, however often.
		"$program" -set_cover_merge=1 -use_counters=0 -max_len=2048 \
			"$TMPDIR/$target" "$kept" "$found" >"$log" 2>&1
		rm -r "$kept"
		mv "$TMPDIR/$target" "$kept"
		echo "$target: $(find "$kept" -type f | wc -l) inputs"
		continue
	fi
	if ! "$program" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
		-rss_limit_mb=1024 -artifact_prefix="$artifacts/" -print_final_stats=1 \
		"$found" "$kept" >"$log" 2>&1; then
		grep -v '^#' "$log" | tail -n 40
		echo "$target: failed; again with: $program INPUT"
		exit 1
	fi
	executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	edges=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
	counted=$(sed -n 's/.*inline 8-bit counters): \([0-9]*\) .*/\1/p' "$log")
	echo "$target: $executed executions, $edges of $counted edges reached"
done
