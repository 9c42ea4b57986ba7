#!/bin/sh
# `weft bench` of steps: each kind says what it sends; links for measuring.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${PYTHON:?}"
rm -rf ./*
size="sample.width=64 sample.height=96 sample.steps=2 run.threads=1"

# step RANKS NAME [KEY=VALUE...]
step() {
    n=$1 name=$2
    shift 2
    # shellcheck disable=SC2086 # words
    ranks "$n" "$WEFT" bench "$configs/demo.yaml" $size bench.what=step \
        bench.runs=3 "$@" >"$name.jsonl" || fail "$name: exit $?"
}

step 1 alone
step 3 real
step 3 none bench.link=none
step 3 blocking bench.link=blocking
step 3 async parallel.exchange=async parallel.warmup=1
# shellcheck disable=SC2086 # words
"$WEFT" plan "$configs/demo.yaml" $size --ranks 3 --json \
    parallel.exchange=async >plan.json

"$PYTHON" - <<'END' || fail "not as planned"
import json
plan = json.load(open("plan.json"))
net = plan["nets"][0]
planned = {kind: tuple(sum(c[k] for c in net[key].values())
                       for k in ("bytes", "messages"))
           for kind, key in (("in_step", "per_evaluation"),
                             ("displaced", "per_displaced_evaluation"))}
kinds = {"alone": ["in_step"], "real": ["in_step"], "none": ["in_step"],
         "blocking": ["in_step"], "async": ["in_step", "displaced"]}
for name, want in kinds.items():
    run, *said = [json.loads(line) for line in open(name + ".jsonl")]
    assert run["bench"] == "run" and run["threads"] == 1, run
    assert run["ranks"] == run["patches"] == (1 if name == "alone" else 3), run
    assert (run["width"], run["height"]) == (64, 96), run
    assert run["config"].endswith("configs/demo.yaml"), run
    for key in "version", "method", "kernels", "isa":
        assert run[key] == plan[key], (run, key)
    assert [s["kind"] for s in said] == want, (name, said)
    for s in said:
        # Displaced runs have no more evaluations in step than their warm-up.
        n = 1 if name == "async" and s["kind"] == "in_step" else 3
        assert s["n"] == n and s["ranks"] == (1 if name == "alone" else 3), s
        assert 0 < s["min_s"] <= s["median_s"] <= s["max_s"], s
        sent = (0, 0) if name == "alone" else planned[s["kind"]]
        assert (s["bytes"], s["messages"]) == sent, (name, s, sent)
END

refused 2 "bench.link: blocking" "$MPIEXEC" -n 2 "$WEFT" bench "$configs/demo.yaml" \
    parallel.exchange=async bench.what=step bench.link=blocking
refused 2 "bench.link" "$WEFT" bench "$configs/demo.yaml" bench.link=slow
finish
