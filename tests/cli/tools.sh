# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# tools.sh: for tests of the tools: a folder of its own ($work), what is wrong counted in $failed. Sourced with the build
# folder as $1.
set -euo pipefail
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
check() { # a description, then a command that must succeed
    local what=$1
    shift
    if ! "$@"; then
        echo "failed: $what"
        failed=1
    fi
}
status() { # the exit status of a command, whatever it prints
    local result=0
    "$@" >/dev/null 2>&1 || result=$?
    echo $result
}
