# shellcheck shell=sh
# For tests that draw what whole pipelines of diffusers drew
# (tests/golden/pipelines.py). From CTest: COMPARE, PIPELINE.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
: "${COMPARE:?}" "${PIPELINE:?}"
golden=$WEFT_SOURCE_DIR/tests/golden

# Golden NAME's pipeline as model/, and what it was asked as NAME.yaml
config() {
    rm -rf model
    "$PIPELINE" "$golden/$1.safetensors" model >"$1.yaml"
}

sample() { # NAME KEY=VALUE...: as diffusers draws it
    name=$1
    shift
    "$WEFT" sample "$name.yaml" "$@" output.latents=a.safetensors ||
        fail "$name: weft sample"
    printf '%s: ' "$name"
    "$COMPARE" a.safetensors "$golden/$name.safetensors" 2e-4 || fail "$name"
}

same() { # RANKS NAME KEY=VALUE...: a.safetensors on one rank
    n=$1 name=$2
    shift 2
    ranks "$n" "$WEFT" sample "$name.yaml" "$@" output.latents=b.safetensors \
        2>out.txt || fail "$n ranks, $name: $(cat out.txt)"
    same_file b.safetensors a.safetensors
    rm -f b.safetensors
}

# Begun, and stopped by SIGUSR1 on the way; begun again where it was quicker.
stopped() { # LATENTS NAME KEY=VALUE...
    to=$1 name=$2 code=0 tries=0
    shift 2
    while [ "$code" = 0 ] && [ "$tries" -lt 20 ]; do
        tries=$((tries + 1))
        rm -f "$to"
        "$WEFT" sample "$name.yaml" output.latents="$to" "$@" 2>stop.txt &
        pid=$!
        while [ ! -e ".weft/$to.lock" ] && kill -0 "$pid"; do sleep 0.02; done
        kill -USR1 "$pid" || :
        wait "$pid" || code=$?
    done
    [ "$code" = 75 ] || fail "stopped with $code: $(cat stop.txt)"
}
