# Sourced by the scripts one directory up: installs Debian packages that are missing.

# find_missing PATTERN:PACKAGE…: prints the package of each pattern that no file matches.
find_missing() {
    local pair
    for pair in "$@"; do
        compgen -G "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done
}

# install_packages PACKAGE…: all of them with one call. Returns 1 where this cannot be done. Starts none of their servers.
install_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        return 1
    fi
    echo "installing $* …" >&2
    # Waits for another installation, such as that of a second run.
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=600) installed=0
    "${apt[@]}" update >/dev/null || true  # one repository that is down need not matter
    # While this program says no, packages do not start the servers that they bring.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --yes --no-install-recommends "$@" >/dev/null || installed=1
    if [ -n "$(trap -p EXIT)" ]; then
        rm -f /usr/sbin/policy-rc.d
        trap - EXIT
    fi
    return "$installed"
}
