#!/bin/sh
# Measure the machine, then plan for it: predictions in words and JSON.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${PYTHON:?}"
rm -rf ./*
size="sample.width=64 sample.height=96 sample.steps=2 run.threads=1"

for n in 1 2; do
    # shellcheck disable=SC2086 # words
    ranks "$n" "$WEFT" bench "$configs/demo.yaml" $size bench.runs=1 \
        bench.cluster="here$n.yaml" >out.txt || fail "bench.cluster: exit $?"
    # shellcheck disable=SC2086 # words
    "$WEFT" plan "$configs/demo.yaml" $size --ranks "$n" \
        --cluster "here$n.yaml" --json >"plan$n.json" || fail "$n: exit $?"
    # shellcheck disable=SC2086 # words
    "$WEFT" plan "$configs/demo.yaml" $size --ranks "$n" \
        --cluster="here$n.yaml" >"plan$n.txt" || fail "$n: exit $?"
    grep -q "^advice " "plan$n.txt" || fail "$n: no advice"
    grep -q "^assumes " "plan$n.txt" || fail "$n: no assumptions"
done

"$PYTHON" - <<'END' || fail "no sense in the predictions"
import json
one, two = (json.load(open("plan%d.json" % n))["cost"] for n in (1, 2))
for c in one, two:
    assert 0 < c["compute_s"] <= c["in_step_s"] <= c["blocking_s"] + 1e-12, c
    assert c["compute_s"] <= c["displaced_s"]["f32"] * (1 + 1e-9), c
    assert c["node_memory_bytes"] > 0, c
assert one["compute_s"] == one["in_step_s"] == one["displaced_s"]["f32"], one
END

# Three images of four blocks of rows on eight ranks: four of them share an image
# in rows, eight only where columns are cut, too; which way is best depends on
# how fast this machine was found to be.
sed 's/^nodes: 1/nodes: 8/' here1.yaml >eight.yaml
"$WEFT" plan "$configs/demo.yaml" sample.width=512 sample.height=64 \
    sample.steps=2 sample.seeds=0-2 run.threads=1 run.batch=1 --ranks 8 \
    --cluster eight.yaml >plan8.txt || fail "eight: exit $?"
grep -qE "^advice .*: [24]x[24] takes .* 4 as planned" plan8.txt ||
    fail "no columns: $(grep ^advice plan8.txt)"

# Two ranks on one processor.
sed -e 's/^ranks_per_node: 1/ranks_per_node: 2/' \
    -e 's/^topology: .*/topology: "core:1 pu:1"/' here1.yaml >one.yaml
# shellcheck disable=SC2086 # words
"$WEFT" plan "$configs/demo.yaml" $size --ranks 2 --cluster one.yaml >one.txt ||
    fail "one processor: exit $?"
grep -q "^cluster .* of 2 ranks, which take turns on 1 processor$" one.txt ||
    fail "no turns: $(grep ^cluster one.txt)"

refused 2 "3 ranks, but the cluster has room for 2" \
    "$WEFT" plan "$configs/demo.yaml" --ranks 3 --cluster here2.yaml
refused 2 "here.yaml" "$WEFT" plan "$configs/demo.yaml" --cluster here.yaml
sed 's/ norm:/ norms:/' here1.yaml >odd.yaml
refused 2 'no speed is given for layers of class "norm"' \
    "$WEFT" plan "$configs/demo.yaml" --cluster odd.yaml
refused 2 "--cluster: expected a file" "$WEFT" plan "$configs/demo.yaml" --cluster
finish
