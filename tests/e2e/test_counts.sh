#!/bin/sh
# What a run counts is what the plan said, class by class: the whole program, in
# step and displaced, in every form of message. And coded messages repeat, and
# the noise of a Brownian path is the same for any number of ranks.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
: "${PYTHON:?}"

cat >compare.py <<'EOF'
import json
import sys

plan = json.load(open("plan.json"))["group_0_total"]
with open("run.jsonl") as f:
    events = [json.loads(line) for line in f]
summary = events[-1]
ranks = [e for e in events if e["event"] == "rank"]
if [r["rank"] for r in ranks] != list(range(summary["ranks"])):
    sys.exit(f"ranks {ranks}")
for key in ("bytes_sent", "messages_sent", "exposed_s", "hidden_s"):
    for name, total in summary[key].items():
        parts = sum(r[key][name] for r in ranks)
        if key.endswith("_s"):  # the summary's are means
            parts /= len(ranks)
        if abs(parts - total) > 1e-6 * max(1, total):
            sys.exit(f"{key} of {name}: {parts} by rank, {total} in all")
for r in ranks:
    exposed = sum(r["exposed_s"].values())
    if abs(exposed - r["wait_exposed_s"]) > 1e-6 * max(1, exposed):
        sys.exit(f"rank {r['rank']}: exposed {exposed} by class")
    most, whole = sum(r["hidden_s"].values()), r["comm_hidden_s"]
    if not max(r["hidden_s"].values()) - 1e-6 <= whole <= most + 1e-6:
        sys.exit(f"rank {r['rank']}: hidden {whole}, by class up to {most}")
    if r["wait_exposed_s"] + whole > r["seconds_sampling"] * 2 + 1:
        sys.exit(f"rank {r['rank']}: more time than there was")
    if r["max_age"] > summary["max_age"]:
        sys.exit(f"rank {r['rank']} saw age {r['max_age']}")
if summary["imbalance"] < 1:
    sys.exit(f"imbalance {summary['imbalance']}")
seen = 0
for name, messages in summary["messages_sent"].items():
    want = plan.get(name, {"messages": 0, "bytes": 0})
    got = {"messages": messages, "bytes": summary["bytes_sent"][name]}
    seen += messages
    if got != want:
        sys.exit(f"{name}: the plan says {want}, the run {got}")
if (seen > 0) != (summary["ranks"] > 1):
    sys.exit(f"{seen} messages")
EOF

config=$configs/demo.yaml

# counts RANKS KEY=VALUE...: of $config
counts() {
    n=$1
    shift
    set -- "$config" sample.width=64 sample.height=320 \
        sample.seeds=1-2 run.batch=1 run.threads=1 "output.image=a-{seed}.png" \
        "output.latents=a-{seed}.safetensors" output.report=run.jsonl "$@"
    rm -f run.jsonl
    "$WEFT" plan "$@" --ranks "$n" --json >plan.json
    ranks "$n" "$WEFT" sample "$@" >out.txt 2>&1 || {
        cat out.txt
        fail "$n ranks: $*"
    }
    "$PYTHON" compare.py || fail "$n ranks: $*"
}

for n in 1 2 3 5; do
    counts "$n" sample.steps=3
    counts "$n" sample.steps=5 sample.solver=dpmpp_2m run.checkpoint=2
    for solver in dpmpp_3m_sde dpmpp_sde; do
        counts "$n" sample.steps=4 sample.solver=$solver run.checkpoint=2
        [ "$n" = 1 ] && cp a-2.safetensors "$solver.safetensors"
        same_file a-2.safetensors "$solver.safetensors"
    done
    counts "$n" sample.steps=3 parallel.wire=int8 parallel.inexact=true
    [ "$n" = 1 ] || grep -q "the image depends on the number of ranks" out.txt ||
        fail "$n ranks: the run does not withdraw the promise"
    grep -q '"same_bytes": '"$([ "$n" = 1 ] && echo true || echo false)" \
        run.jsonl || fail "$n ranks: nor does the report"
    counts "$n" sample.steps=5 parallel.exchange=async parallel.warmup=2
    counts "$n" sample.steps=5 parallel.exchange=async parallel.warmup=2 \
        parallel.lag=2 parallel.wire=int8
    cp a-2.safetensors first.safetensors
    counts "$n" sample.steps=5 parallel.exchange=async parallel.warmup=2 \
        parallel.lag=2 parallel.wire=int8
    same_file a-2.safetensors first.safetensors
done
counts 3 sample.steps=4 sample.solver=heun parallel.exchange=async \
    parallel.warmup=1 parallel.wire=bf16 parallel.norm=local

# sums over images: of guidance that is rescaled, also where its weight is 1, and
# of superpositions
counts 3 sample.steps=4 sample.solver=heun sample.guidance=3 \
    sample.guidance_rescale=0.5 'sample.guidance_interval=[0.3, 0.8]'
counts 4 sample.steps=2 sample.guidance=3 sample.guidance_rescale=0.5 \
    sample.width=320 sample.height=128 parallel.patches=2x2
config=$configs/superdiff-and.yaml
counts 3 sample.steps=3 parallel.roles=shared
counts 3 sample.steps=3 'parallel.roles={half_a: 2, half_b: 1}' run.batch=2
config=$configs/superdiff-or.yaml
counts 2 sample.steps=3 parallel.roles=shared
cat >toy.yaml <<'END'
models:
  a: { kind: analytic, shape: [3, 320, 64], mixture: [ { weight: 1, mean: 0, std: .5 } ] }
  b: { kind: analytic, shape: [3, 320, 64], mixture: [ { weight: .3, mean: -1, std: .4 }, { weight: .7, mean: 0, std: 1 } ] }
schedule: { clip_sample: false }
sample: { method: superdiff_and, steps: 3 }
END
config=toy.yaml
counts 3 'parallel.roles={a: 2, b: 1}'
refused 2 "parallel.wire: f16 rounds what ranks tell each other" \
    "$WEFT" plan "$configs/demo.yaml" parallel.wire=f16
"$WEFT" plan "$configs/demo.yaml" parallel.wire=int8 parallel.inexact=true \
    --ranks 2 | grep -q "int8, borders as f16: the image depends on the number \
of ranks" || fail "the plan does not withdraw the promise"
finish
