#!/bin/sh
# Data sets by jobs of a real Slurm: over two nodes; stopped by the signal that
# comes before the limit, and requeued; cancelled, and submitted again; by an
# array of jobs without MPI. The shards are those of one process, none missing.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
rm -rf ./*
# shellcheck source=tests/slurm/cluster.sh
. "$WEFT_SOURCE_DIR/tests/slurm/cluster.sh"
start_cluster
export WEFT
script=$WEFT_SOURCE_DIR/slurm/dataset.sbatch
# One rank a node: ranks of two nodes on one machine take each other's files in
# /dev/shm for their own.
both="-N2 -n2 -c1 --time=5"
set="$configs/dataset.yaml dataset.items.labels=0-3 dataset.items.seeds=0-14 \
dataset.shard_size=6 sample.width=64 sample.height=64 run.threads=1 run.batch=2"

# whole DIR: ten shards, the bytes of the plain ones
whole() {
    [ "$(find "$1" -name '*.tar' | wc -l)" = 10 ] || fail "$1: $(ls -A "$1")"
    for tar in plain/*.tar; do same_file "$tar" "$1/${tar#plain/}"; done
    "$WEFT" inspect "$1" --verify >"$1.txt" || fail "$1: $(cat "$1.txt")"
}

# started DIR: until a shard is there
started() {
    for _ in $(seq 200); do
        [ ! -e "$1/000000.json" ] || return 0
        sleep 0.1
    done
    fail "$1: no shard for 20 s"
}

# ended NAME SECONDS: well
ended() {
    await "$id" "$2"
    [ "$code" = 0 ] || fail "exit $code: $1: $(cat "$1"*.out)"
}

# shellcheck disable=SC2086 # words, here and below
"$WEFT" dataset $set output.dir=plain 2>/dev/null || fail "alone"

# The script itself gets the signal, as before a limit, and hands it on.
# shellcheck disable=SC2086
submit stopped "$script" $both -- $set output.dir=stopped
started stopped
scancel --batch --signal=USR1 "$id"
ended stopped 60
grep -q "work is left" stopped.out || fail "not stopped: $(cat stopped.out)"
scontrol show job "$id" | grep -q Restarts=1 || fail "not requeued"
whole stopped

# shellcheck disable=SC2086
submit cancelled "$script" $both -- $set output.dir=cancelled
started cancelled
scancel "$id"
await "$id" 20
[ "$(find cancelled -name '*.tar' | wc -l)" -lt 10 ] || fail "all there"
# shellcheck disable=SC2086
submit again "$script" -n1 -c1 -- $set output.dir=cancelled
ended again 60
whole cancelled

# shellcheck disable=SC2086
submit array-%a "$script" --array=0-2 -n1 -c1 -- $set output.dir=array
ended array- 60
whole array
# shellcheck disable=SC2086
submit part-%a "$script" --array=1-2 -n1 -c1 -- $set output.dir=part
await "$id" 20
[ "$code" = 2 ] || fail "exit $code, not 2: an array that is not whole"
[ ! -e part ] || fail "written although refused"
finish
