#!/bin/sh
# Control nets against diffusers' pipelines (tests/golden/pipelines.py drew the
# latents), the same bytes however the work is dealt out, messages and memory as
# planned, and what is refused.
# shellcheck source=tests/e2e/pipelines.sh
. "$(dirname "$0")/pipelines.sh"
: "${PYTHON:?}"
rm -rf ./*.png ./*.safetensors ./*.yaml ./*.txt ./*.json ./*.jsonl model set \
    other .weft
cp "$golden/pipe_sd15.png" "$golden/paint_mask.png" "$golden/control_xl.png" .

for name in control_sd15 control_sdxl control_two; do
    config $name
    sample $name
done
mv control_two.yaml two.yaml

# ---- the same bytes, however the work is dealt out --------------------------

sed 's/"steps": 20/"steps": 3/' two.yaml >few.yaml
"$WEFT" sample few.yaml output.latents=a.safetensors output.image=one.png ||
    fail "few steps"
same 2 few
same 3 few
same 5 few
same 3 few 'parallel.roles={cond: 2, uncond: 1}'
same 5 few 'parallel.roles={cond: 2, uncond: 1, text: 1, vae: 1}'
"$WEFT" sample one.png output.image=again.png || fail "drawn again"
same_file again.png one.png

# strong and weak: one has control nets, the other has not
"$PYTHON" - <<'END'
import json

c = json.load(open("few.yaml"))
c["models"] = {"strong": c["models"]["it"], "weak": {"pipeline": "model"}}
c["sample"]["method"] = "w2sd"
json.dump(c, open("few.yaml", "w"))
END
packed() { # KEY=VALUE...: MiB packed at once
    rm -f p.jsonl
    "$WEFT" sample few.yaml output.report=p.jsonl "$@" 2>out.txt ||
        fail "$*: $(cat out.txt)"
    sed -n 's/.*"weights_packed_bytes": *\([0-9]*\).*/\1/p' p.jsonl
}
# ... and what the two have in common is packed once
both=$(packed output.latents=a.safetensors)
one=$(packed output.latents=b.safetensors sample.method=plain sample.model=strong)
[ "$both" = "$one" ] || fail "strong and weak pack $both, strong alone $one"
same 3 few 'parallel.roles={strong: 2, weak: 1}'
"$WEFT" plan few.yaml --ranks 2 --json 'parallel.roles={strong: 1, weak: 1}' >plan.json
"$PYTHON" - <<'END' || fail "weak has strong's control nets"
import json

strong, weak = (p["weights_bytes"] for p in json.load(open("plan.json"))["by_patch"])
assert 1.2 * weak < strong, (strong, weak)
END

# ---- what is planned is what is done ----------------------------------------

counts() { # RANKS KEY=VALUE...
    n=$1
    shift
    set -- two.yaml sample.steps=3 output.latents=a.safetensors \
        output.report=run.jsonl "$@"
    rm -f run.jsonl
    "$WEFT" plan "$@" --ranks "$n" --json >plan.json
    ranks "$n" "$WEFT" sample "$@" 2>out.txt || fail "$*: $(cat out.txt)"
    "$PYTHON" - <<'END' || fail "$n ranks: $*"
import json
import sys

plan = json.load(open("plan.json"))
run = json.loads(open("run.jsonl").readlines()[-1])
for name, messages in run["messages_sent"].items():
    want = plan["group_0_total"].get(name, {"messages": 0, "bytes": 0})
    got = {"messages": messages, "bytes": run["bytes_sent"][name]}
    if got != want:
        sys.exit(f"{name}: the plan says {want}, the run {got}")
END
}
counts 2
counts 3 parallel.exchange=async parallel.warmup=1
"$WEFT" plan two.yaml >out.txt
[ "$(grep -c "1 evaluation per run of 1 sample" out.txt)" = 2 ] ||
    fail "control nets in the plan: $(cat out.txt)"

# stopped, and gone on with
stopped e.safetensors two run.checkpoint=3
ranks 2 "$WEFT" sample two.yaml output.latents=e.safetensors 2>stop.txt ||
    fail "gone on: $(cat stop.txt)"
"$COMPARE" e.safetensors "$golden/control_two.safetensors" 2e-4 ||
    fail "gone on to another picture"

# ---- items of a data set with pictures of their own --------------------------

"$PYTHON" - <<'END'
import json

c = json.load(open("two.yaml"))
for control in c["models"]["it"]["controls"]:
    del control["image"]
c["sample"] |= {"steps": 2, "seed": 4}
json.dump(c, open("own.yaml", "w"))
END
mkdir -p lists
cat >lists/items.jsonl <<'END'
{"id": "a", "seed": 4, "control": "../pipe_sd15.png"}
{"id": "b", "seed": 4, "control": "../paint_mask.png"}
END
ranks 2 "$WEFT" dataset own.yaml dataset.manifest=lists/items.jsonl \
    dataset.format=folder output.dir=set 2>out.txt ||
    fail "a data set: $(cat out.txt)"
"$WEFT" sample own.yaml sample.control=paint_mask.png output.image=b.png ||
    fail "an item's own picture"
same_file set/000000/b.png b.png
! cmp -s set/000000/a.png b.png || fail "items follow one picture"
echo '{"id": "c", "seed": 4, "control": "none.png"}' >>lists/items.jsonl
cp -r set before
rm -rf set
refused 2 "lists/items.jsonl:3: lists/none.png" "$WEFT" dataset own.yaml output.dir=set \
    dataset.manifest=lists/items.jsonl

# one that is damaged inside fails alone, and is named; once it is mended, too
cp pipe_sd15.png lists/one.png
cp paint_mask.png lists/two.png
head -c 2000 pipe_sd15.png >lists/bad.png
cat >lists/items.jsonl <<'END'
{"id": "a", "seed": 4, "control": "one.png"}

{"id": "c", "seed": 4, "control": "bad.png"}
{"id": "b", "seed": 4, "control": "two.png"}
END
own() { # RANKS ARGUMENT...
    n=$1
    shift
    ranks "$n" "$WEFT" dataset own.yaml output.dir=set dataset.format=folder \
        dataset.manifest=lists/items.jsonl "$@" 2>out.txt
}
own 2 parallel.patches=2 || fail "a damaged picture: $(cat out.txt)"
[ "$(grep -c "weft: lists/items.jsonl:3: item c is not made: lists/bad.png: " \
    out.txt)" = 1 ] || fail "does not name the damaged picture: $(cat out.txt)"
grep -q '"failed": 1.*"c": "control picture"' set/000000.json ||
    fail "no status of c"
grep -q '"faults": {"c": "lists/bad.png: ' set/000000.json || fail "not said why"
for item in a b; do
    "$COMPARE" set/000000/$item.png before/000000/$item.png 0 || fail "$item"
done
own 1 || fail "again: $(cat out.txt)"
grep -q ' 0 items made' out.txt || fail "made again: $(cat out.txt)"
cp pipe_sd15.png lists/bad.png
own 1 --retry-failed || fail "mended: $(cat out.txt)"
grep -q ' 1 items made' out.txt || fail "not mended: $(cat out.txt)"
"$COMPARE" set/000000/c.png set/000000/a.png 0 || fail "c"
# a picture that was copied is the same, one that was changed another
touch lists/two.png
own 2 || fail "copied: $(cat out.txt)"
cp pipe_sd15.png lists/two.png
refused 2 "lists/items.jsonl:4: lists/two.png has changed since shard 000000" \
    "$WEFT" dataset own.yaml output.dir=set dataset.format=folder \
    dataset.manifest=lists/items.jsonl
# ... and the first is looked at before anything is written
head -c 2000 pipe_sd15.png >lists/one.png
rm -rf set
refused 2 "lists/items.jsonl:1: lists/one.png: " "$WEFT" dataset own.yaml \
    output.dir=set dataset.format=folder dataset.manifest=lists/items.jsonl
[ ! -e set/dataset.json ] || fail "a card of what cannot be made"
rm -rf before

# items that none looks at, and one that has nothing to be looked at
cat >lists/items.jsonl <<'END'
{"id": "a", "seed": 4}
{"id": "b", "seed": 4, "control": "../paint_mask.png"}
END
refused 2 "lists/items.jsonl:2: two.yaml: sample.control: all controls of the \
models have an image of their own" "$WEFT" dataset two.yaml output.dir=set \
    dataset.manifest=lists/items.jsonl
refused 2 "lists/items.jsonl:1: own.yaml: models.it.controls: " "$WEFT" \
    dataset own.yaml output.dir=set dataset.manifest=lists/items.jsonl

# ---- what is said, and refused ----------------------------------------------

"$WEFT" inspect model/control1 >out.txt || fail "inspect: $(cat out.txt)"
grep -q "follows a picture of 3 channels in reverse order, 8x8 pixels" out.txt ||
    fail "inspect says $(cat out.txt)"
! grep -q "cannot" out.txt || fail "inspect says $(cat out.txt)"

with() { # CODE TEXT CONTROL: CONTROL is the only one
    printf '{pipeline: model, models: {it: {pipeline: model, controls: [%s]}},
        sample: {prompt: a, width: 64, height: 320, steps: 2}}\n' "$3" >c.yaml
    refused "$1" "$2" "$WEFT" plan c.yaml
}
picture="image: pipe_sd15.png"
with 0 "" "{path: model/control0, $picture}"
with 2 "model/none" "{path: model/none, $picture}"
with 2 "a UNet2DConditionModel is not a control net" \
    "{path: model/unet, $picture}"
with 2 "has no picture: give it an image" "{path: model/control0}"
with 2 "control_xl.png is 96 x 192 pixels, and sample.width and height are 64" \
    "{path: model/control0, image: control_xl.png}"
with 2 "none.png" "{path: model/control0, image: none.png}"
with 2 "expected a number, found \".inf\"" \
    "{path: model/control0, $picture, scale: .inf}"
with 2 "its end (0.5) is not after its start (0.5)" \
    "{path: model/control0, $picture, start: 0.5, end: 0.5}"
refused 0 "" "$WEFT" plan c.yaml "models.it.controls=[{path: model/control0}]" \
    sample.control=pipe_sd15.png
with 0 "" "{path: model/control0, $picture}"
sed 's/prompt: a,/prompt: a, control: pipe_sd15.png,/' c.yaml >both.yaml
refused 2 "both.yaml:2: sample.control: all controls of the models have an \
image of their own" "$WEFT" plan both.yaml
refused 2 "c.yaml: sample.control: all controls" "$WEFT" plan c.yaml \
    sample.control=pipe_sd15.png
refused 2 "none of the models has controls" "$WEFT" plan "$configs/demo.yaml" \
    sample.control=pipe_sd15.png
refused 2 "control nets are for a UNet2DConditionModel" "$WEFT" plan "$configs/demo.yaml" sample.width=64 \
    sample.height=320 "models.strong.controls=[{path: model/control0}]" \
    sample.control=pipe_sd15.png
"$PIPELINE" "$golden/control_sdxl.safetensors" other >xl.yaml
with 2 "another base" "{path: other/control0, $picture}"

# nets that are none, or of other bases
change() { # KEY VALUE: other/control0 is model/control0 but for that
    rm -rf other/control0
    cp -r model/control0 other/control0
    "$PYTHON" - "$1" "$2" <<'END'
import json
import sys

path = "other/control0/config.json"
c = json.load(open(path))
c[sys.argv[1]] = json.loads(sys.argv[2])
json.dump(c, open(path, "w"))
END
}
refuses() { # KEY VALUE TEXT
    change "$1" "$2"
    with 2 "$3" "{path: other/control0, $picture}"
}
refuses _class_name '"T2IAdapter"' "T2IAdapter"
refuses cross_attention_dim 768 "a cross_attention_dim of 768"
refuses block_out_channels '[16, 16, 32, 40]' "other/control0/config.json: may be for another base: model/unet"
refuses conditioning_embedding_out_channels '[8, 12, 16]' \
    "looks at 4 x 4 pixels for each of the sample, and a picture has 8 x 8"
refuses conditioning_channels 4 "looks at 4 channels"
refuses global_pool_conditions true "global_pool_conditions"
"$WEFT" inspect other/control0 >out.txt || true
grep -q "global_pool_conditions" out.txt || fail "inspect says $(cat out.txt)"

# nor one beside a model that is made for inpainting, in words
"$PIPELINE" "$WEFT_SOURCE_DIR/tests/golden/nine_part.safetensors" nine >/dev/null
refused 2 "control nets do not go with models that are made for inpainting, as \
nine/unet is" "$WEFT" plan two.yaml \
    "models={it: {pipeline: nine, controls: [{path: model/control0, $picture}]}}" \
    sample.image=pipe_sd15.png sample.mask=paint_mask.png

# a damaged one is told from the U-Net that it is built into
change _class_name '"ControlNetModel"'
sed -i 's/"controlnet_mid_block.weight"/"controlnet_mid_block.weighs"/' \
    other/control0/diffusion_pytorch_model.safetensors
with 2 "other/control0/diffusion_pytorch_model.safetensors: 1 tensor missing: \
controlnet_mid_block.weight" "{path: other/control0, $picture}"
rm other/control0/diffusion_pytorch_model.safetensors
with 2 "other/control0" "{path: other/control0, $picture}"

finish
