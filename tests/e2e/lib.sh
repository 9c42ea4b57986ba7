# shellcheck shell=sh
# For tests of the program, each run in a folder of its own. From CTest: WEFT,
# WEFT_SOURCE_DIR, MPIEXEC, PYTHON.
set -eu
: "${WEFT:?}" "${WEFT_SOURCE_DIR:?}" "${MPIEXEC:?}"
# shellcheck disable=SC2034 # for the tests
configs=$WEFT_SOURCE_DIR/configs
failures=0

fail() {
    printf 'FAIL: %s\n' "$*"
    failures=$((failures + 1))
}

finish() {
    [ "$failures" = 0 ] || exit 1
    echo "all as expected"
}

# ranks N COMMAND...
ranks() {
    if [ "$1" = 1 ]; then
        shift
        "$@"
    else
        "$MPIEXEC" -n "$@"
    fi
}

# same_file A B
same_file() {
    cmp "$1" "$2" || fail "$1 and $2 differ"
}

# refused CODE TEXT COMMAND...: ends with CODE within a minute, says TEXT. Where
# ranks end by themselves, together, mpirun need not wait a second for them.
refused() {
    want=$1 text=$2
    shift 2
    code=0
    patience=1
    [ "$want" != 2 ] || patience=0
    OMPI_MCA_odls_base_sigkill_timeout=$patience \
        PRTE_MCA_odls_base_sigkill_timeout=$patience \
        timeout 60 "$@" >out.txt 2>&1 || code=$?
    [ "$code" = "$want" ] || {
        cat out.txt
        fail "exit $code, not $want: $*"
    }
    grep -qF -- "$text" out.txt || {
        cat out.txt
        fail "does not say \"$text\": $*"
    }
}

# told ARGUMENT: the ranks in this folder that were given it; not their launcher
told() {
    grep -lzsxF -- "$1" /proc/[0-9]*/cmdline | while read -r p; do
        p=${p%/cmdline}
        [ "$(readlink "$p/exe" 2>/dev/null)" = "$(readlink -f "$WEFT")" ] &&
            [ "$(readlink "$p/cwd" 2>/dev/null)" = "$PWD" ] &&
            echo "${p#/proc/}"
    done
    return 0
}

# working DIR: the ranks at work on the data set in DIR
working() {
    told "output.dir=$1"
}

# until_found DIR EXPRESSION...: find knows something like it there, or half a minute
# has passed
until_found() {
    tries=0
    while [ -z "$(find "$@" 2>/dev/null)" ] && [ $tries -lt 1500 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
}
