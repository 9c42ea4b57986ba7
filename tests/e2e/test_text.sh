#!/bin/sh
# Text to image against whole pipelines of diffusers (tests/golden/pipelines.py
# drew them): latents, a picture, and the same bytes however the work is dealt
# out.
# shellcheck source=tests/e2e/pipelines.sh
. "$(dirname "$0")/pipelines.sh"
rm -rf ./*.png ./*.safetensors ./*.yaml ./*.txt model other lcm broken v .weft

for drawn in "$golden"/pipe_*.safetensors; do
    name=$(basename "$drawn" .safetensors)
    config "$name"
    sample "$name" output.image="$name.png"
    picture=$golden/$name.png
    [ -e "$picture" ] || continue
    printf '%s.png: ' "$name"
    "$COMPARE" "$name.png" "$picture" 0.001 || fail "$name.png"
done

# ---- the same bytes, however the work is dealt out --------------------------

dealt() { # RANKS KEY=VALUE...: $case as on one rank
    n=$1
    shift
    ranks "$n" "$WEFT" sample "$case.yaml" "$@" output.latents=b.safetensors \
        output.image=b.png 2>out.txt || fail "$n ranks, $*: $(cat out.txt)"
    same_file b.safetensors one.safetensors
    same_file b.png one.png
    rm -f b.safetensors b.png
}

begin() { # CASE, of which 6 steps are enough
    case=$1
    config "pipe_$case"
    sed 's/"steps": 20/"steps": 6/' "pipe_$case.yaml" >"$case.yaml"
    "$WEFT" sample "$case.yaml" output.latents=one.safetensors \
        output.image=one.png || fail "$case"
}

begin w2sd
dealt 3 'parallel.roles={strong: 2, weak: 1}'
begin and
dealt 2 'parallel.roles={strong: 1, weak: 1}'
begin sdxl
dealt 3
dealt 5 'parallel.roles={cond: 3, uncond: 2}'
grains() { # HEIGHT ROWS: of the automatic grain
    "$WEFT" plan sdxl.yaml sample.width=512 "sample.height=$1" >out.txt
    grep -q "grain $2 rows" out.txt || fail "grain of $1: $(cat out.txt)"
}
grains 512 8
grains 480 4 # 7 units of 8 and a half
grains 544 4 # 8 and a half
grains 448 4 # 7
large="sample.width=512 sample.height=512"
# shellcheck disable=SC2086
refused 2 "parallel.grain auto is 8 rows (4 makes more patches)" \
    "$WEFT" plan sdxl.yaml $large --ranks 9
# shellcheck disable=SC2086
"$WEFT" plan sdxl.yaml $large parallel.grain=4 --ranks 9 >/dev/null ||
    fail "a grain of 4 rows"
begin sd15
dealt 2
dealt 3
dealt 5
dealt 2 'parallel.roles={cond: 1, uncond: 1}'
dealt 3 'parallel.roles={cond: 2, uncond: 1}'
dealt 2 parallel.roles=auto

# ---- pictures as starts, and masks ------------------------------------------

image="sample.image=$golden/pipe_sd15.png"
mask="sample.mask=$golden/paint_mask.png"
paint() { # NAME KEY=VALUE...
    name=$1
    shift
    "$WEFT" sample pipe_sd15.yaml "$image" "$@" output.latents=a.safetensors \
        output.image=a.png || fail "$name: weft sample"
    printf '%s: ' "$name"
    "$COMPARE" a.safetensors "$golden/paint_$name.safetensors" 2e-4 ||
        fail "$name"
}
paint image sample.strength=0.6
paint all "$mask" sample.strength=1
paint euler_a "$mask" sample.strength=0.5 sample.solver=euler_ancestral
paint mask "$mask" sample.strength=0.7
for n in 2 3 5; do
    ranks "$n" "$WEFT" sample pipe_sd15.yaml "$image" "$mask" sample.strength=0.7 \
        output.latents=b.safetensors 2>out.txt ||
        fail "$n ranks, painted: $(cat out.txt)"
    same_file b.safetensors a.safetensors
done
ranks 3 "$WEFT" sample pipe_sd15.yaml "$image" "$mask" sample.strength=0.7 \
    'parallel.roles={cond: 2, uncond: 1}' output.latents=b.safetensors \
    2>out.txt || fail "roles, painted: $(cat out.txt)"
same_file b.safetensors a.safetensors
"$WEFT" sample a.png output.image=again.png || fail "painted again"
same_file again.png a.png
refused 2 "is 64 x 320 pixels" "$WEFT" plan pipe_sd15.yaml "$image" sample.width=128
refused 2 "leaves none of 20 steps" "$WEFT" plan pipe_sd15.yaml "$image" \
    sample.strength=0.01
refused 2 "superposed samples begin with noise" "$WEFT" plan pipe_and.yaml \
    "$image" sample.width=64 sample.height=320
refused 2 "none.png" "$WEFT" plan pipe_sd15.yaml sample.image=none.png
"$WEFT" plan pipe_sd15.yaml "$image" sample.width=64 sample.height=320 >out.txt
grep -q "^vae .*given back before the first step" out.txt ||
    fail "the picture's encoder stays"

# components one by one
parts='"models": {"it": {"path": "model/unet"}}'
parts="$parts, \"vae\": {\"path\": \"model/vae\"}"
parts="$parts, \"schedule\": {\"path\": \"model/scheduler\"}"
parts="$parts, \"text\": {\"encoder\": \"model/text_encoder\","
parts="$parts \"tokenizer\": \"model/tokenizer\"}"
sed "s|\"pipeline\": \"model\"|$parts|" sd15.yaml >parts.yaml
"$WEFT" sample parts.yaml output.latents=b.safetensors ||
    fail "components one by one"
same_file b.safetensors one.safetensors

# an image says what it was asked, and is drawn again
"$WEFT" sample one.png output.image=again.png || fail "an image drawn again"
same_file again.png one.png
"$WEFT" inspect one.png >out.txt
grep -q "a photo of a cat, 8k" out.txt || fail "no prompt in the picture"

# stopped, and gone on with on another number of ranks; not with other words
stopped e.safetensors sd15
refused 2 "sample.prompt was" "$WEFT" sample sd15.yaml sample.prompt=b \
    output.latents=e.safetensors
ranks 2 "$WEFT" sample sd15.yaml output.latents=e.safetensors 2>stop.txt ||
    fail "gone on: $(cat stop.txt)"
same_file e.safetensors one.safetensors

# items of a data set may have words of their own
cat >set.yaml <<'END'
pipeline: model
sample: { steps: 2, guidance: 3, width: 64, height: 64, prompt: "a dog" }
dataset: { manifest: items.jsonl, format: folder }
output: { dir: set }
END
cat >items.jsonl <<'END'
{"id": "a", "seed": 1, "prompt": "a cat, \"8k\""}
{"id": "b", "seed": 1}
END
rm -rf set
ranks 2 "$WEFT" dataset set.yaml 2>out.txt || fail "a data set: $(cat out.txt)"
"$WEFT" sample set.yaml sample.seed=1 'sample.prompt=a cat, "8k"' \
    output.image=a.png
"$WEFT" sample set.yaml sample.seed=1 output.image=b.png
same_file set/000000/a.png a.png
same_file set/000000/b.png b.png
rm b.png

# memory is told before anything is loaded
"$WEFT" plan sd15.yaml >out.txt
grep -q "^text .*given back before the first step" out.txt ||
    fail "no text encoder in the plan"
grep -q "state + past + text$" out.txt || fail "no memory of the text"
refused 2 "run.memory: a rank may take 0.001 GiB" "$WEFT" plan sd15.yaml \
    run.memory=0.001
refused 0 "" "$WEFT" plan sd15.yaml run.memory=1

# displaced: repeatable, and a little another picture
for file in c.safetensors d.safetensors; do
    ranks 2 "$WEFT" sample sd15.yaml parallel.exchange=async \
        output.latents="$file" 2>out.txt || fail "async: $(cat out.txt)"
done
same_file c.safetensors d.safetensors
! cmp -s c.safetensors one.safetensors || fail "async is as in step"

# ---- what is refused --------------------------------------------------------

printf 'pipeline: model\nsample: {width: 64, height: 64}\n' >sd.yaml
refused 2 "give sample.prompt" "$WEFT" plan sd.yaml
long=$(printf 'word %.0s' $(seq 100))
refused 0 'cut off: "' "$WEFT" sample sd15.yaml "sample.prompt=$long" \
    sample.steps=1 output.image=b.png
refused 0 'negative prompt is longer than the 75 tokens' "$WEFT" sample \
    sd15.yaml "sample.negative_prompt=$long" sample.steps=1 output.image=b.png
refused 2 "takes no text" "$WEFT" plan "$configs/demo.yaml" sample.prompt=a
refused 2 "takes no labels" "$WEFT" plan sd15.yaml sample.label=1
refused 2 "layers cannot be skipped" "$WEFT" plan sd15.yaml sample.clip_skip=9
mkdir v
sed 's/"DDIMScheduler",/& "prediction_type": "v_prediction",/' \
    model/scheduler/scheduler_config.json >v/scheduler_config.json
refused 2 "prediction_type is v_prediction, and the model it has" \
    "$WEFT" plan parts.yaml schedule.path=v
refused 0 "" "$WEFT" plan parts.yaml schedule.prediction_type=v_prediction
"$PIPELINE" "$golden/pipe_sdxl.safetensors" other >xl.yaml
rm -f b.png
refused 2 "they are of different models" "$WEFT" plan parts.yaml \
    text.encoder=other/text_encoder_2
# a tokenizer with one token more than its encoder is refused at the start, also
# where no text has it
cp -r model/tokenizer v/more
sed 's/^{/{"xyzzy<\/w>": 1214, /' model/tokenizer/vocab.json >v/more/vocab.json
more='v/more: token "xyzzy</w>" has the id 1214, and the text encoder'
more="$more model/text_encoder has 1214 tokens"
refused 2 "$more" "$WEFT" plan parts.yaml text.tokenizer=v/more
refused 2 "$more" "$WEFT" sample parts.yaml text.tokenizer=v/more
printf '{"id": "a", "seed": 1, "prompt": "a cat"}\n' >v/items.jsonl
refused 2 "$more" "$WEFT" dataset parts.yaml text.tokenizer=v/more \
    dataset.manifest=v/items.jsonl output.dir=v/set
[ ! -e v/set/index.jsonl ] || fail "begun with a tokenizer of another model"
"$PIPELINE" "$golden/pipe_lcm.safetensors" lcm >lcm.yaml
refused 2 "is told its guidance (time_cond_proj_dim)" "$WEFT" plan lcm.yaml \
    sample.guidance_rescale=0.5
refused 2 "is told its guidance (time_cond_proj_dim)" "$WEFT" plan lcm.yaml \
    sample.guidance_schedule=linear
# a tokenizer may give fewer tokens than its encoder has places for, and may say
# "no limit" as transformers does
cp -r model/tokenizer v/short
limit() { # TOKENS: of v/short
    sed "s/\"model_max_length\": [0-9]*/\"model_max_length\": $1/" \
        model/tokenizer/tokenizer_config.json >v/short/tokenizer_config.json
    grep -q "$1" v/short/tokenizer_config.json || fail "no model_max_length"
    refused 0 "" "$WEFT" sample parts.yaml text.tokenizer=v/short \
        sample.steps=1 output.latents=b.st
}
refused 0 "" "$WEFT" sample parts.yaml sample.steps=1 output.latents=c.st
limit 40
! cmp -s b.st c.st || fail "a text of 40 tokens is as one of 77"
limit 1000000000000000019884624838656
same_file b.st c.st
rm b.st c.st
refused 2 "model/unet/config.json: a UNet2DConditionModel is not a text encoder" \
    "$WEFT" plan parts.yaml text.encoder=model/unet
refused 2 "scheduler_config.json: is the config of a component: give the folder" \
    "$WEFT" plan parts.yaml schedule.path=model/scheduler/scheduler_config.json
refused 2 "(1001 steps; the schedule has 1000 to take them from)" \
    "$WEFT" plan parts.yaml sample.steps=1001
cp -r model/vae v/vae
sed 's/^{/{"latent_channels": 16, /' model/vae/config.json \
    >v/vae/config.json
refused 2 "v/vae: has 16 latent channels, and the model model/unet has 4" \
    "$WEFT" plan parts.yaml vae.path=v/vae
cp -r model broken
rm -r broken/text_encoder
refused 2 "text_encoder" "$WEFT" plan sd15.yaml pipeline=broken
sed 's/"CLIPTextModel"/"BertModel"/' model/model_index.json \
    >broken/model_index.json
refused 2 "BertModel" "$WEFT" plan sd15.yaml pipeline=broken
# classes of pipelines: those that draw otherwise, and somebody's own
class() { # JSON: that of broken/
    sed "s/\"StableDiffusionPipeline\"/$1/" model/model_index.json \
        >broken/model_index.json
}
class '"FluxPipeline"'
refused 2 "broken: is a FluxPipeline, which weft cannot sample" \
    "$WEFT" plan sd15.yaml pipeline=broken
cp -r model/text_encoder broken/
class '["mine", "MyPipeline"]'
for command in "$WEFT plan" "$MPIEXEC -n 3 $WEFT sample"; do
    # shellcheck disable=SC2086 # words
    refused 0 "weft: broken: weft does not know the class MyPipeline" $command \
        sd15.yaml pipeline=broken sample.steps=1 output.image=b.png
    [ "$(grep -c MyPipeline out.txt)" = 1 ] || fail "a class is not told once"
done
rm -f b.png
mv model/vae/config.json model/vae/kept
refused 2 "model/vae" "$WEFT" plan sd15.yaml
mv model/vae/kept model/vae/config.json

# a decoder of numbers that are none
"$PYTHON" - model/vae/diffusion_pytorch_model.safetensors <<'END'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
size, = struct.unpack("<Q", data[:8])
at = json.loads(data[8:8 + size])["decoder.conv_out.bias"]["data_offsets"][0]
data[8 + size + at:8 + size + at + 2] = b"\0\x7e"
open(sys.argv[1], "wb").write(data)
END
refused 1 "decoding with model/vae" "$WEFT" sample sd15.yaml output.image=b.png \
    sample.steps=1
[ ! -e b.png ] || fail "a picture that is not a number was written"

finish
