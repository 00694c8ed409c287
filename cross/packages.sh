# shellcheck shell=bash
# The distribution's packages, for prep.sh, cross/build, image/build and image/test, which source this. It
# wants `program`, what messages begin with, and `skip`, not empty where nothing may be installed.

say() {
    printf '== %s\n' "$*"
}

die() {
    printf '%s: %s\n' "${program:?}" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo: $*"
    fi
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Whether apt could install package $1 in a version of at least $2.
is_offered() {
    local candidate
    candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
    [ -n "$candidate" ] && [ "$candidate" != '(none)' ] &&
        dpkg --compare-versions "$candidate" ge "$2"
}

refreshed=
apt_refresh_once() {
    if [ -z "$refreshed" ]; then
        as_root apt-get -q update
        refreshed=1
    fi
}

apt_install() {
    apt_refresh_once
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
}

need_packages() {
    local missing=() package
    [ -z "${skip:-}" ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "No apt on this machine. What would be installed on Debian, in case this fails: $*"
        return 0
    fi
    for package; do
        is_installed "$package" || missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        say "Installing ${missing[*]}"
        apt_install "${missing[@]}"
    fi
}

# Where this machine's own apt gets Debian from: an address that ends in a slash.
debian_mirror() {
    local id codename mirror
    # shellcheck source=/dev/null
    id=$(. /etc/os-release && echo "$ID")
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # apt fills these in
    [ "$id" != debian ] || mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' | sed -n "s/ $codename main\$//p" | head -n 1)
    [ -n "${mirror:-}" ] || die "this machine's apt has no source of Debian: name one with --mirror URL"
    printf '%s\n' "$mirror"
}

# The keys that Debian's releases are signed with.
# shellcheck disable=SC2034 # for who sources this
DEBIAN_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

# apt-get or apt-cache ($2, and its arguments) with lists, sources and a cache of its own in folder $1, which
# `private_apt_sources` made.
private_apt() {
    local folder=$1 command=$2
    shift 2
    "$command" -q "-oDir::State=$folder/state" "-oDir::Cache=$folder/cache" \
        "-oDir::Etc::sourcelist=$folder/sources.list" -oDir::Etc::sourceparts=/dev/null \
        "-oDir::State::status=$folder/status" "-oAPT::Sandbox::User=$(id -un)" "$@"
}

# Makes folder $1 for `private_apt`; the lines of its sources are the rest.
private_apt_sources() {
    local folder=$1
    shift
    mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial"
    printf '%s\n' "$@" >"$folder/sources.list"
    : >"$folder/status"
}
