#!/bin/sh
# What a run counts is what the plan said, class by class: the whole program, in
# step and displaced, in every form of message. And coded messages repeat.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
: "${PYTHON:?}"

cat >compare.py <<'EOF'
import json
import sys

plan = json.load(open("plan.json"))["group_0_total"]
with open("run.jsonl") as f:
    summary = json.loads(f.readlines()[-1])
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

# counts RANKS KEY=VALUE...
counts() {
    n=$1
    shift
    set -- "$configs/demo.yaml" sample.width=64 sample.height=320 \
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
refused 2 "parallel.wire: f16 rounds what ranks tell each other" \
    "$WEFT" plan "$configs/demo.yaml" parallel.wire=f16
"$WEFT" plan "$configs/demo.yaml" parallel.wire=int8 parallel.inexact=true \
    --ranks 2 | grep -q "int8, borders as f16: the image depends on the number \
of ranks" || fail "the plan does not withdraw the promise"
finish
