#!/bin/sh
# Jobs of a real Slurm that are stopped: one by scancel, which is submitted again
# with fewer ranks; one by its own time limit, which goes back into the queue by
# itself. The pictures are those of one process that nobody stopped.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
rm -rf ./* ./.weft
# shellcheck source=tests/slurm/cluster.sh
. "$WEFT_SOURCE_DIR/tests/slurm/cluster.sh"
start_cluster
export WEFT
script=$WEFT_SOURCE_DIR/slurm/sample.sbatch
size="$configs/demo.yaml sample.width=128 sample.height=128 run.threads=1"

# now: seconds since the cluster began
began=$(date +%s)
now() { echo $(($(date +%s) - began)); }

# As many images as one process draws in about 14 seconds of a processor that it
# has to itself.
# shellcheck disable=SC2086 # words, here and below
last=$("$PYTHON" - "$WEFT" sample $size sample.steps=30 run.batch=1 \
    sample.seeds=0-9 output.image='try/{seed}.png' <<'END'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(max(6, min(500, int(140 / (used.ru_utime + used.ru_stime)))))
END
) || fail "alone"
size="$size sample.steps=30 run.batch=1"
# shellcheck disable=SC2086
"$WEFT" sample $size sample.seeds="0-$last" output.image='plain/{seed}.png' \
    2>plain.out &
plain=$!

# scancel once something is kept and something is written
# shellcheck disable=SC2086
submit cancelled "$script" -N2 -n2 -c1 --time=5 -- $size sample.seeds=0-5 \
    run.checkpoint=5 output.image='cancelled/{seed}.png'
for _ in $(seq 150); do
    [ -n "$(find cancelled -name '[0-9]*.png' 2>/dev/null)" ] && break
    sleep 0.1
done
scancel "$id"
await "$id" 20
scontrol show job "$id" | grep -q JobState=CANCELLED ||
    fail "not cancelled in its middle: $(cat cancelled.out)"
[ "$(find cancelled -name '[0-9]*.png' | wc -l)" -lt 6 ] || fail "all there"
# shellcheck disable=SC2086
submit again "$script" -N1 -n1 -c1 --time=5 -- $size sample.seeds=0-5 \
    run.checkpoint=5 output.image='cancelled/{seed}.png'
await "$id" 40
[ "$code" = 0 ] || fail "exit $code: submitted again: $(cat again.out)"

# Slurm looks for limits every 30 s, and sends the signal up to 30 s early: with
# 30 s before the end of a minute, at the first look. Then there is more time.
while [ $(($(now) % 30)) -lt 23 ] || [ $(($(now) % 30)) -gt 25 ]; do
    sleep 0.5
done
# shellcheck disable=SC2086
submit limit "$script" -N2 -n2 -c1 --time=1 --signal=B:USR1@30 -- $size \
    sample.seeds="0-$last" output.image='limit/{seed}.png'
limit=$id
for _ in $(seq 60); do
    scontrol show job "$limit" | grep -q "Restarts=1" && break
    sleep 0.5
done
scontrol update JobId="$limit" TimeLimit=10 || fail "not requeued in time"
await "$limit" 90
[ "$code" = 0 ] || fail "exit $code: a job that was requeued: $(cat limit.out)"
scontrol show job "$limit" | grep -q Restarts=1 ||
    fail "never requeued: $(cat limit.out)"
grep -q "work is left" limit.out || fail "no word of it: $(cat limit.out)"

wait $plain || fail "exit $?: $(cat plain.out)"
for i in $(seq 0 "$last"); do same_file "plain/$i.png" "limit/$i.png"; done
for i in $(seq 0 5); do same_file "plain/$i.png" "cancelled/$i.png"; done
for folder in limit cancelled; do
    left=$(find $folder -type f ! -name '[0-9]*.png')
    [ -z "$left" ] || fail "left behind: $left"
done
finish
