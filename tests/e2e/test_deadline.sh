#!/bin/sh
# One rank is stopped, or killed, in the middle of a step: the others say where
# they are, the job ends, and nothing stays behind.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"

host=$(uname -n)
# MPICH's launcher kills those whom a killed rank leaves before they can speak.
mute=
if "$MPIEXEC" --version | grep -q HYDRA; then mute=KILL; fi

# pid_of RANK: of this test's job; launchers tell ranks their number
pid_of() {
    for status in /proc/[0-9]*/environ; do
        dir=${status%/environ}
        [ "$(readlink "$dir/cwd" 2>/dev/null)" = "$PWD" ] || continue
        [ "$(readlink "$dir/exe" 2>/dev/null)" = "$(readlink -f "$WEFT")" ] ||
            continue
        if tr '\0' '\n' <"$status" 2>/dev/null |
            grep -qxE "(OMPI_COMM_WORLD_RANK|PMIX_RANK|PMI_RANK)=$1"; then
            basename "$dir"
            return
        fi
    done
}

# The report says when all is planned; then weights are loaded.
wait_for_steps() {
    for _ in $(seq 300); do
        grep -q '"event": "start"' run.jsonl 2>/dev/null && break
        sleep 0.1
    done
    sleep 1.5
}

# strike SIGNAL RANKS VICTIM [CONFIG KEY=VALUE...]: what the job says is in
# out.txt
strike() {
    signal=$1 size=$2 victim=$3 config=${4:-demo}
    [ $# -lt 4 ] || shift
    shift 3
    rm -rf out run.jsonl
    "$MPIEXEC" -n "$size" "$WEFT" sample "$configs/$config.yaml" \
        sample.steps=500 run.threads=1 run.deadline=3 \
        output.image=out/a.png output.report=run.jsonl "$@" >out.txt 2>&1 &
    set -- "$signal" "$size" "$victim"
    job=$!
    wait_for_steps
    pid=$(pid_of "$3")
    [ -n "$pid" ] || fail "no rank $3 is running"
    began=$(date +%s)
    kill "-$1" "${pid:-$job}"
    code=0
    wait "$job" || code=$?
    seconds=$(($(date +%s) - began))
    [ "$code" != 0 ] || fail "$1: a job of $2 ended well"
    [ "$seconds" -le 20 ] || fail "$1: the end took $seconds s"
    [ -z "$(find out -type f 2>/dev/null)" ] || fail "$1: files stay behind"
    rank=0
    while [ "$rank" -lt "$2" ]; do
        [ -z "$(pid_of "$rank")" ] || fail "$1: rank $rank still runs"
        [ "$rank" = "$3" ] || [ "$1" = "$mute" ] ||
            grep -q "^weft: rank $rank on $host: step [0-9]* of 500: " \
                out.txt || fail "$1, $2 ranks: rank $rank does not say where"
        rank=$((rank + 1))
    done
    [ "$failures" = 0 ] || cat out.txt
}

for ranks in 2 3 5; do
    victim=$((ranks / 2))
    strike STOP "$ranks" "$victim"
    grep -qE "^weft: .*, evaluation [0-9]+, .*, slot [0-9]+\): (nothing from|\
not taken by) rank $victim on $host for [0-9]+\.[0-9] s" out.txt || {
        cat out.txt
        fail "STOP: nobody says what it waits for"
    }
    grep -q "^weft: no word from rank $victim on $host: " out.txt || {
        cat out.txt
        fail "STOP: rank $victim is not named"
    }
done
# Of the three, the last is the weak model: the strong one's ranks name it.
strike STOP 3 2 w2sd sample.seed=7 'parallel.roles={strong: 2, weak: 1}'
grep -qE "^weft: rank [01] on .*weak.*: nothing from rank 2 on $host" out.txt || {
    cat out.txt
    fail "STOP: nobody says that it is weak who is silent"
}
grep -q "^weft: no word from rank 2 on $host (weak): " out.txt ||
    fail "STOP: the weak model's rank is not named"

for ranks in 2 3 5; do
    strike KILL "$ranks" $((ranks - 1))
done
finish
