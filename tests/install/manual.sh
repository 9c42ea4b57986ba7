#!/usr/bin/env bash
# The manual page, completion and modulefile of an installed weft say what the
# program says.
#   manual.sh PREFIX
set -eu
prefix=$1
weft=$prefix/bin/weft
page=$prefix/share/man/man1/weft.1

fail() {
    echo "manual: $*"
    exit 1
}

# Hyphens of a page are written \-.
plain=$(sed 's/\\-/-/g' "$page")
says() { grep -qF -- "$1" <<<"$plain" || fail "the page lacks: $1"; }

commands=$("$weft" --help | sed -n 's/^  weft \([a-z]*\) .*/\1/p' | sort -u)
[ "$(wc -w <<<"$commands")" -ge 4 ] || fail "few commands: $commands"
for command in $commands; do
    says ".SS weft $command"
    while read -r line; do says "$line"; done < <("$weft" "$command" --help)
done
while read -r line; do says "$line"; done < <("$weft" --help)
! grep -q '@[A-Z]' <<<"$plain" || fail "a place was not filled"

# complete WORD...: what is offered for the last word
complete_words() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _weft
    echo "${COMPREPLY[*]}"
}
offers() { # WANT WORD...
    local got
    got=$(complete_words "${@:2}")
    [ "$got" = "$1" ] || fail "for \"${*:2}\": \"$got\", not \"$1\""
}
# shellcheck source=/dev/null
. "$prefix/share/bash-completion/completions/weft"
offers plan weft pl
offers --version weft --v
offers "--json" weft plan --j
offers "" weft inspect --j
offers "sample.steps=" weft sample c.yaml sample.ste
offers "$prefix/bin" weft sample "$prefix/bi"
offers "$prefix/bin" weft sample c.yaml output.dir = "$prefix/bi"

if ! command -v tclsh >/dev/null; then
    [ -z "${CI:-}" ] || fail "no tclsh to read the modulefile with, and CI is set"
    exit 0
fi
module=$(echo "$prefix"/share/modulefiles/weft/*)
path=$(tclsh <<END
proc unknown args {}
proc prepend-path {name value} { if {\$name eq "PATH"} { puts \$value } }
set ModulesCurrentModulefile $module
source \$ModulesCurrentModulefile
END
)
[ "$path" = "$prefix/bin" ] || fail "the modulefile adds $path"
