#!/bin/sh
# Models made for inpainting, against diffusers' pipelines
# (tests/golden/pipelines.py nine), and the same bytes however the work is dealt
# out.
# shellcheck source=tests/e2e/pipelines.sh
. "$(dirname "$0")/pipelines.sh"
rm -rf ./*.png ./*.safetensors ./*.yaml ./*.txt model base .weft

image="sample.image=$golden/pipe_sd15.png"
mask="sample.mask=$golden/paint_mask.png"
for name in nine_all nine_xl nine_sd2 nine_sd2_v nine_part; do
    config "$name"
    sample "$name" "$image" "$mask"
done
same 2 "$name" "$image" "$mask"
same 3 "$name" "$image" "$mask" 'parallel.roles={cond: 2, uncond: 1}'
same 5 "$name" "$image" "$mask"

# what the plan says is sent, the picture's encoder too, is what is sent
counts() { # RANKS KEY=VALUE...
    n=$1
    shift
    rm -f run.jsonl
    "$WEFT" plan "$name.yaml" "$image" "$mask" "$@" --ranks "$n" --json >plan.json
    ranks "$n" "$WEFT" sample "$name.yaml" "$image" "$mask" "$@" \
        output.report=run.jsonl output.image=b.png 2>out.txt ||
        fail "$n ranks, counted: $(cat out.txt)"
    "$PYTHON" - <<'END' || fail "$n ranks, $*: not as planned"
import json
plan = json.load(open("plan.json"))["group_0_total"]
run = json.loads(open("run.jsonl").readlines()[-1])
for what in "messages", "bytes":
    for kind, n in run[what + "_sent"].items():
        planned = plan.get(kind, {}).get(what, 0)
        assert n == planned, f"{kind}: {n} {what}, planned {planned}"
END
}
counts 3 output.image=b.png
counts 3 output.image=b.png parallel.roles='{cond: 1, uncond: 1, vae: 1}'
"$WEFT" plan "$name.yaml" "$image" "$mask" | grep -q "vae *2 evaluations per run" ||
    fail "the plan does not count the encoder"

# ---- what is refused --------------------------------------------------------

cp "$golden/pipe_sd15.png" start.png
for key in image mask; do
    refused 2 "start.png is a picture that this run looks at" \
        "$WEFT" sample "$name.yaml" "$image" "$mask" sample.$key=start.png \
        output.image=start.png
done
same_file start.png "$golden/pipe_sd15.png"
refused 2 "is made for inpainting: give sample.image and sample.mask" \
    "$WEFT" plan "$name.yaml"
refused 2 "is made for inpainting: give sample.image and sample.mask" \
    "$WEFT" plan "$name.yaml" "$image"
"$PIPELINE" "$golden/pipe_sd15.safetensors" base >out.txt
refused 2 "one is made for inpainting and the other is not" "$WEFT" plan \
    "$name.yaml" "$image" "$mask" \
    'models={a: {pipeline: model}, b: {pipeline: base}}' sample.model=a \
    sample.refiner=b

finish
