#!/usr/bin/env bash
# What must hold before a release (docs/SECURITY.md). Prints a table; the exit code is 0 when every step passed.
#   ./scripts/release-gate.sh
#   ./scripts/release-gate.sh --only packages,audit,secrets,deploy
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

ensure_venv requirements-dev.txt
exec "$VENV_DIR/bin/python" -m scripts.release_gate "$@"
