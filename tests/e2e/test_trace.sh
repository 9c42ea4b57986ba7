#!/bin/sh
# output.trace: JSON with a row for each rank, in which evaluations hold layers
# and layers hold waits; nothing is missing; clocks agree. Off, nothing is kept.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
: "${PYTHON:?}"

cat >check.py <<'EOF'
import collections
import json
import sys

ranks, evaluations, posts = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
events = json.load(open("trace.json"))["traceEvents"]
rows = collections.defaultdict(list)
for e in events:
    if e["ph"] == "M":
        if e["args"]["lost"] or not e["args"]["name"].startswith("rank "):
            sys.exit(f"{e}")
    rows[e["pid"]].append(e)
if sorted(rows) != list(range(ranks)):
    sys.exit(f"rows of {sorted(rows)}")
spans = {}
for rank, row in rows.items():
    count = collections.Counter(e.get("cat") for e in row)
    if count["evaluation"] != evaluations or not count["layer"]:
        sys.exit(f"rank {rank}: {count}")
    layers = collections.defaultdict(list)  # of each evaluation, by lane
    open_until = []
    for e in sorted((e for e in row if e["ph"] == "X"),
                    key=lambda e: (e["ts"], -e["dur"])):
        end = e["ts"] + e["dur"]
        while open_until and open_until[-1][0] <= e["ts"] + 0.002:
            open_until.pop()
        if open_until and end > open_until[-1][0] + 0.002:
            sys.exit(f"rank {rank}: {e} ends after {open_until[-1]}")
        above = open_until[-1][1] if open_until else None
        if e["cat"] == "evaluation" and above:
            sys.exit(f"rank {rank}: an evaluation within {above}")
        if e["cat"] == "layer" and above != "evaluation":
            sys.exit(f"rank {rank}: a layer within {above}")
        if e["cat"] == "evaluation":
            layers[e["name"]].append(0)
            lane = e["name"]
        if e["cat"] == "layer":
            layers[lane][-1] += 1
        open_until.append((end, e["cat"]))
    if any(len(set(n)) != 1 or not n[0] for n in layers.values()):
        sys.exit(f"rank {rank}: layers are missing: {dict(layers)}")
    spans[rank] = sorted((e["ts"], e["ts"] + e["dur"]) for e in row
                         if e.get("cat") == "evaluation")
sent = sum(e.get("cat") == "post" for e in events)
if (sent > 0) != (ranks > 1) or sent > posts:
    sys.exit(f"{sent} posts for {posts} messages")
# In step nobody ends an evaluation before all have begun it.
for k in range(evaluations):
    if min(s[k][1] for s in spans.values()) < max(s[k][0] for s in
                                                  spans.values()):
        sys.exit(f"evaluation {k}: clocks differ: {spans}")
EOF

for n in 1 2 3; do
    rm -f trace.json run.jsonl
    ranks "$n" "$WEFT" sample "$configs/demo.yaml" sample.width=128 \
        sample.height=192 sample.steps=3 run.threads=1 output.image=a.png \
        output.trace=trace.json output.report=run.jsonl >out.txt 2>&1 || {
        cat out.txt
        fail "$n ranks"
    }
    messages=$("$PYTHON" -c 'import json
print(sum(json.loads(open("run.jsonl").readlines()[-1])["messages_sent"].values()))')
    # three of the model, and one of the decoder
    "$PYTHON" check.py "$n" 4 "$messages" || fail "$n ranks"
done
refused 2 "output.trace: there is one for the whole run" \
    "$WEFT" sample "$configs/demo.yaml" "output.trace=t-{seed}.json"
finish
