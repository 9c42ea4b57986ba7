#!/bin/sh
# Wherever roles are, alone or shared, on equal or unequal numbers of ranks, one
# batch in flight or several: the same bytes, in just the messages that the plan
# counts, and no rank holds the weights of others' roles.
# shellcheck disable=SC2086 # lists of keys
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf ./*

small="sample.steps=2 sample.width=64 sample.height=64 run.threads=1"

draw() { # CONFIG RANKS ROLES FOLDER [KEY=VALUE...]
    config=$configs/$1.yaml n=$2 roles=$3 folder=$4
    shift 4
    ranks "$n" "$WEFT" sample "$config" $small "parallel.roles=$roles" \
        output.image="$folder/{seed}.png" \
        output.latents="$folder/{seed}.safetensors" \
        output.report="$folder/run.jsonl" "$@"
    "$WEFT" plan "$config" --ranks "$n" --json $small "parallel.roles=$roles" \
        output.image="$folder/{seed}.png" \
        output.latents="$folder/{seed}.safetensors" "$@" >"$folder/plan.json"
    "$PYTHON" - "$folder" <<'END' || fail "$folder: not as the plan says"
import json, sys
lines = open(sys.argv[1] + "/run.jsonl").read().splitlines()
summary = json.loads(lines[-1])
plan = json.load(open(sys.argv[1] + "/plan.json"))
bad = 0
# How many sums of whole images a method makes is the solver's business.
sums = {"control"}
for kind in ("bytes", "messages"):
    for name, sent in summary[kind + "_sent"].items():
        planned = plan["group_0_total"].get(name, {}).get(kind, 0)
        if plan["groups"] == 1 and sent != planned and name not in sums:
            print(f"{name}: {sent} {kind}, planned {planned}")
            bad = 1
sys.exit(bad)
END
}

same() { # FOLDER OTHER...
    first=$1
    shift
    for folder in "$@"; do
        for file in "$first"/*.png "$first"/*.safetensors; do
            same_file "$file" "$folder/${file#"$first"/}"
        done
    done
}

two=sample.seeds=7,8
draw cfg-split 1 shared one $two
draw cfg-split 2 shared together $two
draw cfg-split 2 '{cond: 1, uncond: 1}' apart $two
draw cfg-split 3 '{cond: 2, uncond: 1}' unequal $two
draw cfg-split 5 '{cond: 2, uncond: 3}' five $two run.batch=1
draw cfg-split 1 '{cond: 1, uncond: 1}' sharing $two
draw cfg-split 2 '{cond: 2, uncond: 1}' partly $two run.batch=1
draw cfg-split 3 '{cond: 1, uncond: 1, vae: 1}' decoder $two \
    run.batch=1 parallel.flights=2
# What a run measures is its own; a file of costs is the plan's too.
cluster() { # LATENCY_US GBYTES_PER_S
    cat <<END
nodes: 1
ranks_per_node: 3
topology: "pack:1 core:4 pu:1"
device: { processors: 1, gflops: { other: 100 }, memory_gbytes_per_s: 10 }
links:
  node: { latency_us: $1, gbytes_per_s: $2 }
  network: { latency_us: $1, gbytes_per_s: $2 }
END
}
cluster 500000 1 >dear.yaml
cluster 0 1000000 >cheap.yaml
draw cfg-split 3 auto chosen $two parallel.cluster=dear.yaml
draw cfg-split 2 auto joint $two parallel.cluster=cheap.yaml
ranks 2 "$WEFT" sample "$configs/cfg-split.yaml" $small $two parallel.roles=auto \
    "output.image=measured/{seed}.png" output.report=measured/run.jsonl \
    "output.latents=measured/{seed}.safetensors" 2>measured.txt
grep -q "^costs *measured" measured.txt || fail "a run does not say what it chose"
"$PYTHON" - <<'END' || fail "auto does not look at costs"
import json
plans = [json.load(open(f + "/plan.json")) for f in ("chosen", "joint")]
roles = [[r["role"] for r in p["roles"]] for p in plans]
assert roles == [["cond", "uncond", "vae"], ["strong", "vae"]], roles
assert plans[0]["seconds"] > 0.5 > plans[1]["seconds"], plans
assert all(p["costs"] == "cluster" for p in plans), plans
for folder, costs in ("chosen", "cluster"), ("measured", "measured"), ("one", "nominal"):
    s = json.loads(open(folder + "/run.jsonl").read().splitlines()[-1])
    assert s["costs"] == costs and s["seconds_planned"] > 0, (folder, s)
END
# as demo.yaml has it: auto says no more than that no patches are asked for
draw cfg-split 2 '{cond: 1, uncond: 1}' automatic $two parallel.patches=auto
same one together apart unequal five sharing partly decoder chosen joint \
    measured automatic

# A rank maps the weights of its roles and of no other.
"$PYTHON" - <<'END' || fail "weights of others are mapped"
import json
s = json.loads(open("decoder/run.jsonl").read().splitlines()[-1])
cond, uncond, vae = s["weights_mapped_by_rank"]
assert cond == uncond > 4 * vae > 0, s["weights_mapped_by_rank"]
s = json.loads(open("one/run.jsonl").read().splitlines()[-1])
assert s["weights_mapped_by_rank"] == [cond + vae]
END
# Strong and weak take turns; with two batches in flight both are busy.
four="sample.seeds=0-3 sample.lambda=1"
draw w2sd 1 shared w2sd-one $four run.batch=4
draw w2sd 2 '{strong: 1, weak: 1}' w2sd-two $four
draw w2sd 3 '{strong: 2, weak: 1}' w2sd-three $four parallel.flights=3 \
    run.batch=1
draw w2sd 5 '{strong.cond: 1, strong.uncond: 2, weak: 2}' w2sd-five $four
draw w2sd 4 '{strong: 1, weak: 1}' w2sd-groups $four
draw w2sd 1 '{strong: 1, weak: 1}' w2sd-sharing $four
same w2sd-one w2sd-two w2sd-three w2sd-five w2sd-groups w2sd-sharing
"$PYTHON" - <<'END' || fail "not all images are reported, or nothing was in flight"
import json
for folder, flights in ("w2sd-three", 3), ("w2sd-groups", 2), ("w2sd-one", 1):
    lines = [json.loads(l) for l in open(folder + "/run.jsonl")]
    seeds = sorted(l["seed"] for l in lines if l["event"] == "image")
    assert seeds == [0, 1, 2, 3], (folder, seeds)
    assert lines[-1]["flights"] == flights, (folder, lines[-1]["flights"])
    assert all(0 < r["busy"] <= 1.01 for r in lines[-1]["roles"]), lines[-1]
END

draw zsampling 1 shared z-one sample.seeds=0,1 sample.lambda=1
draw zsampling 3 '{cond: 1, uncond: 2}' z-three sample.seeds=0,1 sample.lambda=1
same z-one z-three

# Inner products over whole images, whose rows are anywhere.
for kind in or and; do
    draw superdiff-$kind 1 shared $kind-one sample.seeds=0,1
    draw superdiff-$kind 2 '{half_a: 1, half_b: 1}' $kind-two sample.seeds=0,1
    draw superdiff-$kind 5 '{half_a: 2, half_b: 3}' $kind-five sample.seeds=0,1
    same $kind-one $kind-two $kind-five
    grep '"log_density"' $kind-one/run.jsonl | sed 's/.*log_density/x/' >a.txt
    grep '"log_density"' $kind-five/run.jsonl | sed 's/.*log_density/x/' >b.txt
    [ "$(wc -l <a.txt)" = 2 ] || fail "$kind: no log-densities"
    same_file a.txt b.txt
done
# Guided, both conditions of a model in one batch, or on ranks of their own.
draw superdiff-and 1 shared and-guided sample.seeds=0,1 sample.guidance=2
draw superdiff-and 2 '{half_a: 1, half_b: 1}' and-guided-two sample.seeds=0,1 \
    sample.guidance=2
draw superdiff-and 3 '{half_a.cond: 1, half_a.uncond: 1, half_b: 1}' \
    and-guided-three sample.seeds=0,1 sample.guidance=2
same and-guided and-guided-two and-guided-three

# Displaced, it is the cut that makes the image: the same again on the same one.
old="parallel.exchange=async parallel.warmup=1 sample.steps=4"
draw cfg-split 4 '{cond: 2, uncond: 2}' old-one sample.seed=7 $old
draw cfg-split 4 '{cond: 2, uncond: 2}' old-two sample.seed=7 $old
same old-one old-two
ranks 4 "$WEFT" sample old-one/7.png run.threads=1
same_file old-one/7.png old-one/7-again.png

# What nobody can place.
refused_roles() { # TEXT RANKS CONFIG [KEY=VALUE...]
    text=$1 n=$2 config=$3
    shift 3
    refused 2 "$text" "$WEFT" plan "$configs/$config.yaml" --ranks "$n" "$@"
}
refused_roles 'nothing in this run asks "week"' 3 w2sd \
    'parallel.roles={strong: 2, week: 1}'
refused_roles 'its roles are strong, weak and vae' 3 w2sd \
    'parallel.roles={strong: 2, medium: 1}'
refused_roles 'gives no ranks to weak' 2 w2sd 'parallel.roles={strong: 2}'
refused_roles 'the roles want 3 ranks, the group has 2' 2 w2sd \
    'parallel.roles={strong: 2, weak: 1}' parallel.sharing=forbid
refused_roles '2 roles do not fit on groups of 1 rank' 1 w2sd \
    parallel.roles=auto parallel.sharing=forbid
refused_roles '4 ranks are not a multiple of the 3' 4 w2sd \
    'parallel.roles={strong: 2, weak: 1}'
refused_roles 'a role needs at least 1' 4 w2sd 'parallel.roles={strong: 0}'
refused_roles 'expected auto, shared or ranks by role' 4 w2sd parallel.roles=3
refused_roles 'parallel.flights: 9 is out of range' 4 w2sd parallel.flights=9
refused_roles 'lambda' 1 w2sd sample.lambda=31
refused_roles 'models.weak is missing' 1 cfg-split sample.method=w2sd
refused_roles 'superposes two models or more' 1 cfg-split sample.method=superdiff_or
refused_roles 'inverse' 1 w2sd sample.solver=euler_ancestral

# Ranks that were not all asked the same.
for other in zsampling "w2sd sample.seed=1"; do
    refused 2 'do not have the same config and arguments' "$MPIEXEC" \
        -n 2 "$WEFT" sample "$configs/w2sd.yaml" : \
        -n 1 "$WEFT" sample "$configs/${other%% *}.yaml" ${other#"${other%% *}"}
done

# Models that do not speak of the same thing.
cp -r "$WEFT_SOURCE_DIR/models/demo/weak" other
chmod -R u+w other
sed -i 's/"in_channels": 4/"in_channels": 3/; s/"out_channels": 4/"out_channels": 3/' \
    other/config.json
refused_roles 'do not go together: 4 and 3 latent channels' 1 w2sd \
    models.weak.path=other
mkdir -p pipeline
cp -r "$WEFT_SOURCE_DIR/models/demo/weak" "$WEFT_SOURCE_DIR/models/demo/scheduler" \
    pipeline
chmod -R u+w pipeline
sed 's/"prediction_type": "epsilon"/"prediction_type": "v_prediction"/' \
    "$WEFT_SOURCE_DIR/models/demo/scheduler/scheduler_config.json" \
    >pipeline/scheduler/scheduler_config.json
refused_roles 'prediction_type' 1 w2sd models.weak.path=pipeline/weak
sed 's/0.012/0.02/' \
    "$WEFT_SOURCE_DIR/models/demo/scheduler/scheduler_config.json" \
    >pipeline/scheduler/scheduler_config.json
refused_roles 'do not go together' 1 w2sd models.weak.path=pipeline/weak
finish
