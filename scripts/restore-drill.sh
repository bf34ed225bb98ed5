#!/usr/bin/env bash
# Backs up a loaded platform, destroys its PostgreSQL, restores an earlier moment and reconciles with the channel:
#   ./scripts/restore-drill.sh [--seconds 20] [--keep]
# Ends with a table, and with exit code 0 only when nothing was lost or doubled (docs/BACKUP.md).
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

ensure_venv requirements.txt >&2
exec "$VENV_DIR/bin/python" -m scripts.restore_drill "$@"
