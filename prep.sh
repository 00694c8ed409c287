#!/bin/bash
# From a fresh Debian or Ubuntu to Moonfire NVR built, tried, tested or installed. `./prep.sh --help`.
set -eu
cd "$(dirname "$0")"

# The oldest Rust that can build it.
RUST_VERSION=1.85

BUILD_PACKAGES=(build-essential ca-certificates pkg-config)
# The simulated camera's pictures; a headless build goes without.
FFMPEG_PACKAGES=(libavcodec-dev libavformat-dev libavutil-dev libclang-dev libswscale-dev)
TEST_PACKAGES=(
    chromium chromium-driver curl ffmpeg firefox-esr gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-tools
    iproute2 jq netcat-openbsd onvif-tools python3 python3-gi python3-pip python3-zeroconf rsyslog shellcheck slowhttptest systemd tcpdump tmux
)

# For `image-test`, beside what cross/build and image/build ask for themselves.
IMAGE_TEST_PACKAGES=(
    dosfstools e2fsprogs fakeroot ffmpeg mtools openssh-client python3 qemu-system-arm rsyslog squashfs-tools zstd
)

PREFIX=/usr/local
STATE=/var/lib/moonfire-nvr
CONFIG=/etc/moonfire-nvr.toml
UNIT=/etc/systemd/system/moonfire-nvr.service
ACCOUNT=moonfire-nvr

usage() {
    cat <<'END'
Usage: ./prep.sh [-S] [--headless] COMMAND [ARGUMENT...]

Commands:
  demo       build, then show it at work: two simulated cameras and the recorder, which finds them
             by itself, in one folder
             (arguments are handed on; `./prep.sh demo --help` lists them)
  test       check formatting, lints, types, scripts and the headless build, and run all tests, those of
             the page in Chromium and Firefox last (arguments are handed on to `cargo test`; with
             any, the browsers are left alone)
  build      build target/release/moonfire-nvr
  install    build, and install for this machine: /usr/local/bin/moonfire-nvr, a user and group
             moonfire-nvr, the folders /var/lib/moonfire-nvr/{db,sample}, /etc/moonfire-nvr.toml if
             there is none, and a systemd unit that is enabled, not started. Harmless twice.
  image-test build for armv7, build the SD card image with a key of its own, boot it in QEMU, and try what a user would
             do with it, updates among it (arguments are handed on to image/test; half an hour and 2 GB once; no
             part of test)
  minimum-rust
             check that it still builds with Rust 1.85, the oldest that it promises. The
             distribution's packages of that are unpacked below target/, not installed (150 MB once,
             then some minutes; no part of test).
  uninstall  stop it, and remove the binary and the unit. Recordings, configuration and user stay.

Options:
  -S          install no packages and no Rust: use what is there
  --headless  build without FFmpeg: no pictures drawn by simulated cameras, nothing else is missing
  -h, --help  this

Packages that are missing are installed by apt, as root or with sudo. Rust 1.85 or later is taken from
the PATH or ~/.cargo/bin, else installed from the distribution's packages. Run it as yourself rather
than with sudo; it asks for that where it must.

With DESTDIR=FOLDER set, install and uninstall work on the tree in FOLDER and need no root: no user is
made and systemd is left alone.
END
}

# shellcheck disable=SC2034 # for packages.sh, as are those that it sets for us
program=prep.sh
skip=
# shellcheck source=/dev/null
. cross/packages.sh

# ---- Rust ----

has_rust() {
    local version
    version=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) && [ -n "$version" ] &&
        rustc --version >/dev/null 2>&1 &&
        [ "$(printf '%s\n' "$RUST_VERSION" "$version" | sort -V | head -n 1)" = "$RUST_VERSION" ]
}

install_rust() {
    apt_refresh_once
    if is_offered rustup 1; then
        apt_install rustup
        # It may have no way to its server, where apt has one.
        if rustup default stable && has_rust; then
            return 0
        fi
    fi
    if is_offered rustc "$RUST_VERSION" && is_offered cargo "$RUST_VERSION"; then
        apt_install rustc cargo
    elif is_offered rustc-web "$RUST_VERSION" && is_offered cargo-web "$RUST_VERSION"; then
        apt_install rustc-web cargo-web
    fi
}

need_rust() {
    [ ! -d "$HOME/.cargo/bin" ] || PATH="$PATH:$HOME/.cargo/bin"
    has_rust && return
    if [ -z "$skip" ] && command -v apt-get >/dev/null; then
        say "Installing Rust"
        install_rust
        hash -r
    fi
    has_rust || die "Rust $RUST_VERSION or later is needed, and this machine's packages have none:" \
        "install it as https://www.rust-lang.org/tools/install tells, then run this again."
}

# The tools that judge the code come with the toolchain; Debian has them in packages of their own.
need_lint_tools() {
    local package
    [ -z "$skip" ] && command -v apt-get >/dev/null || return 0
    if is_installed rustc-web; then
        for package in rust-web-clippy rustfmt-web; do
            is_installed "$package" || ! is_offered "$package" 0 || apt_install "$package"
        done
    elif is_installed rustc; then
        for package in rust-clippy rustfmt; do
            is_installed "$package" || ! is_offered "$package" 0 || apt_install "$package"
        done
    fi
}

# Node and npm run the page's tests; any of the last years' will do, wherever it is from.
need_node() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        need_packages nodejs npm
    fi
}

# ---- commands ----

features=()

build() {
    if [ "${#features[@]}" -eq 0 ]; then
        need_packages "${BUILD_PACKAGES[@]}" "${FFMPEG_PACKAGES[@]}"
    else
        need_packages "${BUILD_PACKAGES[@]}"
    fi
    need_rust
    say "Building"
    cargo build --release --locked --bin moonfire-nvr ${features[@]+"${features[@]}"}
}

binary() {
    printf '%s/release/moonfire-nvr' "${CARGO_TARGET_DIR:-target}"
}

demo() {
    build
    exec "$(binary)" demo "$@"
}

results=()
failed=
# Runs one part of the tests; those after it are run whatever comes of it.
part() {
    local name=$1 start=$SECONDS verdict=passed
    shift
    say "$name: $*"
    "$@" || { verdict=FAILED; failed=1; }
    results+=("$verdict  $name ($((SECONDS - start)) s)")
}

# The same for a tool that not every toolchain has.
part_if_there() {
    local tool=$1 name=$2
    shift
    if cargo "$tool" --version >/dev/null 2>&1; then
        part "$@"
    else
        results+=("skipped $name: this Rust has no cargo $tool")
    fi
}

# What the page's tests need from npm goes under tests/page/ and nowhere else.
page_packages() {
    (cd tests/page && npm ci --ignore-scripts)
}

page_tests() {
    MOONFIRE_NVR="${CARGO_TARGET_DIR:-$PWD/target}/debug/moonfire-nvr" node --test --test-concurrency=1 tests/page/*.test.mjs
}

test_all() {
    local scripts=() file
    need_packages "${BUILD_PACKAGES[@]}" "${FFMPEG_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    need_rust
    need_lint_tools
    need_node
    # Scripts are known by their first line; what is built is left alone.
    while read -r file; do
        case $(head -n 1 "$file") in
            '#!/bin/bash'* | '#!/bin/sh'*) scripts+=("$file") ;;
        esac
    done < <(grep -rlI --exclude-dir=target --exclude-dir=.git --exclude-dir=node_modules '^#!/bin/' .)
    part 'scripts' shellcheck "${scripts[@]}"
    if command -v systemd-analyze >/dev/null; then
        part 'unit' unit_exposure
    else
        results+=("skipped unit: this machine has no systemd-analyze")
    fi
    part_if_there fmt 'formatting' cargo fmt --check
    part_if_there clippy 'lints' cargo clippy --locked --all-targets -- -D warnings
    part 'headless build' cargo check --locked --no-default-features
    part 'packages for the page' page_packages
    part 'page' tests/page/check.sh
    # Tests that this machine does not let run say so there.
    MOONFIRE_NOT_RUN=$(mktemp)
    export MOONFIRE_NOT_RUN
    part 'tests' cargo test --locked --no-fail-fast "$@"
    mapfile -t -O "${#results[@]}" results <"$MOONFIRE_NOT_RUN"
    rm -f "$MOONFIRE_NOT_RUN"
    # Who asks for some of the tests only asks for none of these.
    [ "$#" -gt 0 ] || part 'page in browsers' page_tests
    say 'Results'
    printf '%s\n' "${results[@]}"
    [ -z "$failed" ] || exit 1
}

image_test() {
    local install=() folder="${CARGO_TARGET_DIR:-target}/image-test"
    [ -z "$skip" ] || install=(-S)
    build
    need_packages "${IMAGE_TEST_PACKAGES[@]}"
    # An image and a key that are for nothing else.
    mkdir -p "$folder"
    [ -e "$folder/key" ] || "$(binary)" appliance new-key "$folder/key"
    rm -f "$folder"/moonfire-nvr-*
    image/build ${install[@]+"${install[@]}"} --key "$folder/key" --program "$(binary)" --output "$folder"
    exec image/test --key "$folder/key" --program "$(binary)" --image "$(echo "$folder"/moonfire-nvr-*.img.zst)" "$@"
}

# What systemd thinks of the unit's sandbox: 1.5 of 10, or less.
unit_exposure() {
    systemd-analyze security --offline=true --threshold=15 --no-pager etc/moonfire-nvr.service | tail -n 1
    return "${PIPESTATUS[0]}"
}

minimum_rust() {
    local folder="${CARGO_TARGET_DIR:-target}/rust-$RUST_VERSION"
    need_packages "${BUILD_PACKAGES[@]}" "${FFMPEG_PACKAGES[@]}"
    cross/debian-rust "$RUST_VERSION" "$folder"
    folder=$(cd "$folder" && pwd)
    say "Checking with $("$folder/bin/rustc" --version)"
    RUSTC="$folder/bin/rustc" CARGO_TARGET_DIR="$folder/target" "$folder/bin/cargo" \
        check --locked --all-targets ${features[@]+"${features[@]}"}
}

# In DESTDIR everything belongs to whoever runs this.
run_root() {
    if [ -n "${DESTDIR:-}" ]; then
        "$@"
    else
        as_root "$@"
    fi
}

has_systemd() {
    [ -z "${DESTDIR:-}" ] && [ -d /run/systemd/system ]
}

install_all() {
    local dest=${DESTDIR:-} owner=() group=()
    build
    if [ -z "$dest" ]; then
        if ! getent group "$ACCOUNT" >/dev/null; then
            as_root groupadd --system "$ACCOUNT"
        fi
        if ! getent passwd "$ACCOUNT" >/dev/null; then
            as_root useradd --system --gid "$ACCOUNT" --home-dir "$STATE" --no-create-home \
                --shell /usr/sbin/nologin --comment 'Moonfire NVR' "$ACCOUNT"
        fi
        owner=(-o "$ACCOUNT" -g "$ACCOUNT")
        group=(-o root -g "$ACCOUNT")
    fi
    say "Installing"
    # Beside the old one and then in its place: a daemon that runs keeps its file.
    run_root install -D -m 0755 "$(binary)" "$dest$PREFIX/bin/moonfire-nvr.new"
    run_root mv -f "$dest$PREFIX/bin/moonfire-nvr.new" "$dest$PREFIX/bin/moonfire-nvr"
    run_root install -d -m 0750 ${owner[@]+"${owner[@]}"} "$dest$STATE" "$dest$STATE/db" "$dest$STATE/sample"
    run_root install -D -m 0644 etc/moonfire-nvr.service "$dest$UNIT"
    if ! run_root test -e "$dest$CONFIG"; then
        install_config "$dest$CONFIG" ${group[@]+"${group[@]}"}
    fi
    if has_systemd; then
        as_root systemctl daemon-reload
        as_root systemctl enable moonfire-nvr.service
    fi
    # What is wrong with the configuration or the database is told here, and what runs goes on.
    if [ -z "$dest" ]; then
        as_root setpriv --reuid "$ACCOUNT" --regid "$ACCOUNT" --clear-groups \
            "$PREFIX/bin/moonfire-nvr" init
    fi
    if has_systemd; then
        # Only if it runs: then it goes on with what was installed.
        as_root systemctl try-restart moonfire-nvr.service
    fi
    say "Installed. Name your cameras in $CONFIG, then: sudo systemctl restart moonfire-nvr"
}

# The sample configuration with this machine's sample folder and no camera yet.
install_config() {
    local path=$1 config
    shift
    config=$(mktemp)
    sed -e "s|^sample_dirs = .*|sample_dirs = [\"$STATE/sample\"]|" \
        -e '/^\[\[camera\]\]/,$ s/^[^#]/# &/' etc/moonfire-nvr.toml >"$config"
    run_root install -D -m 0640 "$@" "$config" "$path"
    rm -f "$config"
}

uninstall() {
    local dest=${DESTDIR:-}
    if has_systemd && [ -e "$UNIT" ]; then
        as_root systemctl disable --now moonfire-nvr.service
    fi
    run_root rm -f "$dest$PREFIX/bin/moonfire-nvr" "$dest$UNIT"
    if has_systemd; then
        as_root systemctl daemon-reload
    fi
    say "Uninstalled. What stays: $CONFIG, $STATE, other sample folders, the user $ACCOUNT."
}

# ---- arguments ----

while [ "$#" -gt 0 ]; do
    case $1 in
        -S) skip=1 ;;
        --headless) features=(--no-default-features) ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) die "there is no option $1: see ./prep.sh --help" ;;
        *) break ;;
    esac
    shift
done
command=${1:-}
[ "$#" -eq 0 ] || shift
case $command in
    demo) demo "$@" ;;
    image-test) image_test "$@" ;;
    test) test_all "$@" ;;
    build | install | minimum-rust | uninstall)
        # -S is understood after the command as well.
        [ "${1:-}" != -S ] || { skip=1; shift; }
        [ "$#" -eq 0 ] || die "$command takes no argument: see ./prep.sh --help"
        case $command in
            build) build ;;
            install) install_all ;;
            minimum-rust) minimum_rust ;;
            uninstall) uninstall ;;
        esac
        ;;
    '')
        usage
        exit 2
        ;;
    *) die "there is no command $command: see ./prep.sh --help" ;;
esac
