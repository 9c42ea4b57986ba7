#!/bin/sh
# A data set through kills: a random rank is killed at a random moment, again
# and again, each time on another number of ranks; then it is finished. Its
# shards must have the hashes of those that nobody disturbed, none twice, none
# missing, nothing half-written left.
#     kill_dataset.sh [KILLS [SEED]]        5 kills unless said otherwise
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"

kills=${1:-5}
awk -v seed="${2:-$$}" -v n="$kills" 'BEGIN {
    srand(seed)
    for (i = 0; i < n; i++) print 1 + int(3 * rand()), rand(), int(100 * rand())
}' >plan.txt
echo "seed ${2:-$$}"

make() { # RANKS DIR
    ranks "$1" "$WEFT" dataset "$configs/dataset.yaml" sample.steps=4 \
        sample.width=64 sample.height=64 dataset.items.seeds=0-$((8 * kills)) \
        dataset.shard_size=8 run.threads=1 run.batch=4 output.dir="$2"
}

make 1 still >still.txt 2>&1
(cd still && sha256sum 0*.tar) >want.txt

# The ranks of a job are the processes that have the folder in their arguments
# and are no launcher.
pids() {
    for p in /proc/[0-9]*; do
        { tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null |
            grep -q "output.dir=killed" || continue
        [ "$(readlink "$p/exe" 2>/dev/null)" = "$(readlink -f "$WEFT")" ] &&
            echo "${p#/proc/}"
    done
}

killed=0
while read -r n moment which; do
    make "$n" killed >killed.txt 2>&1 &
    job=$!
    sleep "$(awk -v m="$moment" 'BEGIN { print 0.3 + 1.7 * m }')"
    # shellcheck disable=SC2046 # words
    set -- $(pids)
    if [ $# -gt 0 ]; then
        shift $((which % $#))
        kill -9 "$1" 2>/dev/null && killed=$((killed + 1))
    fi
    code=0
    wait $job || code=$?
    [ $code = 0 ] && [ ! -e killed/index.jsonl ] && fail "ended well, unfinished"
    for mark in killed/0*.json; do
        [ ! -e "$mark" ] || [ -e "${mark%.json}.tar" ] ||
            fail "$mark has no tar"
    done
    i=0
    while [ -n "$(pids)" ] && [ $i -lt 100 ]; do
        i=$((i + 1))
        sleep 0.1
    done
done <plan.txt
make 3 killed >killed.txt 2>&1 || fail "cannot be finished"
(cd killed && sha256sum 0*.tar) >is.txt
cmp want.txt is.txt || fail "shards are not those of an undisturbed run"
cmp still/index.jsonl killed/index.jsonl || fail "the index is not the same"
sort killed/index.jsonl | uniq -d | grep . && fail "items are there twice"
"$WEFT" inspect killed --verify >inspect.txt || fail "not whole"
find killed \( -name '*.tmp.*' -o -name '.*.part*' \) | grep . &&
    fail "torn files are left"
echo "$killed of $kills kills hit"
finish
