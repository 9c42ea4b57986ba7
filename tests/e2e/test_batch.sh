#!/bin/sh
# Several seeds in one run, in batches of any size and on ranks side by side,
# are the images that each seed makes alone; and a picture makes itself again.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf ./*

draw() { # RANKS FOLDER KEY=VALUE...
    n=$1 folder=$2
    shift 2
    ranks "$n" "$WEFT" sample "$configs/seeds.yaml" sample.steps=2 \
        sample.width=64 sample.height=48 run.threads=1 \
        sample.solver=euler_ancestral output.report="$folder/run.jsonl" \
        output.image="$folder/{seed}.png" \
        output.latents="$folder/{seed}.safetensors" "$@"
}

for seed in 3 4 5 18446744073709551615; do
    draw 1 alone sample.seed="$seed"
done
seeds=sample.seeds="3-5,18446744073709551615"
draw 1 four "$seeds" run.batch=4
draw 1 three "$seeds" run.batch=3
draw 3 shared "$seeds" run.batch=2
draw 4 beside "$seeds" parallel.patches=1
draw 6 both "$seeds" parallel.patches=3
for folder in four three shared beside both; do
    for file in alone/*.png alone/*.safetensors; do
        same_file "$file" "$folder/${file#alone/}"
    done
    [ "$(find "$folder" -name '*.png' | wc -l)" = 4 ] ||
        fail "$folder: not four pictures"
done
if cmp -s alone/3.png alone/4.png; then fail "two seeds, one picture"; fi

# It finds its models from the working folder.
image=$PWD/four/5.png
(cd "$WEFT_SOURCE_DIR" && ranks 2 "$WEFT" sample "$image")
same_file four/5.png four/5-again.png
finish
