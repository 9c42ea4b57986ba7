# shellcheck shell=sh
# A cluster of Slurm for tests: two nodes of two processors on this machine, as
# whoever runs it, in a folder of its own. It ends with the script that reads
# this, whatever ends that. Read after tests/e2e/lib.sh.
: "${PYTHON:?}"
for tool in sbatch slurmctld slurmd; do
    command -v $tool >/dev/null && continue
    echo "$tool is not here (Debian: slurm-client slurmctld slurmd)"
    [ -z "${CI:-}" ] || exit 1 # where nothing may be skipped
    exit 77
done
cluster=$PWD/cluster
export SLURM_CONF="$cluster/slurm.conf"

# Three ports that nobody listens on.
free_ports() {
    "$PYTHON" -c 'import socket
held = [socket.socket() for _ in range(3)]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])'
}

# auth/none: whoever reaches a port is believed, so only this machine may. Jobs
# start again at once: by default a requeued job waits two minutes.
write_slurm_conf() { # CONTROL NODE1 NODE2: ports
    host=$(uname -n)
    cat >"$SLURM_CONF" <<END
ClusterName=weft
SlurmctldHost=${host%%.*}(127.0.0.1)
SlurmctldPort=$1
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
AuthInfo=cred_expire=6
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=0
KillWait=5
StateSaveLocation=$cluster/state
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdParameters=config_overrides
SlurmdSpoolDir=$cluster/%n
TmpFS=$cluster/%n
SlurmdPidFile=$cluster/%n.pid
SlurmdLogFile=$cluster/%n.log
NodeName=n1 NodeHostname=${host%%.*} NodeAddr=127.0.0.1 Port=$2 CPUs=2
NodeName=n2 NodeHostname=${host%%.*} NodeAddr=127.0.0.1 Port=$3 CPUs=2
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
END
}

daemons=
daemon() { # NAME COMMAND...
    name=$1
    shift
    "$@" >"$cluster/$name.out" 2>&1 &
    daemons="$daemons $!"
}

idle_nodes() { sinfo -h -N -t idle -o %N 2>/dev/null | wc -l; }

# Jobs first: their processes are no children of the daemons' parents.
end_cluster() {
    scancel --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 50); do
        [ -n "$(squeue -h 2>/dev/null)" ] || break
        sleep 0.1
    done
    # shellcheck disable=SC2086 # numbers of processes
    kill $daemons 2>/dev/null || true
    for process in $daemons; do wait "$process" || true; done
}

start_cluster() {
    rm -rf "$cluster"
    mkdir -p "$cluster/state" "$cluster/n1" "$cluster/n2"
    # shellcheck disable=SC2046 # ports are words
    write_slurm_conf $(free_ports)
    trap end_cluster EXIT
    trap 'exit 1' INT TERM HUP
    daemon slurmctld slurmctld -D
    daemon n1 slurmd -D -N n1
    daemon n2 slurmd -D -N n2
    for _ in $(seq 100); do
        [ "$(idle_nodes)" != 2 ] || return 0
        sleep 0.1
    done
    cat "$cluster"/*.out
    echo "no cluster of Slurm here"
    exit 1
}

# submit NAME SCRIPT [OPTION...] [-- WORD...]: its number in $id, its output in
# NAME.out
submit() {
    name=$1 script=$2 options=
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    [ $# = 0 ] || shift
    # shellcheck disable=SC2034,SC2086 # for the tests; options are words
    id=$(sbatch --parsable --output="$name.out" $options "$script" "$@") ||
        fail "not submitted: $name"
}

# await ID SECONDS: until the job, or all of its array, has left the queue; the
# largest of its exit codes in $code
await() {
    for _ in $(seq $(($2 * 5))); do
        [ -n "$(squeue -h -j "$1" 2>/dev/null)" ] || break
        sleep 0.2
    done
    scontrol show job "$1" >job.txt
    # shellcheck disable=SC2034 # for the tests
    code=$(sed -n 's/.*ExitCode=\([0-9]*\):.*/\1/p' job.txt | sort -n | tail -n 1)
    grep -oE "JobState=[A-Z]+" job.txt |
        grep -qvE "COMPLETED|FAILED|CANCELLED" && fail "not ended: $(cat job.txt)"
    return 0
}
