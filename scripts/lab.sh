#!/usr/bin/env bash
# The platform on many hosts of this machine: Patroni, HAProxy, PgBouncer, Sentinel, RabbitMQ, gateways and workers in
# network namespaces, and faults under load (docs/HIGH-AVAILABILITY.md). Needs Linux and root.
#   ./scripts/lab.sh up
#   ./scripts/lab.sh scenario kill-primary
#   ./scripts/lab.sh report
#   ./scripts/lab.sh down
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"
. scripts/local/packages.sh

ensure_engines() {
    local missing
    mapfile -t missing < <(find_missing "${LAB_PROGRAMS[@]}")
    if [ "${#missing[@]}" != 0 ] && ! install_packages "${missing[@]}"; then
        echo "ERROR the lab needs Debian's packages ${missing[*]}, and root to install and to run them." >&2
        exit 1
    fi
}

ensure_engines
ensure_venv requirements-dev.txt >&2
exec "$VENV_DIR/bin/python" -m scripts.lab "$@"
