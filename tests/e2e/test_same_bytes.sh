#!/bin/sh
# The picture and the latents are the same bytes for any number of ranks and
# threads, on shapes whose rows divide evenly, unevenly, and hardly at all.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf ./*.png ./*.safetensors

draw() { # RANKS THREADS WIDTH HEIGHT NAME [KEY=VALUE...]
    n=$1 threads=$2 width=$3 height=$4 name=$5
    shift 5
    ranks "$n" "$WEFT" sample "$configs/demo.yaml" sample.steps=2 \
        sample.width="$width" sample.height="$height" run.threads="$threads" \
        output.image="$name.png" output.latents="$name.safetensors" "$@"
    for file in "$name.png" "$name.safetensors"; do
        [ -s "$file" ] || fail "$file is not there"
    done
}

compare() { # WIDTH HEIGHT TAG [KEY=VALUE...]
    width=$1 height=$2 tag=$3
    shift 3
    draw 1 1 "$width" "$height" "$tag-one" "$@"
    for layout in "1 2" "2 1" "3 1" "5 1" "2 2"; do
        name=$tag-$(echo "$layout" | tr ' ' x)
        # shellcheck disable=SC2086 # ranks and threads
        draw $layout "$width" "$height" "$name" "$@"
        same_file "$tag-one.png" "$name.png"
        same_file "$tag-one.safetensors" "$name.safetensors"
    done
}

compare 256 256 square
compare 320 192 wide
compare 96 80 least sample.solver=euler_ancestral sample.rng=torch-cpu
compare 64 80 lean run.kernels=lean sample.solver=euler_ancestral \
    sample.rng=torch-cuda sample.gpu=1x256
compare 64 80 plain run.kernels=reference

# Another seed is another picture, so that equality above means something.
draw 1 1 256 256 other sample.seed=8
if cmp -s square-one.png other.png; then fail "two seeds, one picture"; fi
finish
