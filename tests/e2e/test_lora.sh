#!/bin/sh
# Strong and weak as one file that LoRAs change in two ways: the file's weights
# are there once, the samples are those of two copies, and the bytes the same
# however the work is dealt out.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
: "${COMPARE:?}" "${PIPELINE:?}"
rm -rf ./*.safetensors ./*.yaml ./*.txt ./*.jsonl model copy set .weft
"$PIPELINE" "$WEFT_SOURCE_DIR/tests/golden/pipe_sd15.safetensors" model >/dev/null
cp -r model copy

# Two thin matrices for every linear layer of transformers, and for one 3x3
# convolution, which has to be merged.
"$PYTHON" - model/unet/diffusion_pytorch_model.safetensors lora.safetensors <<'END'
import json, random, struct, sys
with open(sys.argv[1], "rb") as f:
    header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
rng, tensors = random.Random(1), {}
for name, t in sorted(header.items()):
    shape = t.get("shape", [])
    linear = "transformer_blocks" in name and len(shape) == 2
    if not linear and name != "mid_block.resnets.0.conv1.weight":
        continue
    at = "unet." + name[:-len("weight")]
    tensors[at + "lora_A.weight"] = [2] + shape[1:]
    tensors[at + "lora_B.weight"] = [shape[0], 2] + [1] * (len(shape) - 2)
out, data = {}, b""
for name, shape in tensors.items():
    n = 1
    for k in shape:
        n *= k
    made = struct.pack(f"<{n}f", *(rng.gauss(0, .1) for _ in range(n)))
    out[name] = {"dtype": "F32", "shape": shape,
                 "data_offsets": [len(data), len(data) + n * 4]}
    data += made
head = json.dumps(out).encode()
with open(sys.argv[2], "wb") as f:
    f.write(struct.pack("<Q", len(head)) + head + data)
END

two() { # FOLDER of the weak model
    cat <<END
models:
  strong: { pipeline: model, loras: [ { path: lora.safetensors, scale: 0.8 } ] }
  weak: { pipeline: $1, loras: [ { path: lora.safetensors, scale: -1.5 } ] }
sample: { method: w2sd, steps: 2, guidance: 3, width: 64, height: 320, seed: 3,
          prompt: "a cat" }
END
}
two model >kin.yaml
two copy >apart.yaml
sample() { # NAME KEY=VALUE...
    config=$1
    shift
    "$WEFT" sample "$config.yaml" output.latents="$config.safetensors" \
        output.report="$config.jsonl" "$@" 2>out.txt ||
        fail "$config: $(cat out.txt)"
}
packed() { # REPORT
    sed -n 's/.*"weights_packed_bytes": *\([0-9]*\).*/\1/p' "$1" | tail -1
}

for kernels in lean fast reference; do
    rm -f ./*.jsonl
    for name in kin apart; do sample "$name" "run.kernels=$kernels"; done
    "$COMPARE" kin.safetensors apart.safetensors 2e-5 || fail "$kernels"
    printf '%s: %s bytes together, %s apart\n' $kernels "$(packed kin.jsonl)" \
        "$(packed apart.jsonl)"
    [ "$(packed kin.jsonl)" -lt "$(packed apart.jsonl)" ] ||
        fail "$kernels: nothing is shared"
done

"$WEFT" sample kin.yaml output.latents=one.safetensors 2>out.txt
for n in 2 3 5; do
    ranks $n "$WEFT" sample kin.yaml output.latents=b.safetensors 2>out.txt ||
        fail "$n ranks: $(cat out.txt)"
    same_file b.safetensors one.safetensors
done
ranks 3 "$WEFT" sample kin.yaml 'parallel.roles={strong: 2, weak: 1}' \
    output.latents=b.safetensors 2>out.txt || fail "roles: $(cat out.txt)"
same_file b.safetensors one.safetensors

"$WEFT" plan kin.yaml >out.txt
grep -q "packed with those of strong" out.txt || fail "the plan does not say it"

# a data set is not gone on with by a LoRA whose content is another
cat >set.yaml <<'END'
pipeline: model
models: { one: { loras: [ { path: lora.safetensors, scale: 1 } ] } }
sample: { steps: 1, width: 64, height: 320, prompt: "a cat" }
dataset: { manifest: items.jsonl }
output: { dir: set }
END
echo '{"id": "a", "seed": 1}' >items.jsonl
"$WEFT" dataset set.yaml 2>out.txt || fail "data set: $(cat out.txt)"
printf '\1' | dd of=lora.safetensors bs=1 conv=notrunc status=none \
    seek=$(($(wc -c <lora.safetensors) - 4))
refused 2 "models.one.lora0 was" "$WEFT" dataset set.yaml

# what is no number is found before the first step, beside weights and merged
printf '\0\0\300\177' | dd of=lora.safetensors bs=1 conv=notrunc status=none \
    seek=$(($(wc -c <lora.safetensors) - 4))
for config in kin apart; do
    for n in 1 3; do
        refused 2 "lora.safetensors: unet." "$MPIEXEC" -n $n \
            "$WEFT" sample $config.yaml output.latents=b.safetensors
        grep -q "lora_B.weight is nan at row " out.txt || fail "$n ranks: no place"
    done
done

finish
