#!/bin/sh
# Whole samplings with the demo models against diffusers' (tests/golden/nets.py
# made them, and their metadata says how): final latents, and pictures.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${COMPARE:?}"
rm -rf ./*.png ./*.safetensors ./*.yaml

# Metadata of a golden as arguments: MODEL KEY=VALUE...
arguments() {
    "$PYTHON" - "$1" <<'END'
import json, struct, sys
with open(sys.argv[1], "rb") as f:
    size, = struct.unpack("<Q", f.read(8))
    said = json.loads(f.read(size))["__metadata__"]
del said["diffusers"]
print(said.pop("model"), *(f"sample.{k}={v}" for k, v in said.items()))
END
}

check() { # MODEL KEY=VALUE..., with $golden and $name set
    model=$1
    shift
    cat >"$name.yaml" <<END
models:
  net: { path: $WEFT_SOURCE_DIR/models/demo/$model }
vae: { path: $WEFT_SOURCE_DIR/models/demo/vae }
schedule: { path: $WEFT_SOURCE_DIR/models/demo/scheduler }
output:
  image: $name.png
  latents: $name.safetensors
END
    "$WEFT" sample "$name.yaml" "$@" || fail "$name: weft sample"
    limit=1e-4
    case $name in *euler* | *heun* | *dpmpp* | *eta*) limit=2e-4 ;; esac
    printf '%s: ' "$name"
    "$COMPARE" "$name.safetensors" "$golden" "$limit" || fail "$name"
    picture=${golden%.safetensors}.png
    [ -e "$picture" ] || return 0
    printf '%s: ' "$name"
    "$COMPARE" "$name.png" "$picture" 0.001 || fail "$name.png"
}

for golden in "$WEFT_SOURCE_DIR"/tests/golden/demo_*.safetensors; do
    name=$(basename "$golden" .safetensors)
    # shellcheck disable=SC2046 # several arguments
    check $(arguments "$golden")
done
finish
