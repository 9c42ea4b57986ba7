#!/bin/sh
# Copies of a job of one, which a launcher of another MPI makes, are refused in
# one sentence; a batch script's own process is not.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rm -rf ./*
small="$configs/demo.yaml sample.steps=1 sample.width=64 sample.height=64 \
output.image=picture.png"

# as srun without an MPI plugin starts one
task="env SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=3 SLURM_NTASKS=3"
# shellcheck disable=SC2086 # words, here and below
refused 2 "srun started 3 tasks, but MPI sees 1 rank" $task SLURM_PROCID=0 \
    "$WEFT" sample $small
code=0
# shellcheck disable=SC2086
$task SLURM_PROCID=2 "$WEFT" sample $small >out.txt 2>&1 || code=$?
[ "$code" = 2 ] || fail "exit $code, not 2: a task beside others"
[ ! -s out.txt ] || fail "said more than once: $(cat out.txt)"

# The other MPI's launcher, where there is one.
case $("$WEFT" --version) in
*"Open MPI"*) other=mpiexec.mpich ;;
*) other=mpirun.openmpi ;;
esac
if command -v $other >/dev/null; then
    # copies do not end together: who has something to say needs the second
    # shellcheck disable=SC2086
    refused 2 "but MPI sees 1 rank" \
        env OMPI_MCA_odls_base_sigkill_timeout=1 $other -n 3 \
        "$WEFT" sample $small
    [ "$(grep -c '^weft:' out.txt)" = 1 ] || fail "not said once: $other"
fi
if [ -e picture.png ]; then fail "written although refused"; fi

# shellcheck disable=SC2086
env SLURM_JOB_ID=1 SLURM_NTASKS=3 SLURM_PROCID=0 "$WEFT" sample $small \
    2>out.txt || fail "exit $?: alone in a batch script"
grep -q "one rank in a job of 3 tasks" out.txt || fail "no word of the others"
[ -s picture.png ] || fail "no picture"
finish
