#!/bin/sh
# SIGUSR1 stops a data set after the step, with images in flight kept, and exit
# 75; the same command goes on, on other ranks. SIGTERM leaves what is complete.
# A disk without room leaves nothing under a final name.
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"

rm -rf ./*

make() { # RANKS DIR ARGUMENT...
    r=$1 to=$2
    shift 2
    ranks "$r" "$WEFT" dataset "$configs/dataset.yaml" sample.steps=20 \
        sample.width=64 sample.height=64 dataset.items.seeds=0-1 \
        dataset.shard_size=7 run.threads=1 run.batch=4 output.dir="$to" "$@"
}

# stopped RANKS DIR SIGNAL ARGUMENT...: once items are made, one of the ranks;
# the exit code is in $code
stopped() {
    count=$1 dir=$2 signal=$3
    shift 3
    make "$count" "$dir" "$@" 2>stop.txt &
    job=$!
    until_found "$dir" -name '.0*.part' -size +4k
    # shellcheck disable=SC2046 # one of them
    set -- $(working "$dir")
    [ $# = 0 ] || kill "-$signal" "$1"
    code=0
    wait $job || code=$?
}

make 2 still 2>still.txt
(cd still && sha256sum 0*.tar) >want.txt

same() { # DIR
    (cd "$1" && sha256sum 0*.tar) >is.txt
    cmp want.txt is.txt || fail "$1: not the shards of an undisturbed run"
    cmp "$1/index.jsonl" still/index.jsonl || fail "$1: not the same index"
    find "$1" \( -name '*.tmp.*' -o -name '.0*' \) | grep . &&
        fail "$1: something is left over"
    return 0
}

for n in 1 3; do
    stopped $n "usr$n" USR1
    [ "$code" = 75 ] || { cat stop.txt; fail "exit $code, not 75, of $n ranks"; }
    find "usr$n" -name '.*.flight' | grep -q . || fail "nothing kept in flight"
    make $((4 - n)) "usr$n" 2>again.txt || fail "cannot go on"
    same "usr$n"
done
# of two ranks that share each image
stopped 2 pair USR1 parallel.patches=2
[ "$code" = 75 ] || { cat stop.txt; fail "exit $code, not 75, of a pair"; }
make 1 pair 2>again.txt
same pair

stopped 1 term TERM
[ "$code" = 143 ] || fail "exit $code, not 143, after SIGTERM"
make 2 term 2>again.txt
same term

# run.checkpoint keeps what is in flight on the way; a kill loses no more than
# what came after, and what is kept goes with its shard
stopped_kept() { # RANKS DIR EVERY
    make "$1" "$2" run.checkpoint="$3" 2>stop.txt &
    job=$!
    until_found "$2" -name '.0*.flight'
    [ -n "$(find "$2" -name '.0*.flight')" ] || fail "$3: nothing is kept"
    # shellcheck disable=SC2046 # one of them
    set -- $(working "$2")
    [ $# = 0 ] || kill -9 "$1"
    wait $job && fail "a killed job ended well"
    return 0
}
stopped_kept 1 kept 3
touch kept/.000000.flight.tmp.1 kept/000001.tar.tmp.1
make 3 kept 2>again.txt
same kept
stopped_kept 2 timed 0.05s
make 1 timed run.checkpoint=2 2>again.txt
same timed

# ---- no room ----------------------------------------------------------------
(
    ulimit -f 120 # a shard is larger than 60 KiB
    refused 1 'File too large' "$WEFT" dataset "$configs/dataset.yaml" \
        sample.steps=1 sample.width=64 sample.height=64 run.threads=1 \
        dataset.items.seeds=0-1 output.dir=full
    [ "$failures" = 0 ]
) || fail "a full disk"
find full -name '0*' | grep . && fail "something has a final name"
if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=100k none small; then
    refused 1 'No space left on device' "$WEFT" dataset "$configs/dataset.yaml" \
        sample.steps=1 sample.width=64 sample.height=64 run.threads=1 \
        dataset.items.seeds=0-1 output.dir=small/out
    find small -name '0*' | grep . && fail "something has a final name"
    umount small
fi
refused 2 '/proc/out: cannot make the folder' \
    "$WEFT" dataset "$configs/dataset.yaml" output.dir=/proc/out

finish
