#!/bin/sh
# A data set through kills: a random rank is killed at a random moment, again
# and again, each time on another number of ranks; then it is finished. Its
# shards must have the hashes of those that nobody disturbed, none twice, none
# missing, nothing half-written left.
#     kill_dataset.sh [KILLS [SEED]]        5 kills unless said otherwise
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"

rm -rf ./*
kills=${1:-5}
awk -v seed="${2:-$$}" -v n="$kills" 'BEGIN {
    srand(seed)
    for (i = 0; i < n; i++)
        print 1 + int(3 * rand()), rand(), int(100 * rand()), int(5 * rand())
}' >plan.txt
echo "seed ${2:-$$}"

make() { # RANKS DIR
    ranks "$1" "$WEFT" dataset "$configs/dataset.yaml" sample.steps=4 \
        sample.width=64 sample.height=64 dataset.items.seeds=0-$((8 * kills)) \
        dataset.shard_size=8 run.threads=1 run.batch=4 output.dir="$2" \
        output.report="$2.jsonl"
}

starts() { # of runs that came as far as their first shard
    grep -cs '"event": "start"' killed.jsonl || true
}

now() { date +%s.%N; }

began=$(now)
make 1 still >still.txt 2>&1
(cd still && sha256sum 0*.tar) >want.txt
# At this rate all runs together that are killed make about half of it.
share=$(awk -v a="$began" -v b="$(now)" -v n="$kills" \
    'BEGIN { print 0.4 * (b - a) / n }')

check() { # that all is there, once, and of the bytes of an undisturbed run
    (cd killed && sha256sum 0*.tar) >is.txt
    cmp want.txt is.txt || fail "shards are not those of an undisturbed run"
    cmp still/index.jsonl killed/index.jsonl || fail "the index is not the same"
    sort killed/index.jsonl | uniq -d | grep . && fail "items are there twice"
    "$WEFT" inspect killed --verify >inspect.txt || fail "not whole"
    find killed \( -name '*.tmp.*' -o -name '.0*' \) | grep . &&
        fail "torn files are left"
    return 0
}

# One in five dies while it starts, the others while they work.
attempt() { # RANKS MOMENT WHICH EARLY: $hit: there was a job to be killed
    before=$(starts) hit=0
    make "$1" killed >killed.txt 2>&1 &
    job=$!
    while [ -z "$(working killed)" ] && kill -0 $job 2>/dev/null; do
        sleep 0.01
    done
    while [ "$4" != 0 ] && [ "$(starts)" = "$before" ] &&
        kill -0 $job 2>/dev/null; do
        sleep 0.01
    done
    sleep "$(awk -v m="$2" -v s="$share" 'BEGIN { print m * s }')"
    which=$3
    # shellcheck disable=SC2046 # words
    set -- $(working killed)
    if [ $# -gt 0 ]; then
        shift $((which % $#))
        kill -9 "$1" 2>/dev/null && hit=1
    fi
    code=0
    wait $job || code=$?
    [ $code != 0 ] || hit=0 # it was through
    i=0
    while [ -n "$(working killed)" ] && [ $i -lt 100 ]; do
        i=$((i + 1))
        sleep 0.1
    done
}

# A data set that is complete before all kills were done is made anew.
killed=0
while read -r n moment which early; do
    tries=0 hit=0
    while [ $hit = 0 ] && [ $tries -lt 5 ]; do
        tries=$((tries + 1))
        attempt "$n" "$moment" "$which" "$early"
        [ $code != 0 ] || [ -e killed/index.jsonl ] ||
            fail "ended well, unfinished"
        for mark in killed/0*.json; do
            [ ! -e "$mark" ] || [ -e "${mark%.json}.tar" ] ||
                fail "$mark has no tar"
        done
        [ $code != 0 ] || check
        [ $code != 0 ] || rm -rf killed
    done
    killed=$((killed + hit))
done <plan.txt
make 3 killed >killed.txt 2>&1 || fail "cannot be finished"
check
echo "$killed of $kills kills hit"
[ "$killed" = "$kills" ] || fail "a kill met no job"
finish
