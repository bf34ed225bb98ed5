# Sourced by the scripts one directory up: installs Debian packages that are missing.

# What the lab runs, and RabbitMQ's tests (./scripts/test.sh --long).
LAB_PROGRAMS=(
    "/*bin/ip:iproute2" "/usr/sbin/nft:nftables" "/usr/bin/etcd:etcd-server" "/usr/sbin/haproxy:haproxy"
    "/usr/sbin/pgbouncer:pgbouncer" "/usr/sbin/rabbitmqctl:rabbitmq-server"
)

# find_missing PATTERN:PACKAGE…: prints the package of each pattern that no file matches.
find_missing() {
    local pair
    for pair in "$@"; do
        compgen -G "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done
}

# install_packages PACKAGE…: all that can be had. Returns 1 where one is missing afterwards. Starts none of their servers.
install_packages() (
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        exit 1
    fi
    echo "installing $* …" >&2
    exec 8>/var/lock/payment-platform-packages
    flock 8  # another run removes policy-rc.d when it ends
    apt=(apt-get -qq -o DPkg::Lock::Timeout=600)
    "${apt[@]}" update >/dev/null || true  # one repository that is down need not matter
    # While this program says no, packages do not start the servers that they bring.
    if [ ! -e /usr/sbin/policy-rc.d ] || grep -q '# payment-platform' /usr/sbin/policy-rc.d; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\n# payment-platform\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
    fi
    export DEBIAN_FRONTEND=noninteractive
    install=("${apt[@]}" install --yes --no-install-recommends)
    if "${install[@]}" "$@" >/dev/null; then
        exit 0
    fi
    # One package that cannot be had must not cost the others.
    failed=0
    for package in "$@"; do
        "${install[@]}" "$package" >/dev/null || failed=1
    done
    exit "$failed"
)
