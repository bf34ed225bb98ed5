#!/usr/bin/env bash
# Stops the local stack, its PostgreSQL and Redis included. The data stays.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

if [ ! -x "$VENV_DIR/bin/python" ]; then
    echo "nothing was ever started with $VENV_DIR"
    exit 0
fi
exec "$VENV_DIR/bin/python" -m scripts.local.stop
