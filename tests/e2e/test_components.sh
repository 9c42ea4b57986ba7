#!/bin/sh
# Text encoders, nets that sample and the decoder on ranks of their own, of
# images and of data sets: the same bytes, in just the messages that the plan
# counts, and nobody holds what is not its own.
# shellcheck source=tests/e2e/pipelines.sh
. "$(dirname "$0")/pipelines.sh"
rm -rf ./*.png ./*.safetensors ./*.yaml ./*.jsonl ./*.json ./*.txt model d[0-9] \
    .weft

as_planned() { # REPORT PLAN: of one group
    "$PYTHON" - "$@" <<'END' || fail "$1: not as the plan says"
import json, sys
sent = json.loads(open(sys.argv[1]).read().splitlines()[-1])
plan = json.load(open(sys.argv[2]))["group_0_total"]
bad = [f"{name}: {n} {kind}, planned {plan.get(name, {}).get(kind, 0)}"
       for kind in ("bytes", "messages") for name, n in sent[kind + "_sent"].items()
       if n != plan.get(name, {}).get(kind, 0)]
sys.exit("\n".join(bad) or 0)
END
}

# ---- an image ---------------------------------------------------------------

config pipe_sdxl
draw() { # RANKS FOLDER ROLES KEY=VALUE...
    n=$1 folder=$2 roles=$3
    shift 3
    set -- pipe_sdxl.yaml sample.steps=3 run.threads=1 "parallel.roles=$roles" \
        "output.image=$folder.png" "output.latents=$folder.safetensors" \
        "output.report=$folder.jsonl" "$@"
    ranks "$n" "$WEFT" sample "$@" 2>out.txt || fail "$folder: $(cat out.txt)"
    "$WEFT" plan "$@" --ranks "$n" --json >plan.json || fail "$folder: no plan"
    as_planned "$folder.jsonl" plan.json
    same_file "$folder.png" one.png
    same_file "$folder.safetensors" one.safetensors
}
draw 1 one shared
draw 1 alone '{model: 1, text: 1, vae: 1}'
draw 2 two '{model: 1, text: 1, vae: 1}'
draw 3 three '{model: 1, text: 1, vae: 1}'
draw 5 five '{cond: 1, uncond: 1, text: 2, vae: 1}'
"$PYTHON" - <<'END' || fail "ranks hold what is not theirs"
import json
model, vae, text = json.load(open("plan.json"))["by_patch"][1:4]
assert model["weights_bytes"] > 50 * vae["weights_bytes"] > 0, (model, vae)
assert text["weights_bytes"] == 0 < text["reading_bytes"], text
assert model["reading_bytes"] == vae["reading_bytes"] == 0, model
maps = json.loads(open("three.jsonl").read().splitlines()[-1])["weights_mapped_by_rank"]
assert maps[0] > 40 * maps[1] > maps[2] == 0, maps
END

# Ranks that do not sample are never turns ahead, where nobody could stop them.
long() { # RANKS FILE ROLES
    n=$1
    set -- pipe_sdxl.yaml sample.steps=40 run.threads=1 "parallel.roles=$3" \
        "output.latents=$2.safetensors"
    ranks "$n" "$WEFT" sample "$@"
}
long 1 whole shared 2>out.txt || fail "40 steps: $(cat out.txt)"
long 3 stopped '{model: 1, text: 1, vae: 1}' >out.txt 2>&1 &
pid=$!
until_found .weft -name 'stopped*.lock'
# shellcheck disable=SC2046 # one of them
set -- $(told output.latents=stopped.safetensors)
[ $# = 0 ] || kill -USR1 "$1"
code=0
wait "$pid" || code=$?
[ "$code" = 75 ] || fail "exit $code, not stopped: $(cat out.txt)"
long 2 stopped '{cond: 1, uncond: 1, text: 1}' 2>out.txt ||
    fail "gone on: $(cat out.txt)"
same_file stopped.safetensors whole.safetensors

# ---- a data set -------------------------------------------------------------
# Texts come from those who read them, and both members from those who decode.

config pipe_sd15
cat >items.jsonl <<'END'
{"id": "a", "seed": 1, "prompt": "a cat"}
{"id": "b", "seed": 2, "prompt": "a dog", "negative_prompt": "rain"}
{"id": "c", "seed": 3, "prompt": "a cat"}
END
set_of() { # RANKS DIR ROLES KEY=VALUE...
    n=$1 dir=$2 roles=$3
    shift 3
    set -- pipe_sd15.yaml dataset.manifest=items.jsonl sample.steps=2 \
        sample.height=128 dataset.latents=true run.threads=1 run.batch=1 \
        "parallel.roles=$roles" "output.dir=$dir" "output.report=$dir.jsonl" "$@"
    ranks "$n" "$WEFT" dataset "$@" 2>out.txt || fail "$dir: $(cat out.txt)"
    "$WEFT" plan "$@" --ranks "$n" --json >plan.json || fail "$dir: no plan"
    as_planned "$dir.jsonl" plan.json
    same_file "$dir/000000.tar" d1/000000.tar
}
set_of 1 d1 shared
set_of 2 d2 '{model: 1, text: 1}'
set_of 3 d3 '{model: 1, text: 1, vae: 1}' parallel.flights=2
set_of 5 d5 '{model: 1, text: 2, vae: 2}'
for n in 1 2 3; do
    grep -q '"encoders_loaded": 1, "texts_read": 4,' d$n.jsonl ||
        fail "read anew: $(tail -n 1 d$n.jsonl)"
done

# the plan is of the first item
cat >sizes.jsonl <<'END'
{"id": "a", "seed": 1, "width": 128, "prompt": "a cat"}
{"id": "b", "seed": 2, "height": 576}
END
"$WEFT" plan pipe_sd15.yaml dataset.manifest=sizes.jsonl output.dir=x >out.txt
grep -q '^picture *128 x 320,' out.txt || fail "of another item: $(cat out.txt)"
grep -q '^ *64 x 576 (line 2) to 128 x 320 (line 1)$' out.txt ||
    fail "sizes: $(cat out.txt)"

# ---- several groups, several models ------------------------------------------

draws() { # CONFIG RANKS STEM KEY=VALUE...: three images, as one rank makes them
    config=$1 n=$2 stem=$3
    shift 3
    ranks "$n" "$WEFT" sample "$config.yaml" sample.steps=2 sample.seeds=1-3 \
        run.threads=1 "output.image=$stem{seed}.png" \
        "output.latents=$stem{seed}.safetensors" "$@" 2>out.txt ||
        fail "$stem: $(cat out.txt)"
    for seed in 1 2 3; do
        same_file "$stem$seed.png" "${config}_$seed.png"
        same_file "$stem$seed.safetensors" "${config}_$seed.safetensors"
    done
}
four='{strong: 1, weak: 1, text: 1, vae: 1}'
seven='{strong.cond: 2, strong.uncond: 1, weak: 1, text: 2, vae: 1}'
config pipe_w2sd
draws pipe_w2sd 1 pipe_w2sd_
draws pipe_w2sd 4 at4_ run.batch=2 "parallel.roles=$four"
draws pipe_w2sd 6 at6_ 'parallel.roles={strong: 1, weak: 1, text: 1}'
config pipe_and
draws pipe_and 1 pipe_and_
draws pipe_and 7 at7_ run.batch=3 "parallel.roles=$seven"

cat >items.jsonl <<'END'
{"id": "a", "seed": 1, "prompts": {"strong": "a cat", "weak": "a dog"}}
{"id": "b", "seed": 2, "prompts": {"strong": "a dog", "weak": "a cat"}}
{"id": "c", "seed": 3, "prompts": {"strong": "a cat", "weak": "a house"}}
{"id": "d", "seed": 4, "negative_prompt": "snow"}
END
apart() { # RANKS DIR BATCH ROLES
    ranks "$1" "$WEFT" dataset pipe_and.yaml dataset.manifest=items.jsonl \
        sample.steps=30 sample.width=64 sample.height=128 dataset.shard_size=3 \
        dataset.latents=true run.threads=1 run.batch="$3" "parallel.roles=$4" \
        "output.dir=$2" "output.report=$2.jsonl" 2>out.txt
}
apart 1 d6 1 shared || fail "a data set: $(cat out.txt)"
apart 6 d7 3 '{strong: 1, weak: 1, text: 1}' || fail "of two groups: $(cat out.txt)"
# stopped, and gone on with on other ranks
apart 4 d8 2 "$four" &
pid=$!
until_found . -name d8.jsonl -size +0
# shellcheck disable=SC2046 # one of them
set -- $(working d8)
[ $# = 0 ] || kill -USR1 "$1"
code=0
wait "$pid" || code=$?
[ "$code" = 75 ] || fail "exit $code, not stopped: $(cat out.txt)"
apart 7 d8 2 "$seven" || fail "gone on: $(cat out.txt)"
for shard in 000000 000001; do
    same_file d7/$shard.tar d6/$shard.tar
    same_file d8/$shard.tar d6/$shard.tar
done

# patches side by side
config pipe_sd15
set -- sample.width=512 sample.height=128
draws pipe_sd15 1 pipe_sd15_ "$@"
draws pipe_sd15 4 tiles_ "$@" run.batch=2 parallel.patches=2x2 \
    'parallel.roles={model: 2, text: 2, vae: 2}'

# ---- refused ----------------------------------------------------------------

refused 2 'its roles are model, vae and text' "$WEFT" plan pipe_sd15.yaml \
    --ranks 3 'parallel.roles={model: 1, text: 1, vea: 1}'
refused 2 'nothing in this run asks "text"; its roles are strong and vae' \
    "$WEFT" plan "$configs/demo.yaml" 'parallel.roles={strong: 1, text: 1}'
refused 2 'text: 0 ranks; a role needs at least 1' "$WEFT" plan pipe_sd15.yaml \
    'parallel.roles={model: 1, text: 0}'
refused 2 'gives no ranks to model' "$WEFT" plan pipe_sd15.yaml \
    'parallel.roles={text: 1}'
refused 2 '4 ranks are not a multiple of the 3' "$WEFT" plan pipe_sd15.yaml \
    --ranks 4 'parallel.roles={model: 1, text: 1, vae: 1}'
refused 2 '6 ranks are not a multiple of the 4 of parallel.patches' "$WEFT" plan \
    pipe_sd15.yaml --ranks 6 "$@" parallel.patches=2x2
refused 2 'the roles want 3 ranks, the group has 2' "$WEFT" plan pipe_sd15.yaml \
    --ranks 2 'parallel.roles={model: 1, text: 1, vae: 1}' parallel.sharing=forbid
finish
