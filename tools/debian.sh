# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# debian.sh: Debian's signed packages for tools that use them without installing them. apt works on private state: nothing of
# the system is changed and no root is needed. For bash; who sources it defines die().

# The Debian mirrors to try: the system's own where the system is Debian, then the one that always works.
mirrors() {
    {
        if grep -q '^ID=debian' /etc/os-release; then
            # shellcheck disable=SC2016
            apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -E '/debian/?$' || true
        fi
        echo http://deb.debian.org/debian
    } | sed 's|/$||' | awk '!seen[$0]++'
}

# apt on private state in folder $1, which stays as it is between tries, so that a download goes on where it stopped.
private_apt() {
    local state=$1 architecture=${FETCH_ARCHITECTURE:-$(dpkg --print-architecture)}
    shift
    apt-get -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::State::lists="$state/lists" \
        -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" -o Dir::Log="$state" \
        -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
        -o APT::Install-Recommends=false -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none \
        -o Acquire::Retries=2 -o APT::Update::Error-Mode=any -o APT::Sandbox::User=root \
        -o APT::Get::List-Cleanup=false -o Debug::NoLocking=true -q "$@"
}

# Fetches into $2/archives, for $1 (a name for messages), the packages named after $4, from the suites in $3: with all that
# they depend on if $4 is "install", alone if it is "download", their upstream sources if it is "source". FETCH_ARCHITECTURE: another
# machine's.
fetch() {
    local name=$1 state=$2 suites=$3 how=$4 keyring='' architecture mirror suite file kind=deb
    shift 4
    if ! command -v apt-get dpkg-deb >/dev/null; then
        die "unpacking $name needs apt-get and dpkg-deb (Debian, Ubuntu and their kin)"
    fi
    for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        [ ! -r "$file" ] || keyring=$file
    done
    [ -n "$keyring" ] || die "Debian's signing keys are missing: install the package debian-archive-keyring (tools/setup does)"
    architecture=${FETCH_ARCHITECTURE:-$(dpkg --print-architecture)}
    [ "$how" != source ] || kind=deb-src
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    : >"$state/status"
    while read -r mirror; do
        for suite in $suites; do
            echo "$kind [arch=$architecture signed-by=$keyring] $mirror $suite main"
        done >"$state/sources.list"
        if private_apt "$state" update >"$state/log" 2>&1; then
            case $how in
            install) private_apt "$state" -y --download-only install "$@" >>"$state/log" 2>&1 && return ;;
            download) (cd "$state/archives" && private_apt "$state" download "$@" >>"$state/log" 2>&1) && return ;;
            source) (cd "$state/archives" && private_apt "$state" source --download-only --tar-only "$@" >>"$state/log" 2>&1) && return ;;
            esac
        fi
    done < <(mirrors)
    sed 's/^/    /' "$state/log" >&2
    die "$name cannot be fetched; apt's lines above say why. Is there a network? (The next try goes on from here.)"
}

# Is a C library of version $1 older than one of version $2?
older() { dpkg --compare-versions "$1" lt "$2"; }
