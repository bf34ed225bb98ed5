#!/usr/bin/env bash
# Shows what of the local stack runs, with pids and ports. Exit code 0 only when everything is up.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

if [ ! -x "$VENV_DIR/bin/python" ]; then
    echo "Nothing was ever started with $VENV_DIR: ./scripts/start-all-services.sh"
    exit 1
fi
exec "$VENV_DIR/bin/python" -m scripts.local.status
