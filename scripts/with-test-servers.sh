#!/usr/bin/env bash
# Runs one command with a PostgreSQL and a Redis of its own, which are gone when it ends:
#   ./scripts/with-test-servers.sh pytest tests/sagas -k fence
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

ensure_venv requirements-dev.txt >&2
exec "$VENV_DIR/bin/python" -m scripts.local.testing "$@"
