#!/usr/bin/env bash
# The platform on many hosts of this machine: Patroni, HAProxy, PgBouncer, Sentinel, RabbitMQ, gateways and workers in
# network namespaces, and faults under load (docs/HIGH-AVAILABILITY.md). Needs Linux and root.
#   ./scripts/lab.sh up
#   ./scripts/lab.sh scenario kill-primary
#   ./scripts/lab.sh report
#   ./scripts/lab.sh down
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

# Debian's servers. They are only installed: none of them is started by the system.
ensure_engines() {
    local missing=() tool
    for tool in ip:iproute2 nft:nftables etcd:etcd-server haproxy:haproxy pgbouncer:pgbouncer \
        rabbitmqctl:rabbitmq-server; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
    done
    if [ "${#missing[@]}" = 0 ]; then
        return
    fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "ERROR the lab needs Debian's packages ${missing[*]}, and root to install and to run them." >&2
        exit 1
    fi
    echo "installing ${missing[*]} …" >&2
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=600)
    "${apt[@]}" update >/dev/null || true  # one repository that is down need not matter
    # While this says no, Debian's packages do not start the servers that they bring.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' RETURN EXIT
    fi
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >/dev/null
}

ensure_engines
ensure_venv requirements-dev.txt >&2
exec "$VENV_DIR/bin/python" -m scripts.lab "$@"
