#!/bin/sh
# A signal that ends a run in the middle of writing: no unfinished file stays,
# and the run says where it was.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"

cat >large.yaml <<'END'
models:
  toy: { kind: analytic, shape: [3, 2048, 2048],
         mixture: [ { weight: 1, mean: -1, std: 0.5 },
                    { weight: 1, mean: 1, std: 0.5 } ] }
sample: { steps: 1, width: 2048, height: 2048 }
output: { image: out/a.png }
END

# ended SIGNAL [COMMAND...]: as soon as the picture is being written
ended() {
    signal=$1
    shift
    rm -rf out
    "$@" "$WEFT" sample large.yaml run.threads=1 >out.txt 2>&1 &
    job=$!
    set -- "$signal" "$@"
    for _ in $(seq 1000); do
        [ -n "$(find out -name 'a.png.tmp.*' 2>/dev/null)" ] && break
        sleep 0.01
    done
    kill "-$1" "$job" || fail "$1: too late"
    code=0
    wait "$job" || code=$?
    [ "$code" -gt 128 ] || [ $# -gt 1 ] || fail "$1: exit $code"
    [ "$code" != 0 ] || fail "$1: it ended well"
    [ -z "$(find out -type f)" ] || fail "$1: files stay behind: $(ls out)"
    grep -q "^weft: .*writing an image: ended by SIG$1" out.txt || {
        cat out.txt
        fail "$1: it does not say where it was"
    }
}

ended TERM
ended HUP
ended TERM "$MPIEXEC" -n 2
finish
