#!/bin/sh
# A signal that ends a run in the middle of writing: no unfinished file stays,
# and the run says where it was. One that is killed leaves it to the next.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"

cat >large.yaml <<'END'
models:
  toy: { kind: analytic, shape: [3, 4096, 4096],
         mixture: [ { weight: 1, mean: -1, std: 0.5 },
                    { weight: 1, mean: 1, std: 0.5 } ] }
sample: { steps: 1, width: 4096, height: 4096 }
output: { image: out/a.png }
END

# interrupt SIGNAL [COMMAND...]: as soon as the picture is being written
interrupt() {
    signal=$1
    shift
    rm -rf out
    "$@" "$WEFT" sample large.yaml run.threads=1 >out.txt 2>&1 &
    job=$!
    for _ in $(seq 1000); do
        [ -n "$(find out -name 'a.png.tmp.*' 2>/dev/null)" ] && break
        sleep 0.01
    done
    kill "-$signal" "$job" || true
    code=0
    wait "$job" || code=$?
}

# ended SIGNAL [COMMAND...]: tried again where the picture was whole too soon
ended() {
    for _ in 1 2 3 4 5 6; do
        interrupt "$@"
        [ -f out/a.png ] || break
    done
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

# What no process can clean up the next run does: its own, and of no process
# that lives.
interrupt KILL
[ -f out/a.png ] || [ -n "$(find out -name 'a.png.tmp.*')" ] ||
    fail "KILL: nothing was being written"
touch out/a.png.tmp.999999999 out/b.png.tmp.999999999 "out/a.png.tmp.$$"
"$WEFT" sample large.yaml run.threads=1 2>out.txt || fail "cannot go on"
(cd out && echo ./* .[a-z]*) >left.txt
echo "./a.png ./a.png.tmp.$$ ./b.png.tmp.999999999 .[a-z]*" | cmp - left.txt ||
    fail "left behind: $(cat left.txt)"
finish
