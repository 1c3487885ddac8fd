# shellcheck shell=bash
# What the scripts ask of the machine. To be sourced, after `set -euo pipefail`.

# say TEXT: one line on what happens next.
say() {
    printf '\n==> %s\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# as_root COMMAND...: runs it as root, through sudo where we are not.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "'$*' needs root: run this script as root, or install sudo"
    fi
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need_packages NAME...: installs those Debian packages that are missing.
need_packages() {
    local name missing=()
    command -v apt-get >/dev/null || die "this script sets up Debian and Ubuntu; install by hand: $*"
    for name in "$@"; do
        is_installed "$name" || missing+=("$name")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    say "Installing Debian packages: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# need_rust VERSION: a cargo of at least VERSION; rustup's, if there is none.
need_rust() {
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    if ! command -v cargo >/dev/null; then
        say "No cargo here: installing Rust with rustup, from https://sh.rustup.rs, for this user"
        need_packages ca-certificates curl
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
            sh -s -- -y --profile minimal --component rustfmt,clippy --no-modify-path >&2
    fi
    local found
    found=$(cargo --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$1" "$found" | sort -V | head -n 1)" = "$1" ] ||
        die "cargo $found is too old: $1 or later is needed (\`rustup update stable\`)"
}
