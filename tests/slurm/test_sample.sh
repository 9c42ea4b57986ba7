#!/bin/sh
# weft sample as jobs of a real Slurm, over two nodes.
# shellcheck source=tests/e2e/lib.sh
. "$WEFT_SOURCE_DIR/tests/e2e/lib.sh"
rm -rf ./*
# shellcheck source=tests/slurm/cluster.sh
. "$WEFT_SOURCE_DIR/tests/slurm/cluster.sh"
start_cluster
export WEFT
script=$WEFT_SOURCE_DIR/slurm/sample.sbatch
both="-N2 -n2 -c1 --time=2"
small="$configs/demo.yaml sample.width=128 sample.height=128 sample.steps=4"

# Ranks by srun, as the script chooses, and by mpirun: the bytes of one process.
# shellcheck disable=SC2086 # words, here and below
"$WEFT" sample $small output.image=plain.png 2>/dev/null || fail "alone"
for launch in "" "$MPIEXEC"; do
    name=job-$(basename "${launch:-srun}")
    # shellcheck disable=SC2086
    WEFT_LAUNCH=$launch submit "$name" "$script" $both -- $small \
        output.image="$name.png" output.report="$name.jsonl"
    await "$id" 30
    [ "$code" = 0 ] || fail "exit $code: $name: $(cat "$name.out")"
    same_file plain.png "$name.png"
    grep -q '"ranks": 2' "$name.jsonl" || fail "$name: not two ranks"
done

# srun without an MPI makes two jobs of one; who is not there is not started.
# shellcheck disable=SC2086
WEFT_LAUNCH=srun submit single "$script" $both -- $small output.image=single.png
await "$id" 30
[ "$code" = 2 ] || fail "exit $code, not 2: srun without an MPI"
grep -q "srun started 2 tasks, but MPI sees 1 rank" single.out ||
    fail "singletons: $(cat single.out)"
if [ -e single.png ]; then fail "singletons wrote"; fi
# shellcheck disable=SC2086
WEFT=$PWD/nothing submit nothing "$script" $both -- $small
await "$id" 30
[ "$code" = 2 ] || fail "exit $code, not 2: no weft"
grep -q "nothing is not here" nothing.out || fail "$(cat nothing.out)"

finish
