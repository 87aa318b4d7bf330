#!/bin/bash
# Makes the Debian package: packaging/build.sh [VERSION]. Needs cargo-deb, in
# PATH or where tests/install.sh puts it; its last line is the package's path.
set -eu

cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$target
export PATH=$PATH:$target/tools/bin
version=${1:-}
# The same source makes the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

cargo build --quiet --release -p vmlan -p vmlan-bridge-helper -p vmlan-packaging
made=$target/release/package
rm -rf "$made"
"$target/release/vmlan-packaging" "$made"
gzip -9n "$made"/man/*
cargo deb --quiet --strip --no-build -p vmlan ${version:+--deb-version "$version"}
