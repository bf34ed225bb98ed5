#!/usr/bin/env bash
# psql for people who have none installed: the one of the local stack, connected to it. Takes psql's own arguments.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

ensure_venv requirements.txt >&2
exec "$VENV_DIR/bin/python" -m scripts.local.client psql "$@"
