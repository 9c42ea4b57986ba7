#!/bin/sh
# Every method with the demo models against tests/golden/methods.py, which is
# torch and the formulas: final latents, and log-densities. Metadata of a golden
# says what weft is asked.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${COMPARE:?}"
rm -rf ./*.safetensors ./*.yaml ./*.jsonl

# Write NAME.yaml for a golden.
configure() {
    "$PYTHON" - "$1" "$2" <<'END'
import json, os, struct, sys
with open(sys.argv[1], "rb") as f:
    size, = struct.unpack("<Q", f.read(8))
    said = json.loads(f.read(size))["__metadata__"]
demo = os.environ["WEFT_SOURCE_DIR"] + "/models/demo/"
name = sys.argv[2]
json.dump({
    "models": {k: {"path": demo + v}
               for k, v in json.loads(said["models"]).items()},
    "vae": {"path": demo + "vae"},
    "schedule": {"path": demo + "scheduler"},
    "sample": json.loads(said["sample"]),
    "output": {"latents": name + ".safetensors", "report": name + ".jsonl"},
}, open(name + ".yaml", "w"))
END
}

# Log-densities of the report against those of the golden, where it has any.
densities() {
    "$PYTHON" - "$1" "$2" <<'END'
import json, struct, sys
with open(sys.argv[1], "rb") as f:
    size, = struct.unpack("<Q", f.read(8))
    said = json.loads(f.read(size))["__metadata__"]
image, = (e for e in map(json.loads, open(sys.argv[2] + ".jsonl"))
          if e["event"] == "image")
want, got = json.loads(said.get("log_density", "{}")), image.get("log_density")
if not want:
    sys.exit(got is not None and f"log_density {got} of no superposition")
if list(want) != list(got):
    sys.exit(f"log_density of {list(got)}, not of {list(want)}")
for model, value in want.items():
    if not abs(got[model] - value) <= 2e-4 * max(1000, abs(value)):
        sys.exit(f"log_density of {model}: {got[model]}, not {value}")
END
}

for golden in "$WEFT_SOURCE_DIR"/tests/golden/method_*.safetensors; do
    name=$(basename "$golden" .safetensors)
    configure "$golden" "$name"
    "$WEFT" sample "$name.yaml" || fail "$name: weft sample"
    printf '%s: ' "$name"
    "$COMPARE" "$name.safetensors" "$golden" 1e-5 || fail "$name"
    densities "$golden" "$name" || fail "$name: log_density"
done

# Analytic models: the same bytes for any ranks and roles; AND changes all
# densities alike; log-densities do not depend on who adds them up.
cat >toy.yaml <<END
models:
  a: { kind: analytic, shape: [2, 10, 8], mixture: [ { weight: 1, mean: [1, -1], std: .5 } ] }
  b: { kind: analytic, shape: [2, 10, 8], mixture: [ { weight: .3, mean: -1, std: .4 }, { weight: .7, mean: 0, std: 1 } ] }
schedule: { clip_sample: false }
sample: { method: superdiff_and, steps: 12, width: 8, height: 10, seeds: "1-3" }
output: { latents: "toy{seed}.safetensors", report: toy.jsonl }
END

toy() { # NAME RANKS KEY=VALUE...
    name=$1 n=$2
    shift 2
    rm -f toy.jsonl
    ranks "$n" "$WEFT" sample toy.yaml "$@" || fail "toy $name: weft sample"
    cat toy1.safetensors toy2.safetensors toy3.safetensors >"toy-$name"
    "$PYTHON" - <<'END' >"toy-$name.ll"
import json
for e in map(json.loads, open("toy.jsonl")):
    if e["event"] == "image":
        print(e["seed"], e["log_density"])
        assert len({round(v, 6) for v in e["log_density"].values()}) == 1, e
END
    [ "$(wc -l <"toy-$name.ll")" = 3 ] || fail "toy $name: not 3 log-densities"
    same_file "toy-$name" toy-one
    same_file "toy-$name.ll" toy-one.ll
}

toy one 1
toy two 2 parallel.patches=2
toy three 3 parallel.patches=3
toy five 5 parallel.patches=5
toy roles 3 'parallel.roles={a: 2, b: 1}'
toy flights 2 'parallel.roles={a: 1, b: 1}' run.batch=1

refused 2 'models.a has the shape of 8 x 10 pixels' "$WEFT" sample toy.yaml sample.height=8
refused 2 'needs a condition, and the model a has none' "$WEFT" sample toy.yaml sample.guidance=2
refused 2 'not euler' "$WEFT" sample toy.yaml sample.solver=euler
refused 2 'do not go together' "$WEFT" sample toy.yaml 'models.b.shape=[1, 10, 8]'
finish
